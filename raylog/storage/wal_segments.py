"""Where a file WAL's entries go: the active segment, those before it that are not in the bucket yet, and their trimming; and
where they are found again.

An entry's place is not kept. Each segment has marks about 1 MiB apart, between which its entries are read in one piece.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from raylog.model.buffers import Buffer
from raylog.model.errors import CorruptError
from raylog.model.ids import LeaderId, LogEpoch, Lsn
from raylog.storage.wal import WalEntry
from raylog.storage.wal_disk import SegmentFile
from raylog.storage.wal_format import (
    SegmentHeader,
    decode_entries,
    encode_entry_header,
    entry_bytes,
    segment_header_bytes,
)
from raylog.storage.wal_pool import SegmentPool

_READ_AGAIN_ENTRIES = 64
_READ_AGAIN_BYTES = 1 << 20
"""More than that is worth a new segment, so that nobody reads it once the bucket has it: a millisecond of a replay. A new one
costs a page for its header, once a slot at most."""
_WINDOW_BYTES = 1 << 20


@dataclass(slots=True, kw_only=True)
class Write:
    """Consecutive bytes of one segment that a commit writes."""

    segment: SegmentFile
    position: int
    buffers: list[Buffer] = field(default_factory=list)
    size_bytes: int = 0

    def run(self) -> None:
        self.segment.write(self.buffers, self.position)
        self.segment.sync()


class Window(NamedTuple):
    """A piece of a segment that begins and ends between entries."""

    segment: SegmentFile
    header: SegmentHeader
    first_lsn: Lsn
    position: int
    size_bytes: int


@dataclass(slots=True, kw_only=True)
class _Live:
    segment: SegmentFile
    header: SegmentHeader
    last_lsn: Lsn
    marks: list[tuple[Lsn, int]] = field(default_factory=list)
    """An entry's LSN and its place, for one entry in each window."""
    readers: int = 0


class SegmentLog:
    """Places entries one behind the other in segments from the pool."""

    def __init__(
        self, *, leader_id: LeaderId, epoch: LogEpoch, cuts: Mapping[LogEpoch, Lsn], pool: SegmentPool
    ) -> None:
        self._leader_id = leader_id
        self._epoch = epoch
        self._cuts = cuts
        self._pool = pool
        self._live: deque[_Live] = deque()
        self._position = 0
        self._generation = 0
        self._cut_lsn: Lsn | None = None
        """None: nothing was cut since the active segment was last judged."""
        self._is_left = False
        """The next entry begins another segment, if there is one."""
        self._writes: list[Write] = []
        self._trimmed_lsn = Lsn(0)

    @property
    def free_bytes(self) -> int:
        return self._active_free_bytes + self._pool.free_bytes

    @property
    def is_empty(self) -> bool:
        """No segment is begun and not yet trimmed."""
        return not self._live

    def place(self, entry: WalEntry) -> bool:
        """Give the entry its place in the next commit; False while there is no segment for it."""
        size_bytes = entry_bytes(entry)
        if self._cut_lsn is not None and entry.lsn > self._cut_lsn:
            self._is_left = self._has_much_up_to(self._cut_lsn)
            self._cut_lsn = None
        if self._is_left:
            self._begin_segment(entry.lsn, size_bytes)  # without a spare the present one goes on
        if size_bytes > self._active_free_bytes and not self._begin_segment(entry.lsn, size_bytes):
            return False
        live = self._live[-1]
        if not self._writes or self._writes[-1].segment is not live.segment:
            self._writes.append(Write(segment=live.segment, position=self._position))
        write = self._writes[-1]
        write.buffers.append(encode_entry_header(entry, self._epoch, self._generation))
        write.buffers += entry.parts
        write.size_bytes += size_bytes
        if not live.marks or self._position - live.marks[-1][1] >= _WINDOW_BYTES:
            live.marks.append((entry.lsn, self._position))
        self._position += size_bytes
        live.last_lsn = entry.lsn
        return True

    def take_writes(self) -> list[Write]:
        """What was placed since the last call, in order."""
        writes, self._writes = self._writes, []
        return writes

    def cut(self, lsn: Lsn) -> None:
        """Entries above ``lsn`` come into the bucket later than those up to it.

        So if the active segment has much of these it is left to them, and trimmed as soon as they are in the bucket: whoever
        starts after this writer's end reads all that is not trimmed, and others wait for that.
        """
        self._cut_lsn = lsn

    def trim(self, lsn: Lsn) -> None:
        """Give back the segments whose entries are all at or below ``lsn``; the active one stays, and one being read."""
        self._trimmed_lsn = lsn
        while len(self._live) > 1 and self._live[0].last_lsn <= lsn and not self._live[0].readers:
            self._pool.retire(self._live.popleft().segment)

    @contextmanager
    def windows(self, first_lsn: Lsn, last_lsn: Lsn) -> Iterator[list[Window]]:
        """Where the entries with these LSNs lie, as far as they are not trimmed; they stay readable in the ``with`` block."""
        found = [live for live in self._live if live.marks[0][0] <= last_lsn and live.last_lsn >= first_lsn]
        for live in found:
            live.readers += 1
        try:
            yield [window for live in found for window in self._windows(live, first_lsn, last_lsn)]
        finally:
            for live in found:
                live.readers -= 1
            self.trim(self._trimmed_lsn)

    def close(self) -> None:
        for live in self._live:
            live.segment.close()

    def _windows(self, live: _Live, first_lsn: Lsn, last_lsn: Lsn) -> Iterator[Window]:
        end = self._position if live is self._live[-1] else live.segment.size_bytes
        for (lsn, position), (next_lsn, next_position) in pairwise((*live.marks, (Lsn(live.last_lsn + 1), end))):
            if lsn <= last_lsn and next_lsn > first_lsn:
                yield Window(live.segment, live.header, lsn, position, next_position - position)

    @property
    def _active_free_bytes(self) -> int:
        return self._live[-1].segment.size_bytes - self._position if self._live else 0

    def _has_much_up_to(self, lsn: Lsn) -> bool:
        """Whether the active segment has many entries up to ``lsn``, or is large: it seldom has any behind that."""
        if not self._live:
            return False
        count = lsn + 1 - self._live[-1].header.first_lsn
        return count > _READ_AGAIN_ENTRIES or (count > 0 and self._position > _READ_AGAIN_BYTES)

    def _begin_segment(self, first_lsn: Lsn, size_bytes: int) -> bool:
        segment = self._pool.acquire(segment_header_bytes(len(self._cuts)) + size_bytes)
        if segment is None:
            return False
        self._generation += 1
        self._is_left = False
        header = SegmentHeader(
            leader_id=self._leader_id,
            epoch=self._epoch,
            generation=self._generation,
            first_lsn=first_lsn,
            cuts=self._cuts,
        )
        # The header goes out with the first entries, in the same sync: it costs no commit of its own.
        self._writes.append(Write(segment=segment, position=0, buffers=[header.encode()], size_bytes=header.size_bytes))
        self._position = header.size_bytes
        self._live.append(_Live(segment=segment, header=header, last_lsn=first_lsn))
        return True


def read_windows(windows: Sequence[Window], first_lsn: Lsn, last_lsn: Lsn) -> list[WalEntry]:
    """The entries with these LSNs. Blocking. Raises CorruptError when one of them is not there."""
    entries: list[WalEntry] = []
    for window in windows:
        data = window.segment.read(window.position, window.size_bytes)
        found = decode_entries(data, window.header, window.first_lsn, 0)
        entries += (entry for entry in found if first_lsn <= entry.lsn <= last_lsn)
    if [entry.lsn for entry in entries] != list(range(first_lsn, last_lsn + 1)):
        raise CorruptError(f"The WAL has {len(entries)} of the entries {first_lsn} to {last_lsn}.")
    return entries
