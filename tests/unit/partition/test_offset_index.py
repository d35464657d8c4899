import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylog.partition.offset_index import SEGMENT, IndexEntry, OffsetIndex


def entry(first, last, *, size=100, timestamp=0, number=1, source=5):
    return IndexEntry(source, number, 64, size, first, last, timestamp, 0, last - first + 1)


def index_of(*entries):
    index = OffsetIndex()
    for one in entries:
        index.append(one)
    index.validate()
    return index


@pytest.fixture
def index():
    return index_of(entry(0, 9), entry(10, 19), entry(20, 20), entry(21, 39))


def test_rows_come_back_as_they_went_in(index):
    wide = IndexEntry(7, 2**40, 2**41, 2**30, 40, 2**50, 2**45, 2**30, 2**30)
    index.append(wide)
    assert index[4] == wide
    assert list(index)[-1] == wide
    index.validate()


@pytest.mark.parametrize(("offset", "row"), [(0, 0), (9, 0), (10, 1), (20, 2), (39, 3), (40, 4)])
def test_an_offset_is_found_in_the_row_that_holds_it(index, offset, row):
    assert index.row_of(offset) == row


def test_a_row_must_come_after_the_last_one(index):
    with pytest.raises(AssertionError):
        index.append(entry(39, 41))


def test_a_plan_begins_with_the_row_of_the_offset_and_stops_at_the_byte_limit(index):
    assert [e.first_offset for e in index.plan(15, 40, 250)] == [10, 20]


def test_a_plan_has_its_first_row_however_large_that_is(index):
    assert [e.first_offset for e in index.plan(15, 40, 1)] == [10]


def test_a_plan_has_no_row_that_begins_at_the_end_or_after_it(index):
    assert [e.first_offset for e in index.plan(0, 20, 10**6)] == [0, 10]
    assert index.plan(40, 40, 100) == []


def test_trimming_keeps_the_row_that_holds_the_logs_start(index):
    gone = index.trim(15)
    assert [e.last_offset for e in gone] == [9]
    assert index.first_offset == 10
    assert index.size_bytes == 300
    index.validate()
    assert index.trim(15) == []


def test_trimming_all_leaves_an_empty_index(index):
    index.trim(40)
    assert len(index) == 0
    assert index.first_offset == index.last_offset == -1
    index.append(entry(50, 51))
    index.validate()


def test_a_segment_takes_the_place_of_a_run_of_rows(index):
    segment = entry(10, 20, size=180, number=3, source=SEGMENT)
    gone = index.replace(10, 20, [segment])
    assert [e.first_offset for e in gone] == [10, 20]
    assert [e.first_offset for e in index] == [0, 10, 21]
    assert index[1] == segment
    index.validate()


def test_cleaning_may_leave_a_gap_that_reads_pass_over(index):
    index.replace(10, 20, [])
    index.validate()
    assert [e.first_offset for e in index.plan(12, 40, 10**6)] == [21]


def test_a_row_that_reaches_over_the_replaced_range_is_refused(index):
    with pytest.raises(AssertionError):
        index.replace(5, 20, [])


def test_a_snapshot_makes_an_equal_index_of_its_own(index):
    copy = OffsetIndex(index.snapshot())
    copy.validate()
    assert list(copy) == list(index)
    index.trim(40)
    assert len(copy) == 4


rows = st.lists(st.tuples(st.integers(1, 5), st.integers(0, 30)), min_size=1, max_size=30)


@given(rows, st.integers(0, 32), st.integers(0, 160), st.integers(0, 160))
def test_a_timestamp_is_found_in_the_first_row_that_may_hold_it(rows, timestamp, from_offset, log_start):
    index, offset = OffsetIndex(), 0
    for count, stamp in rows:
        index.append(entry(offset, offset + count - 1, timestamp=stamp))
        offset += count
    index.trim(log_start)
    index.validate()
    naive = [row for row, e in enumerate(index) if e.max_timestamp_ms >= timestamp and e.last_offset >= from_offset]
    assert index.row_at_timestamp(timestamp, from_offset) == (naive[0] if naive else len(index))
    if len(index):
        newest = index.newest_row(0, len(index))
        assert newest == max(range(len(index)), key=lambda row: index[row].max_timestamp_ms)


@pytest.mark.parametrize(
    ("first", "last", "size", "count", "is_held"),
    [
        (0, 39, 400, 40, True),
        (10, 20, 200, 11, True),
        (5, 20, 200, 11, False),
        (10, 25, 200, 11, False),
        (10, 20, 201, 11, False),
        (10, 20, 200, 10, False),
        (40, 49, 100, 10, False),
        (21, 49, 100, 10, False),
    ],
)
def test_whether_rows_lie_at_exactly_these_offsets_with_that_content(index, first, last, size, count, is_held):
    assert index.holds(first, last, size, count) is is_held


def test_timestamps_are_found_after_a_replacement_whether_or_not_it_keeps_the_newest_one():
    for timestamp in (30, 20, 99):
        index = index_of(*(entry(n, n, timestamp=t) for n, t in enumerate((5, 30, 10, 40, 7))))
        index.replace(1, 2, [entry(1, 2, timestamp=timestamp)])
        index.validate()
