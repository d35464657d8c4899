"""The object WAL: durable when the slot is, and bounded while it is not."""

from uuid import UUID

from raylog.model.ids import LogEpoch, Lsn, TopicId, TopicPartition
from raylog.storage.object_wal import ObjectWal
from raylog.storage.wal import FlushPolicy, WalEntry

PARTITION = TopicPartition(TopicId(UUID(int=1)), 0)


def entry(lsn: int, size_bytes: int = 10) -> WalEntry:
    return WalEntry(Lsn(lsn), PARTITION, (bytes(size_bytes),), size_bytes)


async def started(max_bytes: int = 100) -> tuple[ObjectWal, list[int]]:
    wal = ObjectWal(flush_policy=FlushPolicy(interval_ms=250, max_bytes=max_bytes, immediate=True))
    durable: list[int] = []
    await wal.open(LogEpoch(1))
    assert [found async for found in wal.recover()] == []
    wal.start(durable.append, lambda error: None)
    return wal, durable


async def test_entries_are_durable_with_their_slot_and_in_order() -> None:
    wal, durable = await started()
    for lsn in range(1, 6):
        wal.append(entry(lsn))
    assert wal.durable_lsn == 0 and durable == []
    wal.flushed(Lsn(2))
    wal.flushed(Lsn(2))
    wal.flushed(Lsn(5))
    assert durable == [2, 5] and wal.durable_lsn == 5
    await wal.close()
    await wal.close()


async def test_there_is_room_for_a_few_slots_and_always_for_one_entry() -> None:
    wal, _ = await started(max_bytes=100)
    assert wal.has_room(1_000_000)
    lsn = 0
    while wal.has_room(10):
        lsn += 1
        wal.append(entry(lsn))
    assert lsn == 320
    wal.flushed(Lsn(10))
    assert wal.has_room(100) and not wal.has_room(101)
