"""The file WAL on a real folder: recovery, fencing, group commit, trimming, a full disk, a failing disk."""

import asyncio
import errno
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID

import pytest

from raylog.model.clock import SystemClock
from raylog.model.errors import CorruptError, FencedError, RetryError
from raylog.model.ids import LeaderId, LogEpoch, Lsn, TopicId, TopicPartition
from raylog.storage import wal_recovery
from raylog.storage.file_wal import FileWal, FileWalLimits
from raylog.storage.wal import FlushPolicy, WalEntry
from raylog.storage.wal_disk import PosixDisk, PosixSegment
from raylog.storage.wal_format import decode_segment_header
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
        capacity_bytes: int = 64 * SEGMENT_BYTES,
    ) -> None:
        self.wal = FileWal(
            name="file",
            leader_id=LeaderId(1),
            disk=disk,
            limits=FileWalLimits(
                segment_bytes=SEGMENT_BYTES,
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


@pytest.fixture
def disk(tmp_path: Path) -> PosixDisk:
    return PosixDisk(tmp_path, "leader-000001")


@pytest.mark.parametrize("inline", [True, False])
async def test_what_was_acknowledged_is_recovered_in_order(disk: PosixDisk, inline: bool) -> None:
    writer = await Writer(disk, inline=inline).open(1)
    for lsn in range(1, 101):
        writer.wal.append(entry(lsn))
    await writer.until_durable(100)
    assert writer.durable == sorted(set(writer.durable))
    await writer.wal.close()
    await writer.wal.close()

    successor = await Writer(disk).open(2)
    assert successor.recovered == [(lsn, f"batch {lsn}".encode()) for lsn in range(1, 101)]
    await successor.wal.close()


async def test_entries_queued_in_one_turn_share_one_commit(disk: PosixDisk) -> None:
    writer = await Writer(disk).open(1)
    writer.wal.append(entry(1))
    await writer.until_durable(1)
    for lsn in range(2, 901):
        writer.wal.append(entry(lsn))
    await writer.until_durable(900)
    assert writer.durable == [1, 900]
    await writer.wal.close()


async def test_close_syncs_what_is_queued_even_before_the_first_segment_is_made(disk: PosixDisk) -> None:
    writer = await Writer(disk).open(1)
    writer.wal.append(entry(1))
    await writer.wal.close()
    assert writer.durable == [1]
    successor = await Writer(disk).open(2)
    assert [lsn for lsn, _ in successor.recovered] == [1]
    await successor.wal.close()


async def test_entries_of_several_epochs_come_back_until_flushed(disk: PosixDisk) -> None:
    for epoch in (1, 4, 9):
        writer = await Writer(disk).open(epoch)
        assert len(writer.recovered) == {1: 0, 4: 2, 9: 4}[epoch]
        for lsn in (1, 2):
            writer.wal.append(entry(lsn, f"{epoch}/{lsn}".encode()))
        await writer.until_durable(2)
        await writer.wal.close()
    last = await Writer(disk).open(10)
    assert [body for _, body in last.recovered] == [b"1/1", b"1/2", b"4/1", b"4/2", b"9/1", b"9/2"]
    last.wal.append(entry(1, b"10/1"))
    await last.until_durable(1)
    last.wal.flushed(Lsn(0))
    assert [name[:10] for name in disk.names() if name < "0000000010"] == ["0000000001", "0000000004", "0000000009"]
    last.wal.flushed(Lsn(1))
    await last.wal.close()
    after = await Writer(disk).open(11)
    assert [body for _, body in after.recovered] == [b"10/1"]
    await after.wal.close()


async def test_trimmed_segments_are_used_again_and_their_old_content_never_comes_back(disk: PosixDisk) -> None:
    writer = await Writer(disk, capacity_bytes=5 * SEGMENT_BYTES).open(1)
    body = bytes(10_000)
    for lsn in range(1, 121):
        writer.wal.append(entry(lsn, body))
        await writer.until_durable(lsn)
        if lsn % 12 == 0:
            writer.wal.flushed(Lsn(lsn))
    await writer.wal.close()
    assert len(disk.names()) <= 5
    successor = await Writer(disk).open(2)
    lsns = [lsn for lsn, _ in successor.recovered]
    assert lsns == list(range(lsns[0], 121))
    await successor.wal.close()


@pytest.mark.parametrize("piece_bytes", [1, 100, 1000])
async def test_entries_are_found_wherever_the_pieces_end_that_are_read(
    disk: PosixDisk, monkeypatch: pytest.MonkeyPatch, piece_bytes: int
) -> None:
    monkeypatch.setattr(wal_recovery, "_PIECE_BYTES_MIN", piece_bytes)
    monkeypatch.setattr(wal_recovery, "_PIECE_BYTES_MAX", piece_bytes)
    bodies = [bytes([size % 251]) * size for size in (*range(1, 200), 30_000, 5)]
    writer = await Writer(disk).open(1)
    for lsn, body in enumerate(bodies, start=1):
        writer.wal.append(entry(lsn, body))
    await writer.until_durable(len(bodies))
    await writer.wal.close()
    successor = await Writer(disk).open(2)
    assert [body for _, body in successor.recovered] == bodies
    await successor.wal.close()


async def test_a_restart_does_not_read_again_what_the_bucket_has_had_for_two_flushes(disk: PosixDisk) -> None:
    writer = await Writer(disk).open(1)
    for lsn in range(1, 9):
        writer.wal.append(entry(lsn, bytes([lsn]) * 9000))
        await writer.until_durable(lsn)
        await turn_until(lambda: writer.wal._pool._spares)
        if lsn % 2 == 0:
            writer.wal.flushed(Lsn(lsn))
    await writer.wal.close()
    successor = await Writer(disk).open(2)
    assert [lsn for lsn, _ in successor.recovered] == [7, 8]
    await successor.wal.close()


async def test_an_entry_larger_than_a_segment_gets_one_of_its_size(disk: PosixDisk) -> None:
    writer = await Writer(disk).open(1)
    large = bytes(range(256)) * 1024
    for lsn, body in enumerate((b"small", large, b"small again"), start=1):
        writer.wal.append(entry(lsn, body))
    await writer.until_durable(3)
    await writer.wal.close()
    successor = await Writer(disk).open(2)
    assert [body for _, body in successor.recovered] == [b"small", large, b"small again"]
    await successor.wal.close()


async def test_a_full_wal_has_no_room_until_flushed(disk: PosixDisk) -> None:
    writer = await Writer(disk, capacity_bytes=4 * SEGMENT_BYTES).open(1)
    body = bytes(20_000)
    lsn = 0
    while writer.wal.has_room(len(body)):
        lsn += 1
        writer.wal.append(entry(lsn, body))
        await writer.until_durable(lsn)
    assert 9 <= lsn <= 12
    writer.wal.flushed(Lsn(lsn))
    await turn_until(lambda: writer.wal.has_room(len(body)))
    writer.wal.append(entry(lsn + 1, body))
    await writer.until_durable(lsn + 1)
    await writer.wal.close()


async def turn_until(condition: Callable[[], object]) -> None:
    """Turn the event loop until a polled condition holds."""
    while not condition():  # noqa: ASYNC110 - has_room is there to be polled
        await asyncio.sleep(0)


async def test_a_taker_fences_the_writer_before_it_acknowledges(disk: PosixDisk) -> None:
    old = await Writer(disk).open(1)
    old.wal.append(entry(1))
    await old.until_durable(1)
    taker = await Writer(disk).open(2)
    old.wal.append(entry(2))
    await old.until(lambda: bool(old.fatal))
    assert isinstance(old.fatal[0], FencedError)
    old.wal.append(entry(3))
    old.wal.flushed(Lsn(3))
    assert old.durable == [1] and old.wal.durable_lsn == 1
    await old.wal.close()

    # What the fenced writer added is behind the taker's cut: only what the taker itself acknowledged counts beside it.
    taker.wal.append(entry(1, b"taker"))
    await taker.until_durable(1)
    await taker.wal.close()
    third = await Writer(disk).open(3)
    assert third.recovered == [(1, b"batch 1"), (1, b"taker")]
    await third.wal.close()


async def test_what_a_fenced_writer_puts_into_its_first_segment_late_is_nobodys(disk: PosixDisk) -> None:
    fenced = await Writer(disk).open(1)
    await turn_until(lambda: fenced.wal._pool._spares)
    taker = await Writer(disk).open(2)
    fenced.wal.append(entry(1))
    await fenced.until(lambda: bool(fenced.fatal))
    # What the taker removes later is nothing that anybody has shown meanwhile.
    third = await Writer(disk).open(3)
    assert third.recovered == []
    for writer in (fenced, taker, third):
        await writer.wal.close()
    assert all(name.startswith("0000000003") for name in disk.names()[1:]), disk.names()


async def test_what_a_taker_has_shown_stays_when_the_taker_before_it_writes_late(disk: PosixDisk) -> None:
    first = await Writer(disk).open(1)
    first.wal.append(entry(1))
    await first.until_durable(1)
    second = await Writer(disk).open(2)
    assert second.recovered == [(1, b"batch 1")]
    first.wal.append(entry(2))
    await first.until(lambda: bool(first.fatal))
    third = await Writer(disk).open(3)
    shown = [(1, b"batch 1"), (2, b"batch 2")]
    assert third.recovered == shown
    # The second wakes. It has not read the first one's last entry, and its segment says so.
    second.wal.append(entry(1, b"second"))
    await second.until(lambda: bool(second.fatal))
    assert second.durable == []
    fourth = await Writer(disk).open(4)
    assert fourth.recovered == shown
    for writer in (first, second, third):
        await writer.wal.close()
    fourth.wal.append(entry(1, b"fourth"))
    await fourth.until_durable(1)
    fourth.wal.flushed(Lsn(1))
    await fourth.wal.close()
    assert [name[:10] for name in disk.names()] == ["0000000004"] * len(disk.names())
    fifth = await Writer(disk).open(5)
    assert fifth.recovered == [(1, b"fourth")]
    await fifth.wal.close()


async def test_a_fenced_writers_segments_are_never_used_again(disk: PosixDisk) -> None:
    old = await Writer(disk).open(1)
    old.wal.append(entry(1))
    await old.until_durable(1)
    taker = await Writer(disk).open(2)
    taker.wal.append(entry(1, b"taker"))
    await taker.until_durable(1)
    taker.wal.flushed(Lsn(1))
    # The fenced writer wakes in the middle of a commit and goes on writing into its file.
    old.wal.append(entry(2, bytes(30_000)))
    await old.until(lambda: bool(old.fatal))
    await old.wal.close()
    await taker.wal.close()
    third = await Writer(disk).open(3)
    assert third.recovered == [(1, b"taker")]
    await third.wal.close()


async def test_a_taker_that_is_overtaken_while_it_reads_learns_that_it_is_fenced(disk: PosixDisk) -> None:
    first = await Writer(disk).open(1)
    first.wal.append(entry(1))
    await first.until_durable(1)
    await first.wal.close()
    slow = Writer(disk)
    await slow.wal.open(LogEpoch(2))
    quick = await Writer(disk).open(3)
    quick.wal.append(entry(1))
    await quick.until_durable(1)
    quick.wal.flushed(Lsn(1))
    await quick.wal.close()  # what the first had is in the bucket, and its segment is gone
    with pytest.raises(FencedError, match="held by epoch 3"):
        assert not [found async for found in slow.wal.recover()]
    await slow.wal.close()


async def test_of_two_takers_only_the_later_gets_what_is_synced_late(disk: PosixDisk) -> None:
    old = await Writer(disk).open(1)
    old.wal.append(entry(1, b"acknowledged"))
    await old.until_durable(1)
    slow = Writer(disk)
    await slow.wal.open(LogEpoch(2))
    quick = await Writer(disk).open(3)
    assert quick.recovered == [(1, b"acknowledged")]
    old.wal.append(entry(2, b"synced late"))
    await old.until(lambda: bool(old.fatal))
    with pytest.raises(FencedError, match="held by epoch 3"):
        assert [found.parts async for found in slow.wal.recover()]
    for wal in (old.wal, slow.wal, quick.wal):
        await wal.close()


async def test_what_the_fenced_writer_removes_while_the_taker_reads_is_in_the_bucket(disk: PosixDisk) -> None:
    first = await Writer(disk).open(1)
    first.wal.append(entry(1, b"flushed"))
    await first.until_durable(1)
    await first.wal.close()
    writer = await Writer(disk).open(2)
    writer.wal.append(entry(1, b"not flushed"))
    await writer.until_durable(1)
    taker = Writer(disk)
    await taker.wal.open(LogEpoch(3))
    writer.wal.flushed(Lsn(1))
    await writer.wal.close()
    assert [found.parts async for found in taker.wal.recover()] == [(b"not flushed",)]
    await taker.wal.close()


async def test_a_lower_epoch_cannot_open(disk: PosixDisk) -> None:
    await (await Writer(disk).open(5)).wal.close()
    with pytest.raises(FencedError, match="held by epoch 5"):
        await Writer(disk).open(4)


async def test_the_same_epoch_may_try_again_after_an_error(disk: PosixDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Writer(disk)
    with monkeypatch.context() as patch:
        patch.setattr(PosixDisk, "names", _raises(errno.EIO))
        with pytest.raises(RetryError):
            await writer.open(1)
    await writer.open(1)
    writer.wal.append(entry(1))
    await writer.until_durable(1)
    await writer.wal.close()


def _raises(code: int) -> Callable[..., object]:
    def fail(*_: object) -> object:
        raise OSError(code, "injected")

    return fail


async def test_a_missing_mount_is_no_empty_wal(tmp_path: Path) -> None:
    with pytest.raises(RetryError, match="mounted"):
        await Writer(PosixDisk(tmp_path / "absent", "leader-000001")).open(1)
    assert not (tmp_path / "absent").exists()


async def test_an_empty_place_where_a_wal_is_expected_is_refused(disk: PosixDisk) -> None:
    with pytest.raises(RetryError, match="mounted"):
        await Writer(disk).open(2, expected=True)
    await (await Writer(disk).open(2)).wal.close()
    await (await Writer(disk).open(3, expected=True)).wal.close()


async def test_another_leaders_folder_is_refused(disk: PosixDisk) -> None:
    await (await Writer(disk).open(1)).wal.close()
    stranger = Writer(disk)
    stranger.wal._leader_id = LeaderId(2)
    with pytest.raises(Exception, match="belongs to leader 1"):
        await stranger.open(2)


@pytest.mark.parametrize("inline", [True, False])
async def test_nothing_is_acknowledged_after_a_failed_sync(
    disk: PosixDisk, inline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = await Writer(disk, inline=inline).open(1)
    writer.wal.append(entry(1))
    await writer.until_durable(1)
    with monkeypatch.context() as patch:
        patch.setattr(PosixSegment, "sync", _raises(errno.EIO))
        writer.wal.append(entry(2))
        await writer.until(lambda: bool(writer.fatal))
    writer.wal.append(entry(3))
    await writer.wal.close()
    assert writer.durable == [1]
    assert [error.args[0] for error in writer.fatal] == [errno.EIO]


async def test_a_large_commit_leaves_the_loop_free(disk: PosixDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = await Writer(disk, inline_bytes=8 << 10).open(1)
    writer.wal.append(entry(1))
    await writer.until_durable(1)  # its segment's header went with it
    threads: list[bool] = []
    real = disk.read_fence

    def looked() -> bytes:
        threads.append(threading.current_thread() is threading.main_thread())
        return real()

    monkeypatch.setattr(disk, "read_fence", looked)
    for lsn, size_bytes in ((2, 100), (3, 9 << 10), (4, 7 << 10)):
        writer.wal.append(entry(lsn, bytes(size_bytes)))
        await writer.until_durable(lsn)
    assert threads == [True, False, True]
    await writer.wal.close()


async def test_a_full_disk_is_a_full_wal(disk: PosixDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(PosixDisk, "create", _raises(errno.ENOSPC))
        writer = await Writer(disk).open(1)
        writer.wal.append(entry(1))
        await turn_until(lambda: not writer.wal.has_room(10))
        assert writer.durable == [] and not writer.fatal
    # The disk has room again: asking for room is enough to go on.
    await turn_until(lambda: writer.wal.has_room(10) and writer.wal.durable_lsn == 1)
    await writer.wal.close()


async def test_on_a_full_disk_the_bucket_makes_entries_durable(
    disk: PosixDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = await Writer(disk).open(1)
    earlier.wal.append(entry(1))
    await earlier.wal.close()
    [name, *_] = disk.names()
    monkeypatch.setattr(PosixDisk, "create", _raises(errno.ENOSPC))
    writer = await Writer(disk).open(2)
    writer.wal.append(entry(1))
    writer.wal.flushed(Lsn(1))
    assert writer.durable == [1]
    await writer.wal.close()
    # Without a segment of its own there is no cut: the earlier epoch's stays, or a fenced writer could go on behind it.
    assert name in disk.names()


async def test_a_segment_is_not_trimmed_while_a_commit_writes_it(disk: PosixDisk) -> None:
    writer = await Writer(disk, inline=False).open(1)
    writer.wal.append(entry(1))
    await writer.until_durable(1)
    under_way, go_on = threading.Event(), threading.Event()
    real = disk.read_fence

    def held() -> bytes:
        under_way.set()
        assert go_on.wait(20)
        return real()

    await turn_until(lambda: writer.wal._pool is not None and not writer.wal._pool.spare_coming)
    disk.read_fence = held  # type: ignore[method-assign]
    for lsn in (2, 3, 4):
        writer.wal.append(entry(lsn, bytes(30_000)))
    await turn_until(under_way.is_set)
    # The bucket is faster: the slots are durable while the commit over two segments is not.
    writer.wal.flushed(Lsn(4))
    assert writer.durable == [1, 4]
    for _ in range(1000):
        await asyncio.sleep(0)
    assert all(decode_segment_header(file_start(disk, name)) for name in disk.names()[:2])
    go_on.set()
    await writer.wal.close()
    assert not writer.fatal and writer.durable == [1, 4]


def file_start(disk: PosixDisk, name: str) -> bytes:
    return (disk.folder / name).read_bytes()[:4096]


async def test_short_writes_and_many_buffers_are_written_whole(
    disk: PosixDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwritev

    def short(fd: int, buffers: Sequence[bytes], position: int) -> int:
        return real(fd, [b"".join(buffers)[:1000]], position)

    writer = await Writer(disk).open(1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", short)
        for lsn in range(1, 500):
            writer.wal.append(entry(lsn, bytes([lsn % 256]) * (lsn % 70)))
        await writer.until_durable(499)
    await writer.wal.close()
    successor = await Writer(disk).open(2)
    assert [lsn for lsn, _ in successor.recovered] == list(range(1, 500))
    await successor.wal.close()


async def test_what_is_not_in_the_bucket_yet_is_read_back_by_its_numbers(disk: PosixDisk) -> None:
    writer = await Writer(disk).open(1)
    bodies = {lsn: bytes([lsn % 251]) * (lsn * 977 % 9_000 + 1) for lsn in range(1, 101)}
    for lsn, body in bodies.items():
        writer.wal.append(entry(lsn, body))
    for first, last in ((1, 1), (1, 100), (37, 64), (100, 100)):
        # The first one comes while nothing is written yet, and waits.
        found = await writer.wal.read_back(Lsn(first), Lsn(last))
        assert [(one.lsn, b"".join(one.parts)) for one in found] == list(bodies.items())[first - 1 : last]
        assert {one.partition for one in found} == {PARTITION}
    writer.wal.flushed(Lsn(60))
    assert len(await writer.wal.read_back(Lsn(61), Lsn(100))) == 40
    with pytest.raises(CorruptError):
        await writer.wal.read_back(Lsn(1), Lsn(100))
    await writer.wal.close()


async def test_a_segment_is_not_wiped_while_it_is_read(disk: PosixDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = await Writer(disk).open(1)
    for lsn in range(1, 41):
        writer.wal.append(entry(lsn, bytes([lsn]) * 8_000))
    await writer.until_durable(40)
    begun, go_on = threading.Event(), threading.Event()
    read = PosixSegment.read

    def slow(self: PosixSegment, position: int, length: int) -> bytes:
        begun.set()
        assert go_on.wait(20)
        return read(self, position, length)

    monkeypatch.setattr(PosixSegment, "read", slow)
    reading = asyncio.create_task(writer.wal.read_back(Lsn(1), Lsn(30)))
    await asyncio.to_thread(begun.wait, 20)
    before = len(writer.wal._segments._live)  # type: ignore[union-attr]
    writer.wal.flushed(Lsn(40))
    assert len(writer.wal._segments._live) == before  # type: ignore[union-attr]
    go_on.set()
    assert [one.lsn for one in await reading] == list(range(1, 31))
    assert len(writer.wal._segments._live) == 1  # type: ignore[union-attr]
    await writer.wal.close()
