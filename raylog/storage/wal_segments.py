"""Where a file WAL's entries go: the active segment, those before it that are not in the bucket yet, and their trimming."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from raylog.model.buffers import Buffer
from raylog.model.ids import LeaderId, LogEpoch, Lsn
from raylog.storage.wal import WalEntry
from raylog.storage.wal_disk import SegmentFile
from raylog.storage.wal_format import SegmentHeader, encode_entry_header, entry_bytes, segment_header_bytes
from raylog.storage.wal_pool import SegmentPool

_READ_AGAIN_SHARE = 32
"""Of a segment, above which the bucket having it is worth a new one: 2 MiB of the default size."""


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


@dataclass(slots=True, kw_only=True)
class _Live:
    segment: SegmentFile
    first_lsn: Lsn
    last_lsn: Lsn


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
        self._is_left = False
        """The next entry begins another segment, if there is one."""
        self._writes: list[Write] = []

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
        self._position += size_bytes
        live.last_lsn = entry.lsn
        return True

    def take_writes(self) -> list[Write]:
        """What was placed since the last call, in order."""
        writes, self._writes = self._writes, []
        return writes

    def trim(self, lsn: Lsn) -> None:
        """Give back the segments whose entries are all at or below ``lsn``; the active one stays.

        But it is left for another soon if much of it is at or below: whoever starts after this writer's end reads all of it, and
        those who wait for that would wait for what is in the bucket.
        """
        while len(self._live) > 1 and self._live[0].last_lsn <= lsn:
            self._pool.retire(self._live.popleft().segment)
        if self._live and self._live[-1].first_lsn <= lsn:
            self._is_left = self._position > self._live[-1].segment.size_bytes // _READ_AGAIN_SHARE

    def close(self) -> None:
        for live in self._live:
            live.segment.close()

    @property
    def _active_free_bytes(self) -> int:
        return self._live[-1].segment.size_bytes - self._position if self._live else 0

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
        self._live.append(_Live(segment=segment, first_lsn=first_lsn, last_lsn=first_lsn))
        return True
