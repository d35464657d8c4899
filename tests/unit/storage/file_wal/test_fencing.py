"""Of several writers the one that opened last has the WAL, whatever the others still do."""

import errno

import pytest

from raylog.model.errors import FencedError, RetryError
from raylog.model.ids import LogEpoch, Lsn
from raylog.storage.wal_disk import PosixDisk
from tests.unit.storage.file_wal.writer import Writer, entry, raises, turn_until


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
        patch.setattr(PosixDisk, "names", raises(errno.EIO))
        with pytest.raises(RetryError):
            await writer.open(1)
    await writer.open(1)
    writer.wal.append(entry(1))
    await writer.until_durable(1)
    await writer.wal.close()
