"""Group commits: what shares one, and that nothing is acknowledged before it."""

import errno
import os
import threading
from collections.abc import Sequence

import pytest

from raylog.storage.wal_disk import PosixDisk, PosixSegment
from tests.unit.storage.file_wal.writer import Writer, entry, raises


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


@pytest.mark.parametrize("inline", [True, False])
async def test_nothing_is_acknowledged_after_a_failed_sync(
    disk: PosixDisk, inline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = await Writer(disk, inline=inline).open(1)
    writer.wal.append(entry(1))
    await writer.until_durable(1)
    with monkeypatch.context() as patch:
        patch.setattr(PosixSegment, "sync", raises(errno.EIO))
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
