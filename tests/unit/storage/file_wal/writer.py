"""A leader's use of a file WAL, on a real folder."""

import asyncio
from collections.abc import Callable
from uuid import UUID

from raylog.model.clock import SystemClock
from raylog.model.ids import LeaderId, LogEpoch, Lsn, TopicId, TopicPartition
from raylog.storage.file_wal import FileWal, FileWalLimits
from raylog.storage.wal import FlushPolicy, WalEntry
from raylog.storage.wal_disk import PosixDisk
from raylog.storage.wal_pool import ThreadOffload

SEGMENT_BYTES = 64 << 10
PARTITION = TopicPartition(TopicId(UUID(int=7)), 3)


def entry(lsn: int, body: bytes = b"") -> WalEntry:
    body = body or f"batch {lsn}".encode()
    half = len(body) // 2
    return WalEntry(Lsn(lsn), PARTITION, (body[:half], memoryview(body)[half:]), len(body))


class Writer:
    """A leader's use of a WAL."""

    def __init__(
        self,
        disk: PosixDisk,
        *,
        inline: bool = True,
        inline_bytes: int = SEGMENT_BYTES,
        segment_bytes: int = SEGMENT_BYTES,
        capacity_bytes: int = 64 * SEGMENT_BYTES,
    ) -> None:
        self.wal = FileWal(
            name="file",
            leader_id=LeaderId(1),
            disk=disk,
            limits=FileWalLimits(
                segment_bytes=segment_bytes,
                capacity_bytes=capacity_bytes,
                inline_commit_ms_max=60_000 if inline else 0,
                inline_commit_bytes_max=inline_bytes,
            ),
            flush_policy=FlushPolicy(interval_ms=10_000, max_bytes=64 << 20, immediate=False),
            clock=SystemClock(),
            offload=ThreadOffload("wal-test"),
        )
        self.recovered: list[tuple[int, bytes]] = []
        self.durable: list[int] = []
        self.fatal: list[Exception] = []
        self._changed = asyncio.Event()

    async def open(self, epoch: int, *, expected: bool = False) -> "Writer":
        await self.wal.open(LogEpoch(epoch), expected=expected)
        async for found in self.wal.recover():
            assert found.partition == PARTITION
            self.recovered.append((found.lsn, b"".join(found.parts)))
        self.wal.start(self._on_durable, self._on_fatal)
        return self

    def _on_durable(self, lsn: Lsn) -> None:
        assert not self.fatal
        self.durable.append(lsn)
        self._changed.set()

    def _on_fatal(self, error: Exception) -> None:
        self.fatal.append(error)
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), 20)

    async def until_durable(self, lsn: int) -> None:
        await self.until(lambda: self.wal.durable_lsn >= lsn or bool(self.fatal))
        assert not self.fatal, self.fatal


async def turn_until(condition: Callable[[], object]) -> None:
    """Turn the event loop until a polled condition holds."""
    while not condition():  # noqa: ASYNC110 - has_room is there to be polled
        await asyncio.sleep(0)


def raises(code: int) -> Callable[..., object]:
    """For a monkeypatch: fails with an ``OSError`` of that code."""

    def fail(*_: object) -> object:
        raise OSError(code, "injected")

    return fail
