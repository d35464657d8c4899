"""Where the flushed batches of a partition lie in the bucket: one row for each run of contiguous batches, in offset order.

Kept as columns of machine integers, 64 bytes a row, as a leader holds millions of rows. Rows never overlap; those of slots are
contiguous. Compaction replaces a run of rows by the rows of a segment (same offsets, other object).
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, NamedTuple

SEGMENT: Final = -1
"""In the place of a leader id: ``number`` is a segment's."""
UPLOAD: Final = -2
"""The same: it is an upload's. There batches have no offsets and leader epochs yet: whoever reads them writes these in."""


class IndexEntry(NamedTuple):
    """A run of batches and the object that holds it. ``SEGMENT``, ``UPLOAD`` or a leader's id, and then the number, name it."""

    source: int
    """The id of the leader whose log has the slot (a partition keeps its rows when it moves), or one of these."""
    number: int
    """The slot's number, the segment's or the upload's."""
    position: int
    size_bytes: int
    first_offset: int
    last_offset: int
    max_timestamp_ms: int
    leader_epoch: int
    record_count: int


_COLUMN_TYPES = "iqqiqqqii"
"""One for each field of ``IndexEntry``."""
_FIRST = IndexEntry._fields.index("first_offset")
_LAST = IndexEntry._fields.index("last_offset")
_MAX_TIMESTAMP = IndexEntry._fields.index("max_timestamp_ms")
_SIZE = IndexEntry._fields.index("size_bytes")
_COUNT = IndexEntry._fields.index("record_count")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSnapshot:
    """The whole index for a checkpoint: a column of integers for each field of ``IndexEntry``, all of one length."""

    columns: tuple[Sequence[int], ...] = tuple(array(code) for code in _COLUMN_TYPES)


class OffsetIndex:
    __slots__ = ("_columns", "_lasts", "_newest", "_size_bytes")

    def __init__(self, snapshot: IndexSnapshot | None = None) -> None:
        columns = snapshot.columns if snapshot else ((),) * len(_COLUMN_TYPES)
        self._columns = tuple(array(code, column) for code, column in zip(_COLUMN_TYPES, columns, strict=True))
        self._lasts: array[int] = self._columns[_LAST]
        self._newest: array[int] = array("q")
        """The highest timestamp of a row and all before it: rising, so that it can be bisected."""
        self._refresh()

    def __len__(self) -> int:
        return len(self._lasts)

    def __getitem__(self, row: int) -> IndexEntry:
        return IndexEntry._make([column[row] for column in self._columns])

    def __iter__(self) -> Iterator[IndexEntry]:
        return map(IndexEntry._make, zip(*self._columns, strict=True))

    @property
    def size_bytes(self) -> int:
        """Of all batches in the index."""
        return self._size_bytes

    @property
    def first_offset(self) -> int:
        """-1 when the index is empty."""
        return self._columns[_FIRST][0] if self._lasts else -1

    @property
    def last_offset(self) -> int:
        """-1 when the index is empty."""
        return self._lasts[-1] if self._lasts else -1

    def append(self, entry: IndexEntry) -> None:
        """Add a run after all others."""
        _, _, _, size_bytes, first_offset, last_offset, max_timestamp_ms, _, _ = entry
        assert self.last_offset < first_offset <= last_offset and size_bytes > 0, entry
        for column, value in zip(self._columns, entry, strict=True):
            column.append(value)
        newest = self._newest
        if newest and newest[-1] > max_timestamp_ms:
            max_timestamp_ms = newest[-1]
        newest.append(max_timestamp_ms)
        self._size_bytes += size_bytes

    def row_of(self, offset: int) -> int:
        """The row that holds ``offset``, or the next one after it; ``len`` when it is after all."""
        return bisect_left(self._lasts, offset)

    def row_at_timestamp(self, timestamp_ms: int, from_offset: int) -> int:
        """The first row that may hold a record at or after ``timestamp_ms`` and ``from_offset``; ``len`` when there is none."""
        row = max(bisect_left(self._newest, timestamp_ms), self.row_of(from_offset))
        timestamps = self._columns[_MAX_TIMESTAMP]
        while row < len(timestamps) and timestamps[row] < timestamp_ms:
            row += 1
        return row

    def newest_row(self, start: int, end: int) -> int:
        """The first of the rows ``start`` to ``end`` (exclusive, not empty) with the highest timestamp among them."""
        timestamps = self._columns[_MAX_TIMESTAMP][start:end]
        return start + timestamps.index(max(timestamps))

    def plan(self, from_offset: int, end_offset: int, max_bytes: int) -> list[IndexEntry]:
        """Rows to read for a fetch: from the one that holds ``from_offset``, up to ``max_bytes`` but at least one.

        Only rows that begin below ``end_offset``: the last may go beyond it, and its reader stops at the batch there.
        """
        found: list[IndexEntry] = []
        firsts, sizes = self._columns[_FIRST], self._columns[_SIZE]
        for row in range(self.row_of(from_offset), len(firsts)):
            max_bytes -= sizes[row]
            if firsts[row] >= end_offset or (found and max_bytes < 0):
                break
            found.append(self[row])
        return found

    def trim(self, log_start_offset: int) -> list[IndexEntry]:
        """Forget the rows that lie wholly below the log's start; returns them."""
        keep = self.row_of(log_start_offset)
        gone = [self[row] for row in range(keep)]
        if gone:
            for column in self._columns:
                del column[:keep]
            self._refresh()
        return gone

    def holds(self, first_offset: int, last_offset: int, size_bytes: int, record_count: int) -> bool:
        """Whether some rows begin and end at exactly these offsets, with so many bytes and records together."""
        start, end = self.row_of(first_offset), self.row_of(last_offset) + 1
        if start >= end or end > len(self) or self._columns[_FIRST][start] != first_offset:
            return False
        return (
            self._lasts[end - 1] == last_offset
            and sum(self._columns[_SIZE][start:end]) == size_bytes
            and sum(self._columns[_COUNT][start:end]) == record_count
        )

    def replace(self, first_offset: int, last_offset: int, entries: Sequence[IndexEntry]) -> list[IndexEntry]:
        """Put ``entries`` in the place of the rows that lie wholly inside ``first_offset`` to ``last_offset``; returns those.

        Offsets that no entry holds any more are gaps (a cleaned log); no row may reach over the range's ends.
        """
        start, end = self.row_of(first_offset), self.row_of(last_offset + 1)
        gone = list(map(IndexEntry._make, zip(*(column[start:end] for column in self._columns), strict=True)))
        assert not gone or (first_offset <= gone[0].first_offset and gone[-1].last_offset <= last_offset), gone
        assert not entries or (first_offset <= entries[0].first_offset and entries[-1].last_offset <= last_offset)
        fresh = zip(*entries, strict=True) if entries else ((),) * len(self._columns)
        for code, column, values in zip(_COLUMN_TYPES, self._columns, fresh, strict=True):
            column[start:end] = array(code, values)
        self._size_bytes += sum(entry.size_bytes for entry in entries) - sum(entry.size_bytes for entry in gone)
        self._refresh_newest(start, end, len(entries))
        return gone

    def snapshot(self) -> IndexSnapshot:
        return IndexSnapshot(columns=tuple(array(column.typecode, column) for column in self._columns))

    def validate(self) -> None:
        assert len({len(column) for column in (*self._columns, self._newest)}) == 1
        last, size, newest = -1, 0, None
        for row, entry in enumerate(self):
            assert last < entry.first_offset <= entry.last_offset and entry.size_bytes > 0, entry
            last, size = entry.last_offset, size + entry.size_bytes
            newest = entry.max_timestamp_ms if newest is None else max(newest, entry.max_timestamp_ms)
            assert self._newest[row] == newest, entry
        assert size == self._size_bytes

    def _refresh(self) -> None:
        self._newest = array("q", accumulate(self._columns[_MAX_TIMESTAMP], max))
        self._size_bytes = sum(self._columns[_SIZE])

    def _refresh_newest(self, start: int, end: int, count: int) -> None:
        """After ``count`` rows took the place of those from ``start`` to ``end``: only these, when those behind stay true."""
        timestamps = self._columns[_MAX_TIMESTAMP]
        before = [self._newest[start - 1]] if start else []
        rising = array("q", accumulate((*before, *timestamps[start : start + count]), max))
        if start < end and rising[-1:] == self._newest[end - 1 : end]:
            self._newest[start:end] = rising[len(before) :]
        else:
            self._newest = array("q", accumulate(timestamps, max))
