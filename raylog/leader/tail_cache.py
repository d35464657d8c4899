"""The most recent batches of every partition in memory, under one byte budget: what consumers at the log's end are served from.

- A batch enters when it is appended, so the cache also holds what is not durable yet: readers pass the offset to stop at.
- Batches leave in the order in which they came, whatever their partition, in a durable slot or not: ``unflushed_reader`` finds
  those that are not.
- Batches of a partition are contiguous, so a miss is an offset below the first one kept.
"""

from array import array
from bisect import bisect_left
from collections import deque

from raylog.model.buffers import Buffer

_COMPACT_AT = 256
"""Batches that have left the head of a partition's lists before the lists are cut."""

_EVICTED_BY_APPEND = 8
_EVICTED_AT_ONCE = 5000
"""Batches that leave at most in one step, so that no step holds up the event loop; more of them where large ones follow many
small ones, and the cache has grown by an eighth."""


class PartitionTail:
    """The cached batches of one partition, in columns: a tuple for each of them would be one more thing to collect."""

    __slots__ = ("_head", "_last_offsets", "_parts", "_sizes", "end_offset", "is_open", "start_offset")

    def __init__(self, end_offset: int) -> None:
        self.start_offset = end_offset
        """First offset kept; ``end_offset`` when there is none."""
        self.end_offset = end_offset
        self.is_open = True
        self._head = 0
        self._last_offsets = array("q")
        self._sizes = array("q")
        self._parts: list[Buffer | tuple[Buffer, ...]] = []

    def read(
        self, offset: int, limit_offset: int, max_bytes: int, at_least_one: bool = True
    ) -> tuple[list[Buffer], int, int]:
        """Whole batches from the one that holds ``offset`` (>= start_offset) to below ``limit_offset``: parts, their size, and
        the offset after them. As many as fit ``max_bytes``, with ``at_least_one`` the first in any case."""
        last_offsets, sizes = self._last_offsets, self._sizes
        position = bisect_left(last_offsets, offset, self._head)
        parts: list[Buffer] = []
        total = 0
        while position < len(last_offsets):
            size = sizes[position]
            if last_offsets[position] >= limit_offset or (total + size > max_bytes and (total or not at_least_one)):
                break
            found = self._parts[position]
            if isinstance(found, tuple):
                parts += found
            else:
                parts.append(found)
            total += size
            offset = last_offsets[position] + 1
            position += 1
            if total >= max_bytes:
                break
        return parts, total, offset

    def available_bytes(self, offset: int, limit_offset: int, enough: int) -> int:
        """Bytes of whole batches from ``offset`` to below ``limit_offset``, counted no further than ``enough``."""
        last_offsets, sizes = self._last_offsets, self._sizes
        position = bisect_left(last_offsets, offset, self._head)
        total = 0
        while position < len(last_offsets) and total < enough and last_offsets[position] < limit_offset:
            total += sizes[position]
            position += 1
        return total

    def validate(self) -> None:
        """Assert what holds between calls."""
        assert len(self._last_offsets) == len(self._sizes) == len(self._parts)
        assert self.start_offset <= self.end_offset
        kept = self._last_offsets[self._head :]
        assert list(kept) == sorted(set(kept))
        assert (kept[-1] + 1 if kept else self.start_offset) == self.end_offset
        for found, size in zip(self._parts[self._head :], self._sizes[self._head :], strict=True):
            assert (sum(map(len, found)) if isinstance(found, tuple) else len(found)) == size


class TailCache:
    """All tails of a leader. ``used_bytes`` exceeds the budget by an eighth, and by what comes in one step, at most."""

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.used_bytes = 0
        self.hits = 0
        self.misses = 0
        self._in_order: deque[PartitionTail] = deque()
        """One item for each batch kept, in the order in which they came."""
        self._closed = 0
        """Of these, items of tails that are closed."""

    def open(self, end_offset: int) -> PartitionTail:
        """The empty tail of a partition that ends at ``end_offset``."""
        return PartitionTail(end_offset)

    def append(self, tail: PartitionTail, last_offset: int, parts: tuple[Buffer, ...], size_bytes: int) -> None:
        """Keep a batch that begins at the tail's end."""
        tail._last_offsets.append(last_offset)
        tail._sizes.append(size_bytes)
        tail._parts.append(parts[0] if len(parts) == 1 else parts)
        tail.end_offset = last_offset + 1
        self._in_order.append(tail)
        self.used_bytes += size_bytes
        if self.used_bytes > self.budget_bytes:
            is_far_over = self.used_bytes > self.budget_bytes + self.budget_bytes // 8
            self._evict(_EVICTED_AT_ONCE if is_far_over else _EVICTED_BY_APPEND)

    def close(self, tail: PartitionTail) -> None:
        """Forget a partition that is not led any more."""
        self.used_bytes -= sum(tail._sizes[tail._head :])
        self._closed += len(tail._sizes) - tail._head
        tail.is_open = False
        tail._last_offsets, tail._sizes, tail._parts, tail._head = array("q"), array("q"), [], 0
        tail.start_offset = tail.end_offset
        if self._closed >= _COMPACT_AT and self._closed * 2 >= len(self._in_order):
            self._in_order = deque(kept for kept in self._in_order if kept.is_open)
            self._closed = 0

    def skip(self, tail: PartitionTail, end_offset: int) -> PartitionTail:
        """The partition goes on at ``end_offset`` with what is not kept here: its tail from now on. What was kept is let go."""
        self.close(tail)
        return self.open(end_offset)

    def _evict(self, batches_max: int) -> None:
        in_order = self._in_order
        for _ in range(batches_max):
            if self.used_bytes <= self.budget_bytes or not in_order:
                return
            tail = in_order[0]
            if tail.is_open:
                head = tail._head
                last_offset = tail._last_offsets[head]
                self.used_bytes -= tail._sizes[head]
                tail._parts[head] = ()
                tail._head = head + 1
                tail.start_offset = last_offset + 1
                if tail._head >= _COMPACT_AT and tail._head * 2 >= len(tail._sizes):
                    _compact(tail)
            else:
                self._closed -= 1
            in_order.popleft()


def _compact(tail: PartitionTail) -> None:
    head = tail._head
    del tail._last_offsets[:head], tail._sizes[:head], tail._parts[:head]
    tail._head = 0
