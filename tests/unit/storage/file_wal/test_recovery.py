"""A restart has everything that was acknowledged, in order."""

from pathlib import Path

import pytest

from raylog.model.errors import RetryError
from raylog.model.ids import LeaderId, Lsn
from raylog.storage import wal_recovery
from raylog.storage.wal_disk import PosixDisk
from tests.unit.storage.file_wal.writer import Writer, entry


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
