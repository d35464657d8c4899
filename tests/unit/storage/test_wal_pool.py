"""Which segments a file WAL makes, uses again and removes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from raylog.model.clock import SystemClock
from raylog.model.ids import LogEpoch
from raylog.model.logs import role_logger
from raylog.storage import wal_pool
from raylog.storage.wal_disk import PosixDisk, SegmentFile
from raylog.storage.wal_pool import SegmentPool, ThreadOffload

SEGMENT_BYTES = 1 << 16
BURST = 6


class Pool:
    """A pool on a disk, as a WAL uses it."""

    def __init__(self, disk: PosixDisk, spares_max: int) -> None:
        self.disk = disk
        self.changed = asyncio.Event()
        self.pool = SegmentPool(
            disk=disk,
            epoch=LogEpoch(1),
            segment_bytes=SEGMENT_BYTES,
            capacity_bytes=100 * SEGMENT_BYTES,
            spares_max=spares_max,
            offload=ThreadOffload("wal-test"),
            clock=SystemClock(),
            log=role_logger("wal"),
            on_change=self.changed.set,
        )

    async def acquire(self) -> SegmentFile:
        while (segment := self.pool.acquire(1)) is None:
            await self.change()
        return segment

    async def change(self) -> None:
        self.changed.clear()
        await asyncio.wait_for(self.changed.wait(), 20)

    async def burst(self, size: int = BURST) -> None:
        """Fill some segments, and have all of them in the bucket."""
        for segment in [await self.acquire() for _ in range(size)]:
            self.pool.retire(segment)

    async def until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            await self.change()


@asynccontextmanager
async def running(folder: Path, *, spares_max: int = 8) -> AsyncIterator[Pool]:
    disk = PosixDisk(folder, "leader-000001")
    disk.folder.mkdir()
    pool = Pool(disk, spares_max)
    run = asyncio.create_task(pool.pool.run())
    yield pool
    pool.pool.close()
    await run
    pool.pool.close_files()


async def test_what_a_burst_needed_is_there_for_the_next(tmp_path: Path) -> None:
    async with running(tmp_path) as pool:
        await pool.burst()
        await pool.until(lambda: len(pool.pool._spares) >= BURST)
        names = pool.disk.names()
        for _ in range(3):
            await pool.burst(BURST - 1)
            await pool.until(lambda: len(pool.pool._spares) >= BURST)
        assert pool.disk.names() == names
        await pool.until(lambda: pool.pool.free_bytes == 100 * SEGMENT_BYTES)


async def test_what_nobody_needs_any_more_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wal_pool, "_UNUSED_SECONDS", 0.001)
    async with running(tmp_path) as pool:
        await pool.burst()
        await pool.until(lambda: len(pool.disk.names()) == 2 and pool.pool.free_bytes == 100 * SEGMENT_BYTES)
        await pool.burst()
        await pool.until(lambda: len(pool.disk.names()) == 2)


async def test_spares_are_bounded(tmp_path: Path) -> None:
    async with running(tmp_path, spares_max=3) as pool:
        await pool.burst()
        await pool.until(lambda: len(pool.disk.names()) == 3 and pool.pool.free_bytes == 100 * SEGMENT_BYTES)
