"""A WAL that is full, by its own capacity or because the disk is."""

import errno

import pytest

from raylog.model.ids import Lsn
from raylog.storage.wal_disk import PosixDisk
from tests.unit.storage.file_wal.writer import SEGMENT_BYTES, Writer, entry, raises, turn_until


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


async def test_a_full_disk_is_a_full_wal(disk: PosixDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(PosixDisk, "create", raises(errno.ENOSPC))
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
    monkeypatch.setattr(PosixDisk, "create", raises(errno.ENOSPC))
    writer = await Writer(disk).open(2)
    writer.wal.append(entry(1))
    writer.wal.flushed(Lsn(1))
    assert writer.durable == [1]
    await writer.wal.close()
    # Without a segment of its own there is no cut: the earlier epoch's stays, or a fenced writer could go on behind it.
    assert name in disk.names()
