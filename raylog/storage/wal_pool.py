"""The spare segments of a file WAL: made ahead of need, used again after trimming, never more than the capacity.

Rules:

- A segment is used again only by the writer that made it. A fenced writer, stopped in the middle of a write, may go on
  writing into its own files when it wakes; those are removed and never used again, so it can harm nobody.
- A trimmed segment becomes a spare only after its header has been wiped and synced, oldest first. So the headers on the disk
  are always those of consecutive generations, and half-written new content never hides live segments behind it.
- What a burst of writes needed stays as spares until none of it was used for a minute: else it would be removed as the bucket
  takes the burst, and made again, 64 MiB of zeros each, for the next entries.
- A leader's first second is for those who wait for it: only what a commit waits for is made then, and nothing is removed.
- Where the disk has no room for another segment the WAL is full, not broken: it goes on when trimming or the disk gives room.
"""

import asyncio
import errno
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from raylog.model.clock import Clock
from raylog.model.ids import LogEpoch
from raylog.model.logs import RoleLogger, fields
from raylog.storage.wal_disk import SegmentFile, WalDisk
from raylog.storage.wal_format import HEADER_ALIGNMENT_BYTES

_T = TypeVar("_T")
_SPARES_KEPT = 2
_UNUSED_SECONDS = 60.0
"""More spares than ``_SPARES_KEPT`` are kept so long after the last use of one, or up to twice that."""
_FIRST_BYTES_MAX = 4 << 20
"""The first segment has less: the first commit of a leader waits for it to be made, and the next is made beside commits."""
_FULL_RETRY_SECONDS = 1.0
_CALM_SECONDS = 1.0
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_BLANK = bytes(HEADER_ALIGNMENT_BYTES)


class Offload(Protocol):
    """Runs blocking work off the event loop; the simulation runs it in place."""

    def __call__(self, work: Callable[[], _T], /) -> Awaitable[_T]: ...

    def close(self) -> None: ...


class ThreadOffload:
    """One thread for commits, one for making spares and one for reading back, so that neither of those delays a sync."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(max_workers=3, thread_name_prefix=name)

    def __call__(self, work: Callable[[], _T], /) -> Awaitable[_T]:
        return asyncio.get_running_loop().run_in_executor(self._executor, work)

    def close(self) -> None:
        self._executor.shutdown(wait=True)


class SegmentPool:
    """All files that this epoch's writer made. ``on_change`` is called when a segment became available, or cannot be made."""

    def __init__(
        self,
        *,
        disk: WalDisk,
        epoch: LogEpoch,
        segment_bytes: int,
        capacity_bytes: int,
        spares_max: int,
        offload: Offload,
        clock: Clock,
        log: RoleLogger,
        on_change: Callable[[], None],
    ) -> None:
        self._disk = disk
        self._epoch = epoch
        self._segment_bytes = segment_bytes
        self._capacity_bytes = capacity_bytes
        self._spares_max = spares_max
        self._offload = offload
        self._clock = clock
        self._log = log
        self._on_change = on_change
        self._spares: list[SegmentFile] = []
        self._spare_bytes = 0
        self._live_count = 0
        self._retired: deque[SegmentFile] = deque()
        self._doomed_names: list[str] = []
        self._made_bytes = 0
        self._made_count = 0
        self._wanted_bytes = min(segment_bytes, _FIRST_BYTES_MAX)
        self._disk_full = False
        self._next_try_at = 0.0
        self._is_waited_for = True
        """Nobody can commit before there is another spare."""
        self._is_calm = False
        self._is_used = False
        """A spare was, since the last look."""
        self._unused_timer: asyncio.TimerHandle | None = None
        self._has_too_many = False
        self._closing = False
        self._work = asyncio.Event()
        self._work.set()

    @property
    def free_bytes(self) -> int:
        """What spares hold and what may still be made. To ask is also to try a full disk again, once a second."""
        if self._disk_full:
            self._work.set()
        if self._disk_full:
            return self._spare_bytes
        return self._spare_bytes + max(0, self._capacity_bytes - self._made_bytes)

    @property
    def spare_coming(self) -> bool:
        """Is a segment being made that somebody may wait for?"""
        return self._spare_needed() and not self._disk_full

    def acquire(self, size_bytes: int) -> SegmentFile | None:
        """A spare of at least this size; None when there is none yet: it is then being made, and ``on_change`` tells."""
        self._work.set()
        for index, spare in enumerate(self._spares):
            if spare.size_bytes >= size_bytes:
                self._live_count += 1
                self._wanted_bytes = self._segment_bytes
                self._spare_bytes -= spare.size_bytes
                self._is_used = True
                return self._spares.pop(index)
        self._wanted_bytes = max(self._segment_bytes, size_bytes)
        self._is_waited_for = True
        return None

    def retire(self, segment: SegmentFile) -> None:
        """All entries of this segment, and of those retired before it, are in the bucket."""
        self._live_count -= 1
        self._retired.append(segment)
        self._work.set()

    def doom(self, names: Sequence[str]) -> None:
        """Remove older epochs' segments, before any that retires from now on is wiped."""
        self._doomed_names += names
        self._work.set()

    async def run(self) -> None:
        """Make, wipe and remove segments as asked, until ``close``. Raises the OSError that ends the WAL."""
        calm = asyncio.get_running_loop().call_later(_CALM_SECONDS, self._calm_down)
        while not self._closing or self._doomed_names or self._retired:
            if self._spare_needed() and (self._is_calm or self._is_waited_for) and not self._closing:
                await self._make_spare()
            if self._is_calm or self._disk_full or self._closing:
                await self._remove_doomed()
                while self._retired:
                    await self._wipe_or_remove(self._retired.popleft())
            if self._has_too_many:
                await self._remove_unused()
            if not self._closing:
                await self._work.wait()
                self._work.clear()
        calm.cancel()
        if self._unused_timer is not None:
            self._unused_timer.cancel()

    def close(self) -> None:
        """Let ``run`` finish what it was asked for and end; it is not to be cancelled, as a thread may hold a file of ours."""
        self._closing = True
        self._work.set()

    def close_files(self) -> None:
        """After ``run`` has ended."""
        for segment in (*self._spares, *self._retired):
            segment.close()

    def _calm_down(self) -> None:
        self._is_calm = True
        self._work.set()

    async def _remove_doomed(self) -> None:
        if self._doomed_names:
            names, self._doomed_names = self._doomed_names, []
            await self._offload(lambda: self._disk.remove(names))
            self._room_was_made()

    async def _wipe_or_remove(self, segment: SegmentFile) -> None:
        if len(self._spares) >= self._spares_max or segment.size_bytes != self._segment_bytes:
            await self._remove([segment])
        else:
            await self._offload(lambda: _wipe(segment))
            self._keep(segment)
            self._room_was_made()

    async def _remove_unused(self) -> None:
        self._has_too_many = False
        self._spares, unused = self._spares[:_SPARES_KEPT], self._spares[_SPARES_KEPT:]
        self._spare_bytes -= sum(spare.size_bytes for spare in unused)
        if unused:
            await self._remove(unused)

    async def _remove(self, segments: Sequence[SegmentFile]) -> None:
        names = [segment.name for segment in segments]
        for segment in segments:
            self._made_bytes -= segment.size_bytes
            segment.close()
        await self._offload(lambda: self._disk.remove(names))
        self._room_was_made()

    def _look_for_unused(self) -> None:
        self._unused_timer = None
        if self._is_used:
            self._is_used = False
            self._look_later()
        else:
            self._has_too_many = True
            self._work.set()

    def _look_later(self) -> None:
        if self._unused_timer is None and len(self._spares) > _SPARES_KEPT:
            self._unused_timer = asyncio.get_running_loop().call_later(_UNUSED_SECONDS, self._look_for_unused)

    def _room_was_made(self) -> None:
        self._disk_full = False
        self._work.set()
        self._on_change()

    def _spare_needed(self) -> bool:
        if any(spare.size_bytes >= self._wanted_bytes for spare in self._spares):
            return False
        if self._disk_full and self._clock.monotonic() < self._next_try_at:
            return False
        # One entry may be larger than the capacity: it gets its segment when nothing else is live.
        return self._live_count == 0 or self._made_bytes + self._wanted_bytes <= self._capacity_bytes

    async def _make_spare(self) -> None:
        size_bytes = self._wanted_bytes
        self._made_count += 1
        name = segment_name(self._epoch, self._made_count)
        try:
            spare = await self._offload(lambda: self._disk.create(name, size_bytes))
        except OSError as error:
            if error.errno not in _NO_SPACE:
                raise
            if not self._disk_full:
                self._log.warning("the WAL's disk is full: writes wait for room", extra=fields(error=error))
            self._disk_full = True
            self._next_try_at = self._clock.monotonic() + _FULL_RETRY_SECONDS
            self._on_change()
            return
        self._disk_full = False
        self._made_bytes += spare.size_bytes
        self._wanted_bytes = self._segment_bytes
        self._keep(spare)
        self._on_change()

    def _keep(self, spare: SegmentFile) -> None:
        self._is_waited_for = False
        self._spares.append(spare)
        self._spare_bytes += spare.size_bytes
        self._look_later()


def segment_name(epoch: LogEpoch, number: int) -> str:
    """Of the so-manieth file that the epoch's writer has made; 0: its claim."""
    return f"{epoch:010d}-{number:08d}.wal"


def epoch_of(name: str) -> LogEpoch | None:
    """The epoch whose writer made this segment; None for a file that is no segment."""
    stem, _, suffix = name.partition(".")
    epoch, _, number = stem.partition("-")
    return LogEpoch(int(epoch)) if suffix == "wal" and epoch.isdigit() and number.isdigit() else None


def _wipe(segment: SegmentFile) -> None:
    segment.write([_BLANK], 0)
    segment.sync()
