"""Segments are given back once the bucket has their entries, and not before; until then these are read back."""

import asyncio
import threading

import pytest

from raylog.model.errors import CorruptError
from raylog.model.ids import Lsn
from raylog.storage.wal_disk import PosixDisk, PosixSegment
from raylog.storage.wal_format import decode_segment_header
from tests.unit.storage.file_wal.writer import PARTITION, SEGMENT_BYTES, Writer, entry, turn_until


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


@pytest.mark.parametrize(("entries", "body_bytes"), [(65, 10), (2, 600_000)])
async def test_a_restart_does_not_read_again_what_the_bucket_has(
    disk: PosixDisk, entries: int, body_bytes: int
) -> None:
    """Whatever came while a slot was being written."""
    writer = await Writer(disk, segment_bytes=4 << 20, capacity_bytes=40 << 20).open(1)
    last = 0
    for _ in range(3):
        cut = await _append(writer, last, entries, body_bytes)
        writer.wal.cut(Lsn(cut))
        last = await _append(writer, cut, 1, 10)
        writer.wal.flushed(Lsn(cut))
    await writer.wal.close()
    successor = await Writer(disk).open(2)
    assert [lsn for lsn, _ in successor.recovered] == [last]
    await successor.wal.close()


async def test_a_few_small_entries_are_not_worth_a_segment(disk: PosixDisk) -> None:
    writer = await Writer(disk).open(1)
    last = 0
    for _ in range(4):
        last = await _append(writer, last, 10, 10)
        writer.wal.cut(Lsn(last))
        writer.wal.flushed(Lsn(last))
    await writer.wal.close()
    successor = await Writer(disk).open(2)
    assert [lsn for lsn, _ in successor.recovered] == list(range(1, last + 1))
    await successor.wal.close()


async def _append(writer: Writer, last: int, count: int, body_bytes: int) -> int:
    """So many entries behind the last one, durable and with a spare segment there; returns the new last one."""
    for lsn in range(last + 1, last + count + 1):
        writer.wal.append(entry(lsn, bytes(body_bytes)))
    await writer.until_durable(last + count)
    await turn_until(lambda: writer.wal._pool._spares)  # type: ignore[union-attr]
    return last + count


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
