"""What is recovered from a file WAL whose writer goes on, not knowing that it is fenced."""

from itertools import pairwise

import pytest

from raylog.model.ids import LogEpoch
from raylog.storage.wal_disk import PosixDisk
from raylog.storage.wal_format import HEADER_BYTES_MAX, decode_segment_header
from tests.unit.storage.file_wal.writer import SEGMENT_BYTES, Writer, entry

LAST_LSN = 12


@pytest.fixture
async def first_lsns(disk: PosixDisk) -> dict[str, int]:
    """A WAL of several segments, and where each begins."""
    writer = await Writer(disk).open(1)
    for lsn in range(1, LAST_LSN + 1):
        writer.wal.append(entry(lsn, bytes([lsn]) * (SEGMENT_BYTES // 4)))
        await writer.until_durable(lsn)
    await writer.wal.close()
    headers = {name: decode_segment_header((disk.folder / name).read_bytes()) for name in disk.names()}
    found = {name: header.first_lsn for name, header in headers.items() if header is not None}
    assert len(found) > 3
    return found


def remove(disk: PosixDisk, name: str) -> None:
    disk.remove([name])


def wipe(disk: PosixDisk, name: str) -> None:
    with (disk.folder / name).open("r+b") as file:
        file.write(bytes(HEADER_BYTES_MAX))


def use_again(disk: PosixDisk, name: str) -> None:
    """As if it had become the last one: its own header and entries in the place of the first."""
    last = max(name for name in disk.names() if name.endswith(".wal"))
    (disk.folder / name).write_bytes((disk.folder / last).read_bytes())


@pytest.mark.parametrize("give_up", [remove, wipe, use_again])
@pytest.mark.parametrize("count", [1, 2])
async def test_what_its_writer_gives_up_while_it_is_read_takes_nothing_along(
    disk: PosixDisk,
    first_lsns: dict[str, int],
    give_up,
    count: int,
) -> None:
    taker = Writer(disk)
    await taker.wal.open(LogEpoch(2))
    names = sorted(first_lsns)
    for name in names[:count]:
        give_up(disk, name)
    found = [entry.lsn async for entry in taker.wal.recover()]
    begins = first_lsns[names[count]]
    assert found[-(LAST_LSN - begins + 1) :] == list(range(begins, LAST_LSN + 1))
    await taker.wal.close()


@pytest.mark.parametrize("give_up", [remove, wipe])
async def test_a_segment_given_up_after_the_one_before_it_was_read(
    disk: PosixDisk,
    first_lsns: dict[str, int],
    give_up,
) -> None:
    taker = Writer(disk)
    await taker.wal.open(LogEpoch(2))
    names = sorted(first_lsns)
    found = []
    async for recovered in taker.wal.recover():
        if not found:
            give_up(disk, names[0])
            give_up(disk, names[1])
        found.append(recovered.lsn)
    behind = first_lsns[names[2]]
    assert found == [*range(1, first_lsns[names[1]]), *range(behind, LAST_LSN + 1)]
    await taker.wal.close()


async def test_what_is_corrupt_in_a_segment_that_nobody_gave_up_ends_the_epoch(
    disk: PosixDisk,
    first_lsns: dict[str, int],
) -> None:
    names = sorted(first_lsns)
    with (disk.folder / names[1]).open("r+b") as file:
        file.seek(SEGMENT_BYTES // 2)
        file.write(b"no such thing")
    taker = await Writer(disk).open(2)
    found = [lsn for lsn, _ in taker.recovered]
    assert all(following == lsn + 1 for lsn, following in pairwise(found))
    assert found[-1] < first_lsns[names[2]] - 1
    await taker.wal.close()
