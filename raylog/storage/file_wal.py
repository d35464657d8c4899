"""The WAL in files on a mounted volume: group commit into preallocated segments, fenced by a file.

Rules:

- One task owns the commits. All entries queued since the last commit go out in vectored writes and one ``fdatasync``.
- While syncs are fast a small commit runs on the event loop's own thread: requests that arrive meanwhile wait in their sockets
  and form the next group, and no hand-over between threads costs them milliseconds. When syncs are slow, in a thread; then one
  commit in a while is tried on the loop's thread, as only there the disk's time is seen without the wait for the interpreter.
- A large commit runs in a thread: the loop takes the next requests meanwhile, which have as many bytes and need as long.
- The fence is looked at after each sync and before the acknowledgement. A taker raises it before it reads the segments: so
  either the look shows the taker, or the taker reads what was synced.
- A taker looks at the fence once more when it has read, before it shows anything: what a fenced writer syncs late may lie behind
  what a later taker has read already, and only one of the two may have it.
- A writer before this one that has written nothing yet may do so late, and its cuts leave out what it had not read. So where the
  fence tells of one, a taker writes its own cuts (a claim) before it shows anything: then they are the newest.
- What is synced and not yet in the bucket can be read back, so that the leader need not keep it in memory: by its own thread, as
  it is large. A segment is not given up for trimming while it is read.
- After a write, a sync or a look at the fence has failed, nothing is acknowledged any more: whether the disk has the bytes is
  then unknown, and a second sync would claim that it has (the page cache forgets what it failed to write).
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

from raylog.model.clock import Clock
from raylog.model.errors import FencedError, RetryError, reading
from raylog.model.ids import LeaderId, LogEpoch, Lsn
from raylog.model.logs import RoleLogger, fields, role_logger
from raylog.storage.wal import FlushPolicy, WalEntry
from raylog.storage.wal_disk import WalDisk
from raylog.storage.wal_format import SegmentHeader, encode_fence_mark, entry_bytes, highest_fence_mark
from raylog.storage.wal_pool import Offload, SegmentPool, segment_name
from raylog.storage.wal_recovery import Leftovers, OldEpoch, find_leftovers, read_segment
from raylog.storage.wal_segments import SegmentLog, Write, read_windows

_SMOOTHING = 0.1
_TRIAL_SECONDS = 0.25
"""Between two commits that are tried on the loop's thread while the others run in their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileWalLimits:
    segment_bytes: int = 64 << 20
    capacity_bytes: int = 8 << 30
    group_bytes_max: int = 8 << 20
    """A commit takes no further entry once it has this much, so that the first ones do not wait for ever more behind them."""
    spares_max: int = 8
    """Of what a burst of writes needed so much is kept for the next one, for a while; at most this is held of the disk for it."""
    inline_commit_ms_max: float = 2.0
    """Commits that take less on average run on the event loop's thread; 0: always in a thread of their own."""
    inline_commit_bytes_max: int = 128 << 10
    """Larger ones run in a thread of their own, too."""


class FileWal:
    """See ``Wal``. One writer; ``name`` says which WAL an error or a log line is about."""

    can_read_back = True

    def __init__(
        self,
        *,
        name: str,
        leader_id: LeaderId,
        disk: WalDisk,
        limits: FileWalLimits,
        flush_policy: FlushPolicy,
        clock: Clock,
        offload: Offload,
    ) -> None:
        self.flush_policy = flush_policy
        self._name = name
        self._leader_id = leader_id
        self._disk = disk
        self._limits = limits
        self._clock = clock
        self._offload = offload
        self._log: RoleLogger = role_logger("wal", leader=leader_id, wal=name)
        self._epoch = LogEpoch(0)
        self._leftovers: Leftovers | None = None
        self._has_rival = False
        """There is something to recover, and an earlier writer has held the WAL and not written to it, and may still do so."""
        self._cuts: dict[LogEpoch, Lsn] | None = None
        self._pool: SegmentPool | None = None
        self._segments: SegmentLog | None = None
        self._on_durable: Callable[[Lsn], None] | None = None
        self._on_fatal: Callable[[Exception], None] | None = None
        self._tasks: tuple[()] | tuple[asyncio.Task[None], asyncio.Task[None]] = ()
        self._queue: deque[WalEntry] = deque()
        self._queued_bytes = 0
        self._work = asyncio.Event()
        self._last_lsn = Lsn(0)
        self._durable_lsn = Lsn(0)
        self._synced_lsn = Lsn(0)
        self._synced = asyncio.Event()
        """Set, and replaced by another one, with each commit."""
        self._fence_page = b""
        """The fence as last seen with this writer's mark on top."""
        self._failed = False
        self._closing = False
        self.commit_seconds = 0.0
        """Smoothed time of a commit on the loop's own thread."""
        self._next_trial_at = 0.0

    @property
    def durable_lsn(self) -> Lsn:
        return self._durable_lsn

    async def open(self, epoch: LogEpoch, *, expected: bool = False) -> None:
        assert self._epoch == 0, "a FileWal is opened once"
        try:
            with reading(f"The WAL {self._name}"):
                self._leftovers = await self._offload(lambda: self._take_over(epoch, expected))
        except OSError as error:
            raise RetryError(f"The WAL {self._name} is not reachable: {error}. Is its volume mounted here?") from error
        self._epoch = epoch

    def _take_over(self, epoch: LogEpoch, expected: bool) -> Leftovers:
        if self._disk.exists():
            self._check_not_above(epoch, self._disk.read_fence())
        elif expected:
            raise RetryError(
                f"The WAL {self._name} has no folder of leader {self._leader_id}. Is its volume mounted here?"
            )
        started = self._clock.monotonic()
        self._disk.write_fence(*encode_fence_mark(self._leader_id, epoch))
        self.commit_seconds = self._clock.monotonic() - started
        # Looked at again, so that of two who open at once the lower one learns of it here.
        page = self._disk.read_fence()
        self._check_not_above(epoch, page)
        leftovers = find_leftovers(self._disk, self._leader_id, epoch)
        rival = highest_fence_mark(page, self._leader_id, below=epoch)
        self._has_rival = bool(leftovers.epochs) and rival > leftovers.newest
        return leftovers

    def _check_not_above(self, epoch: LogEpoch, fence_page: bytes) -> None:
        fence = highest_fence_mark(fence_page, self._leader_id)
        if fence > epoch:
            raise FencedError(f"The WAL {self._name} is held by epoch {fence}; this writer came with epoch {epoch}.")

    async def recover(self) -> AsyncIterator[WalEntry]:
        assert self._leftovers is not None, "open comes first"
        cuts: dict[LogEpoch, Lsn] = {}
        for old in self._leftovers.epochs:
            next_lsn = old.segments[0].header.first_lsn
            for index in range(len(old.segments)):
                entries = await self._offload(partial(self._read_segment, old, index, next_lsn))
                if entries is None:
                    next_lsn = old.first_lsn_behind(index)
                    continue
                if not entries:
                    break
                next_lsn = Lsn(entries[-1].lsn + 1)
                for entry in entries:
                    yield entry
            cuts[old.epoch] = Lsn(next_lsn - 1 if old.last_lsn is None else min(next_lsn - 1, old.last_lsn))
        if self._has_rival:
            await self._offload(lambda: self._claim(cuts))
        await self._offload(lambda: self._check_not_above(self._epoch, self._disk.read_fence()))
        self._cuts = cuts

    def _claim(self, cuts: Mapping[LogEpoch, Lsn]) -> None:
        """Have what was recovered be what every later taker recovers, too. Blocking."""
        assert self._leftovers is not None
        self._disk.remove(self._leftovers.aside_names)  # the disk may be full
        header = SegmentHeader(leader_id=self._leader_id, epoch=self._epoch, generation=0, first_lsn=Lsn(1), cuts=cuts)
        segment = self._disk.create(segment_name(self._epoch, 0), header.size_bytes)
        try:
            segment.write([header.encode()], 0)
            segment.sync()
        finally:
            segment.close()

    def _read_segment(self, old: OldEpoch, index: int, next_lsn: Lsn) -> list[WalEntry] | None:
        entries = read_segment(self._disk, old, index, next_lsn)
        if entries is None:
            # Whoever gave it up since it was listed has its content in durable slots: a later taker, by whom this one is fenced;
            # or the writer before this one, which had not noticed its end, and whose slots this one has replayed.
            self._check_not_above(self._epoch, self._disk.read_fence())
        return entries

    def start(self, on_durable: Callable[[Lsn], None], on_fatal: Callable[[Exception], None]) -> None:
        assert self._leftovers is not None and self._cuts is not None, "recover is read to its end first"
        self._on_durable = on_durable
        self._on_fatal = on_fatal
        self._pool = SegmentPool(
            disk=self._disk,
            epoch=self._epoch,
            segment_bytes=self._limits.segment_bytes,
            capacity_bytes=self._limits.capacity_bytes,
            spares_max=self._limits.spares_max,
            offload=self._offload,
            clock=self._clock,
            log=self._log,
            on_change=self._work.set,
        )
        self._pool.doom(self._leftovers.aside_names)
        self._segments = SegmentLog(leader_id=self._leader_id, epoch=self._epoch, cuts=self._cuts, pool=self._pool)
        self._tasks = (
            asyncio.create_task(self._guarded(self._pool.run), name=f"wal-spares-{self._leader_id}"),
            asyncio.create_task(self._guarded(self._commit_all), name=f"wal-commits-{self._leader_id}"),
        )

    def append(self, entry: WalEntry) -> None:
        assert entry.lsn == self._last_lsn + 1, f"LSN {entry.lsn} after {self._last_lsn}"
        self._last_lsn = entry.lsn
        if not self._failed:
            self._queue.append(entry)
            self._queued_bytes += entry_bytes(entry)
            self._work.set()

    def has_room(self, size_bytes: int, *, beyond_bytes: int = 0) -> bool:
        assert self._segments is not None, "start comes first"
        if self._segments.is_empty and not self._queue:
            return True
        return self._queued_bytes + size_bytes <= self._segments.free_bytes + beyond_bytes

    async def read_back(self, first_lsn: Lsn, last_lsn: Lsn) -> list[WalEntry]:
        assert self._segments is not None, "start comes first"
        while self._synced_lsn < last_lsn:
            await self._synced.wait()
        with self._segments.windows(first_lsn, last_lsn) as windows:
            return await self._offload(lambda: read_windows(windows, first_lsn, last_lsn))

    def cut(self, lsn: Lsn) -> None:
        assert self._segments is not None, "start comes first"
        self._segments.cut(lsn)

    def flushed(self, lsn: Lsn) -> None:
        assert self._segments is not None and self._pool is not None, "start comes first"
        if self._failed:
            return
        # Older epochs' segments stay until one of ours, with the cuts in its header, is durable: without it, whatever a
        # fenced writer adds behind them would count. That an entry of ours is in a slot says that theirs, before it, are.
        if self._leftovers is not None and lsn > 0 and self._synced_lsn > 0:
            self._pool.doom(self._leftovers.names)
            if self._has_rival:
                self._pool.doom([segment_name(self._epoch, 0)])
            self._leftovers = None
        self._segments.trim(Lsn(min(lsn, self._synced_lsn)))
        self._acknowledge(lsn)

    async def close(self) -> None:
        self._closing = True
        self._work.set()
        pool_task, commit_task = self._tasks if self._tasks else (None, None)
        self._tasks = ()
        if commit_task is not None:
            await commit_task
        if self._pool is not None:
            self._pool.close()
        if pool_task is not None:
            await pool_task
        self._offload.close()
        if self._segments is not None and self._pool is not None:
            self._segments.close()
            self._pool.close_files()

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run one of the WAL's two tasks; what ends it ends the WAL."""
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the owner is told and nothing is acknowledged any more
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        assert self._on_fatal is not None
        if self._failed:
            return
        self._failed = True
        self._queue.clear()
        self._queued_bytes = 0
        self._work.set()
        self._log.error("the WAL has ended", extra=fields(error=error, epoch=self._epoch))
        self._on_fatal(error)

    def _acknowledge(self, lsn: Lsn) -> None:
        if lsn > self._durable_lsn and not self._failed:
            assert self._on_durable is not None
            self._durable_lsn = lsn
            self._on_durable(lsn)

    async def _commit_all(self) -> None:
        """Commit group after group until closed or failed."""
        while not self._failed:
            last_lsn = self._place_group()
            if last_lsn is None:
                if self._closing and not (self._queue and self._pool_can_help()):
                    return
                self._work.clear()
                await self._work.wait()
                continue
            await self._commit(last_lsn)
            # One turn of the loop: what is readable on the sockets by now joins the next group.
            await self._clock.sleep(0)

    def _pool_can_help(self) -> bool:
        return self._pool is not None and self._pool.spare_coming

    def _place_group(self) -> Lsn | None:
        """Give queued entries their places; the last one's LSN, or None when there is none or no segment for it."""
        assert self._segments is not None
        placed_bytes = 0
        last_lsn: Lsn | None = None
        while self._queue and placed_bytes < self._limits.group_bytes_max and self._segments.place(self._queue[0]):
            entry = self._queue.popleft()
            placed_bytes += entry_bytes(entry)
            last_lsn = entry.lsn
        self._queued_bytes -= placed_bytes
        return last_lsn

    async def _commit(self, last_lsn: Lsn) -> None:
        assert self._segments is not None
        writes = self._segments.take_writes()
        started = self._clock.monotonic()
        if self._is_inline(started, sum(write.size_bytes for write in writes)):
            self._write_and_look(writes)
            self._judge(started, self._clock.monotonic())
        else:
            await self._offload(lambda: self._write_and_look(writes))
        self._synced_lsn = last_lsn
        synced, self._synced = self._synced, asyncio.Event()
        synced.set()
        self._acknowledge(last_lsn)

    def _is_inline(self, now: float, size_bytes: int) -> bool:
        if size_bytes > self._limits.inline_commit_bytes_max:
            return False
        inline_seconds_max = self._limits.inline_commit_ms_max / 1000
        return self.commit_seconds < inline_seconds_max or (inline_seconds_max > 0 and now >= self._next_trial_at)

    def _judge(self, started: float, ended: float) -> None:
        """A commit on the loop's thread has ended: are its kind fast?"""
        seconds = ended - started
        is_trial = self.commit_seconds * 1000 >= self._limits.inline_commit_ms_max
        # A trial stands for itself: the average before it is of another time.
        weight = 1.0 if is_trial else _SMOOTHING
        self.commit_seconds += weight * (seconds - self.commit_seconds)
        self._next_trial_at = ended + _TRIAL_SECONDS

    def _write_and_look(self, writes: list[Write]) -> None:
        """Make the writes durable, then see that the fence still shows this writer. Blocking."""
        for write in writes:
            write.run()
        page = self._disk.read_fence()
        if page != self._fence_page:
            fence = highest_fence_mark(page, self._leader_id)
            if fence != self._epoch:
                raise FencedError(f"The WAL {self._name} was taken from epoch {self._epoch} by epoch {fence}.")
            self._fence_page = page
