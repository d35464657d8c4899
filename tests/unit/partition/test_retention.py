"""What retention takes from the start of a partition's index, by time and by size."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylog.partition.offset_index import IndexEntry
from raylog.partition.retention import UNLIMITED, retained_from

NOW_MS = 1_000_000


def rows_of(*rows: tuple[int, int]) -> list[IndexEntry]:
    """Rows of ten offsets each, by (timestamp, size)."""
    return [
        IndexEntry(1, number + 1, 64, size, 10 * number, 10 * number + 9, timestamp, 0, 10)
        for number, (timestamp, size) in enumerate(rows)
    ]


def start_of(rows: list[IndexEntry], *, start: int = 0, end: int = 1 << 40, **retention: int) -> int:
    limits: dict[str, Any] = {"retention_ms": UNLIMITED, "retention_bytes": UNLIMITED, **retention}
    size_bytes = sum(row.size_bytes for row in rows)
    return retained_from(rows, log_start_offset=start, end_offset=end, size_bytes=size_bytes, now_ms=NOW_MS, **limits)


def test_without_limits_everything_stays():
    assert start_of(rows_of((0, 1), (0, 1))) == 0


@pytest.mark.parametrize(
    ("timestamps", "expected"),
    [
        ((NOW_MS - 101, NOW_MS - 100), 10),  # as old as the setting is not older
        ((NOW_MS - 100,), 0),
        ((NOW_MS - 500, NOW_MS, NOW_MS - 500), 10),  # a young row protects what is behind it
        ((-1, NOW_MS - 500), 0),  # no timestamp is not an old one
        ((NOW_MS - 500, NOW_MS - 500), 20),
        ((NOW_MS + 500,), 0),
    ],
)
def test_time_takes_whole_rows_from_the_oldest(timestamps, expected):
    assert start_of(rows_of(*((timestamp, 1) for timestamp in timestamps)), retention_ms=100) == expected


@pytest.mark.parametrize(("limit", "expected"), [(0, 30), (99, 20), (100, 20), (101, 10), (250, 0), (300, 0), (999, 0)])
def test_size_keeps_at_least_what_the_setting_says(limit, expected):
    assert start_of(rows_of(*((NOW_MS, 100),) * 3), retention_bytes=limit) == expected


def test_both_limits_count():
    rows = rows_of((0, 100), (NOW_MS, 100), (NOW_MS, 100))
    assert start_of(rows, retention_ms=100, retention_bytes=150) == 10
    assert start_of(rows, retention_ms=100, retention_bytes=100) == 20


def test_nothing_at_or_above_the_end_goes_and_the_start_never_falls():
    rows = rows_of(*((0, 1),) * 3)
    assert start_of(rows, end=20, retention_ms=0) == 20
    assert start_of(rows, end=19, retention_ms=0) == 10
    assert start_of(rows[1:], start=15, end=15, retention_ms=0) == 15
    assert start_of(rows[1:], start=15, retention_ms=UNLIMITED) == 15


@given(
    st.lists(st.tuples(st.integers(-1, 2 * NOW_MS), st.integers(1, 1000)), max_size=20),
    st.integers(-1, 2 * NOW_MS),
    st.integers(-1, 10_000),
    st.integers(0, 200),
)
def test_every_row_that_goes_is_old_or_too_much(rows, retention_ms, retention_bytes, end):
    listed = rows_of(*rows)
    start = start_of(listed, end=end, retention_ms=retention_ms, retention_bytes=retention_bytes)
    gone = [row for row in listed if row.last_offset < start]
    kept_bytes = sum(row.size_bytes for row in listed[len(gone) :])
    assert start <= max(0, end)
    for row in reversed(gone):
        is_old = retention_ms >= 0 and 0 <= row.max_timestamp_ms < NOW_MS - retention_ms
        assert is_old or (retention_bytes >= 0 and kept_bytes >= retention_bytes)
        kept_bytes += row.size_bytes
