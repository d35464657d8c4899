"""Which rows of a partition's index retention takes: from the oldest, whole rows, by time and then by size. Pure.

- **Time** (``retention.ms``): rows from the start while each one's newest record is older. As in Kafka a younger row
  protects all behind it, and a row without a timestamp is not old.
- **Size** (``retention.bytes``): rows from the start while what stays is still at least that much. So a partition keeps up to
  one row (about 1 MiB) more than the setting says, and never less.

Only the index counts, so only what is in durable slots; nothing at or above ``end_offset`` goes.
"""

from collections.abc import Iterable

from raylog.partition.offset_index import IndexEntry

UNLIMITED = -1
"""Kafka's "for ever" and "no limit"."""


def retained_from(
    rows: Iterable[IndexEntry],
    *,
    log_start_offset: int,
    end_offset: int,
    size_bytes: int,
    now_ms: int,
    retention_ms: int,
    retention_bytes: int,
) -> int:
    """The log start offset that retention asks for: ``log_start_offset``, or the end of a row below ``end_offset``.

    ``rows`` are those of the index in offset order, ``size_bytes`` the size of all of them.
    """
    start = log_start_offset
    left_bytes = size_bytes
    for row in rows:
        is_old = retention_ms != UNLIMITED and 0 <= row.max_timestamp_ms < now_ms - retention_ms
        is_too_much = retention_bytes != UNLIMITED and left_bytes - row.size_bytes >= retention_bytes
        if row.last_offset >= end_offset or not (is_old or is_too_much):
            break
        left_bytes -= row.size_bytes
        start = max(start, row.last_offset + 1)
    return start
