"""The file WAL when power fails: at every step, with any part of what was not synced lost; and on a disk that has changed bytes.

What must hold each time: everything acknowledged and not yet in the bucket comes back, in order; nothing comes back that was not
appended; nothing comes back from behind a gap.
"""

import asyncio
import errno
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raylog.model.buffers import Buffer
from raylog.model.clock import SystemClock
from raylog.model.ids import LeaderId, LogEpoch, Lsn, TopicId, TopicPartition
from raylog.storage.file_wal import FileWal, FileWalLimits
from raylog.storage.wal import FlushPolicy, WalEntry
from raylog.storage.wal_disk import aside
from raylog.storage.wal_format import FENCE_BYTES

_T = TypeVar("_T")
SECTOR_BYTES = 512
SEGMENT_BYTES = 16 << 10
PARTITION = TopicPartition(TopicId(UUID(int=1)), 0)


class PowerLost(OSError):
    pass


class DiskFile:
    """What the disk has, and the sectors written since the last sync."""

    def __init__(self, size_bytes: int) -> None:
        self.durable = bytearray(size_bytes)
        self.cached: dict[int, bytes] = {}

    def write(self, data: bytes, position: int) -> None:
        while data:
            sector, start = divmod(position, SECTOR_BYTES)
            content = bytearray(self.read(sector * SECTOR_BYTES, SECTOR_BYTES))
            part = data[: SECTOR_BYTES - start]
            content[start : start + len(part)] = part
            self.cached[sector] = bytes(content)
            position += len(part)
            data = data[len(part) :]

    def read(self, position: int, length: int) -> bytes:
        content = bytearray(self.durable)
        for sector, data in self.cached.items():
            content[sector * SECTOR_BYTES : (sector + 1) * SECTOR_BYTES] = data
        return bytes(content[position : position + length])

    def sync(self) -> None:
        for sector, data in self.cached.items():
            self.durable[sector * SECTOR_BYTES : (sector + 1) * SECTOR_BYTES] = data
        self.cached.clear()


class CrashDisk:
    """A WalDisk in memory whose power fails at the ``crash_at``-th write, sync, creation or removal."""

    def __init__(self) -> None:
        self.files: dict[str, DiskFile] = {}
        self.fence: DiskFile | None = None
        self.steps = 0
        self.crash_at: int | None = None

    def step(self) -> None:
        self.steps += 1
        if self.crash_at is not None and self.steps >= self.crash_at:
            raise PowerLost(errno.EIO, "power lost")

    def power_off(self, survives: Callable[[], bool]) -> None:
        """Of the sectors not synced, those survive of which ``survives`` says so."""
        for file in self.files.values():
            file.cached = {sector: data for sector, data in sorted(file.cached.items()) if survives()}
            file.sync()
        self.crash_at = None

    def exists(self) -> bool:
        return self.fence is not None

    def names(self) -> list[str]:
        return sorted(self.files)

    def create(self, name: str, size_bytes: int) -> "CrashSegment":
        self.step()
        assert name not in self.files
        self.files[name] = DiskFile(size_bytes)
        return CrashSegment(self, name)

    def open(self, name: str) -> "CrashSegment":
        self.files[name].sync()
        return CrashSegment(self, name)

    def set_aside(self, names: Sequence[str]) -> None:
        for name in names:
            self.step()
            self.files[aside(name)] = self.files.pop(name)

    def remove(self, names: Sequence[str]) -> None:
        for name in names:
            self.step()
            self.files.pop(name, None)

    def read_fence(self) -> bytes:
        assert self.fence is not None
        return self.fence.read(0, FENCE_BYTES)

    def write_fence(self, position: int, mark: bytes) -> None:
        self.fence = self.fence or DiskFile(FENCE_BYTES)
        self.fence.write(mark, position)
        self.fence.sync()


class CrashSegment:
    def __init__(self, disk: CrashDisk, name: str) -> None:
        self._disk = disk
        self._file = disk.files[name]
        self.name = name
        self.size_bytes = len(self._file.durable)

    def write(self, buffers: Sequence[Buffer], position: int) -> None:
        # The cache takes the bytes even of the write in which the power fails, so that any part of them may be found later.
        self._file.write(b"".join(buffers), position)
        self._disk.step()

    def sync(self) -> None:
        self._disk.step()
        self._file.sync()

    def read(self, position: int, length: int) -> bytes:
        return self._file.read(position, length)

    def close(self) -> None:
        pass


class InPlace:
    """An Offload without threads, so that each run takes the same steps."""

    def __call__(self, work: Callable[[], _T], /) -> Awaitable[_T]:
        done: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        try:
            done.set_result(work())
        except OSError as error:
            done.set_exception(error)
        return done

    def close(self) -> None:
        pass


class Leader:
    """One epoch of a leader on the disk, and what it may expect of the next."""

    def __init__(self, disk: CrashDisk, epoch: int) -> None:
        self.epoch = epoch
        self.recovered: list[bytes] = []
        self.appended: list[bytes] = []
        self.acknowledged = 0
        self.flushed = 0
        self.is_down = False
        self.wal = FileWal(
            name="file",
            leader_id=LeaderId(1),
            disk=disk,
            limits=FileWalLimits(
                segment_bytes=SEGMENT_BYTES, capacity_bytes=6 * SEGMENT_BYTES, inline_commit_ms_max=60_000
            ),
            flush_policy=FlushPolicy(interval_ms=1, max_bytes=1, immediate=False),
            clock=SystemClock(),
            offload=InPlace(),
        )

    async def open(self) -> None:
        await self.wal.open(LogEpoch(self.epoch))
        async for entry in self.wal.recover():
            self.recovered.append(b"".join(entry.parts))
        self.wal.start(self._on_durable, self._on_fatal)

    def _on_durable(self, lsn: Lsn) -> None:
        assert not self.is_down
        self.acknowledged = lsn

    def _on_fatal(self, error: Exception) -> None:
        assert isinstance(error, PowerLost)
        self.is_down = True

    async def append(self, sizes: Sequence[int]) -> None:
        """Queue entries in one turn, then let them be committed as far as it goes."""
        for size in sizes:
            name = f"{self.epoch}/{len(self.appended) + 1} ".encode()
            body = (name * (size // len(name) + 1))[: max(size, len(name))]
            self.appended.append(body)
            self.wal.append(WalEntry(Lsn(len(self.appended)), PARTITION, (body[:3], body[3:]), len(body)))
        await self.settle()

    async def flush(self) -> None:
        """Everything acknowledged gets into a slot."""
        if self.acknowledged and not self.is_down:
            self.flushed = self.acknowledged
            self.wal.flushed(Lsn(self.flushed))
        await self.settle()

    async def settle(self) -> None:
        for _ in range(12):
            await asyncio.sleep(0)


async def drive(leader: Leader) -> None:
    """Enough to fill segments, trim them and use them again."""
    await leader.open()
    for round_ in range(6):
        await leader.append([100, 2000, 37, 900])
        await leader.append([6000])
        if round_ % 2:
            await leader.flush()
    await leader.append([10, 20])


def check(leaders: Sequence[Leader], successor: Leader) -> None:
    """The successor has, per earlier leader, a gapless run of its entries that covers what was acknowledged and not flushed."""
    rest = successor.recovered
    is_flushed = False
    for index, leader in enumerate(leaders):
        count = 0
        while count < len(rest) and rest[count].startswith(f"{leader.epoch}/".encode()):
            count += 1
        own, rest = rest[:count], rest[count:]
        first = leader.appended.index(own[0]) if own else len(leader.appended)
        assert own == leader.appended[first : first + len(own)]
        # What a later leader has put into a slot covers, by the leader's rule, everything recovered before it.
        is_flushed = any(later.flushed for later in leaders[index + 1 :])
        if not is_flushed and leader.acknowledged > leader.flushed:
            assert first <= leader.flushed and first + len(own) >= leader.acknowledged
    assert not rest


async def crash_run(crash_at: int | None, survives: Callable[[], bool]) -> int:
    """One leader until the power fails, then its successor, then that one's; returns the first one's number of steps."""
    disk = CrashDisk()
    disk.crash_at = crash_at
    leaders: list[Leader] = []
    steps = 0
    for epoch in (1, 2, 3):
        leader = Leader(disk, epoch)
        await drive(leader)
        await leader.wal.close()
        steps = steps or disk.steps
        check(leaders, leader)
        disk.power_off(survives)
        leaders.append(leader)
        if epoch == 1 and crash_at is not None:
            disk.crash_at = disk.steps + crash_at  # the successor's power fails at the same point
    last = Leader(disk, 4)
    await last.open()
    check(leaders, last)
    await last.wal.close()
    return steps


@pytest.mark.parametrize("survives", [True, False], ids=["all reached the disk", "nothing unsynced reached the disk"])
async def test_power_loss_at_every_step(survives: bool) -> None:
    steps = await crash_run(None, lambda: survives)
    assert steps > 40
    for crash_at in range(1, steps + 1):
        await crash_run(crash_at, lambda: survives)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 70), st.randoms(use_true_random=False))
def test_power_loss_with_any_part_of_the_unsynced_sectors_lost(crash_at: int, random: object) -> None:
    asyncio.run(crash_run(crash_at, lambda: random.random() < 0.5))  # type: ignore[attr-defined]


async def written(disk: CrashDisk, sizes: Sequence[Sequence[int]]) -> Leader:
    leader = Leader(disk, 1)
    await leader.open()
    for group in sizes:
        await leader.append(group)
    await leader.wal.close()
    assert leader.acknowledged == len(leader.appended)
    return leader


def places(leader: Leader, disk: CrashDisk) -> list[tuple[str, int, int]]:
    """(segment, first byte, end) of each entry, found by its content."""
    found = []
    for body in leader.appended:
        [(name, at)] = [(n, f.durable.find(body)) for n, f in disk.files.items() if body in f.durable]
        found.append((name, at - 52, at + len(body)))
    return found


async def recovered(disk: CrashDisk) -> list[bytes]:
    successor = Leader(disk, 2)
    await successor.open()
    await successor.wal.close()
    return successor.recovered


async def test_a_changed_byte_ends_the_log_there() -> None:
    disk = CrashDisk()
    leader = await written(disk, [[40, 30], [50], [7000, 7000], [60]])
    entries = places(leader, disk)
    assert len({name for name, _, _ in entries}) == 2
    for index, (name, first, end) in enumerate(entries):
        for at in [*range(first, min(end, first + 130)), *range(first + 130, end, 997), end - 1]:
            disk.files[name].durable[at] ^= 1 << at % 8
            survivors = await recovered(clone(disk))
            assert survivors == leader.appended[:index], f"byte {at - first} of entry {index}"
            disk.files[name].durable[at] ^= 1 << at % 8
    assert await recovered(clone(disk)) == leader.appended


async def test_a_changed_header_hides_its_segment_and_all_behind_it() -> None:
    disk = CrashDisk()
    leader = await written(disk, [[9000], [9000], [9000]])
    entries = places(leader, disk)
    for index, (name, _, _) in enumerate(entries):
        for at in range(46):
            disk.files[name].durable[at] ^= 0x10
            # Without its header the first segment is as one that was trimmed: what follows it is not behind a gap.
            assert await recovered(clone(disk)) == (leader.appended[:index] if index else leader.appended[1:])
            disk.files[name].durable[at] ^= 0x10


async def test_a_file_cut_at_any_byte_keeps_what_is_before() -> None:
    disk = CrashDisk()
    leader = await written(disk, [[40, 30], [50]])
    entries = places(leader, disk)
    name = entries[0][0]
    for at in range(entries[-1][2] + 1):
        shorter = clone(disk)
        shorter.files[name].durable = shorter.files[name].durable[:at]
        whole = sum(end <= at for _, _, end in entries)
        assert await recovered(shorter) == leader.appended[:whole]


def clone(disk: CrashDisk) -> CrashDisk:
    copy = CrashDisk()
    copy.write_fence(0, disk.read_fence())
    for name, file in disk.files.items():
        copy.files[name] = DiskFile(0)
        copy.files[name].durable = bytearray(file.durable)
    return copy
