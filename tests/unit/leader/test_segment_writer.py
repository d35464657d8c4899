"""A compaction job by itself: what it reads, what it writes, and what it refuses to write."""

import asyncio
from itertools import pairwise
from random import Random
from typing import Any
from uuid import UUID

import pytest

from raylog.leader.segment_writer import arrange, write_segment
from raylog.model.clock import SystemClock
from raylog.model.errors import AlreadyExistsError, CorruptError, NotFoundError
from raylog.model.ids import LeaderId, LogEpoch, TopicId, TopicPartition
from raylog.partition import compaction
from raylog.partition.compaction import CompactionPlan, Piece
from raylog.partition.offset_index import UPLOAD, IndexEntry
from raylog.protocol.batch import Record, encode_batch, has_valid_crc, headers, patched
from raylog.storage.data_object import decode_meta
from raylog.storage.keys import SEGMENTS_PREFIX, leader_prefix, segment_key, slot_key, upload_key
from raylog.storage.memory_store import MemoryStore
from raylog.storage.slot_events import Swap
from raylog.storage.slot_format import decode_footer, meta_from_tail

PARTITIONS = [TopicPartition(TopicId(UUID(int=3)), number) for number in range(3)]
NUMBER = 1 << 60


class CountingStore(MemoryStore):
    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.gets: list[tuple[str, int, int | None]] = []

    async def get(self, key: str, *, start: int = 0, length: int | None = None, **options: Any) -> bytes:
        self.gets.append((key, start, length))
        return await super().get(key, start=start, length=length, **options)


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


def batch(offset: int, epoch: int = 0) -> bytes:
    plain = encode_batch([Record(value=b"value %d" % offset, timestamp_ms=1000 + offset)])
    (header,) = headers(plain)
    return b"".join(patched(plain, header, offset, epoch))


async def slots(store: MemoryStore, count: int, *, gap: int = 0, epoch_of: Any = lambda slot: 0) -> CompactionPlan:
    """So many slots with a batch of each partition, and ``gap`` bytes of somebody else's between them; a plan for all of them."""
    rows: dict[TopicPartition, list[IndexEntry]] = {partition: [] for partition in PARTITIONS}
    for slot in range(1, count + 1):
        body = bytearray()
        for partition in PARTITIONS:
            data = batch(slot - 1, epoch_of(slot))
            rows[partition].append(
                IndexEntry(1, slot, 64 + len(body), len(data), slot - 1, slot - 1, 1000 + slot - 1, epoch_of(slot), 1)
            )
            body += data + bytes(gap)
        await store.put(slot_key(leader_prefix(LeaderId(1)), slot), [bytes(64), body])
    pieces = [Piece(partition=partition, rows=tuple(found)) for partition, found in rows.items()]
    return CompactionPlan(level=1, pieces=tuple(pieces))


async def write(store: MemoryStore, plan: CompactionPlan, row_bytes_max: int = 1 << 20) -> Swap:
    return await write_segment(
        store,
        plan,
        number=NUMBER,
        epoch=LogEpoch(2),
        writer_id=bytes(16),
        row_bytes_max=row_bytes_max,
        reads_max=2,
    )


async def test_each_source_is_read_once_and_rows_name_the_same_batches(store):
    plan = await slots(store, 5)
    swap = await write(store, plan)
    assert sorted(key for key, _, _ in store.gets) == [slot_key(leader_prefix(LeaderId(1)), n) for n in range(1, 6)]
    data = await store.get(segment_key(NUMBER))
    assert [part.partition for part in swap.parts] == PARTITIONS
    for part in swap.parts:
        (row,) = part.rows
        run = data[row.position : row.position + row.size_bytes]
        assert run == b"".join(batch(offset) for offset in range(5))
        assert (row.first_offset, row.last_offset, row.record_count, row.max_timestamp_ms) == (0, 4, 5, 1004)
    record = decode_footer(data, "k")
    index = decode_meta(meta_from_tail(data, record, "k")).index
    assert [(row.partition, *row_of(row)) for row in index] == [
        (part.partition.partition, *row) for part in swap.parts for row in part.rows
    ]


async def test_batches_of_uploads_get_their_offsets_and_epochs(store):
    """They and those of slots are the same afterwards."""
    values = [[b"a", b"b"], [b"c"]]
    run = b"".join(encode_batch([Record(value=v, timestamp_ms=9) for v in batch]) for batch in values)
    await store.put(upload_key(7), [bytes(64), run])
    plain = batch(13, 5)
    await store.put(slot_key(leader_prefix(LeaderId(1)), 3), [bytes(64), plain])
    rows = (
        IndexEntry(UPLOAD, 7, 64, len(run), 10, 12, 9, 5, 3),
        IndexEntry(1, 3, 64, len(plain), 13, 13, 1013, 5, 1),
    )
    swap = await write(store, CompactionPlan(level=1, pieces=(Piece(partition=PARTITIONS[0], rows=rows),)))
    ((part,),) = (swap.parts,)
    (row,) = part.rows
    data = await store.get(segment_key(NUMBER), start=row.position, length=row.size_bytes)
    found = [(h.base_offset, h.last_offset, h.leader_epoch, has_valid_crc(data, h)) for h in headers(data)]
    assert found == [(10, 11, 5, True), (12, 12, 5, True), (13, 13, 5, True)]


def row_of(row: Any) -> tuple[int, ...]:
    return (
        row.first_offset,
        row.last_offset,
        row.position,
        row.size_bytes,
        row.max_timestamp_ms,
        row.record_count,
        row.leader_epoch,
    )


async def test_rows_end_at_a_leader_epoch_and_at_the_size_limit(store):
    plan = await slots(store, 6, epoch_of=lambda slot: slot // 4)
    parts = arrange(plan.pieces, 10_000)
    assert [(row.first_offset, row.last_offset, row.leader_epoch) for row in parts[0].rows] == [(0, 2, 0), (3, 5, 1)]
    size = plan.pieces[0].rows[0].size_bytes
    assert [row.record_count for row in arrange(plan.pieces, 2 * size)[1].rows] == [2, 1, 2, 1]
    assert [row.record_count for row in arrange(plan.pieces, 1)[2].rows] == [1] * 6
    positions = [(row.position, row.size_bytes) for part in parts for row in part.rows]
    assert all(at + size == after for (at, size), (after, _) in pairwise(positions))


async def test_what_is_far_apart_is_read_by_itself(store, monkeypatch):
    monkeypatch.setattr("raylog.leader.segment_writer.GAP_BYTES_MAX", 100)
    await write(store, await slots(store, 2, gap=101))
    assert len(store.gets) == 6
    assert compaction.GAP_BYTES_MAX > 100


@pytest.mark.parametrize("seed", range(20))
async def test_a_flipped_byte_anywhere_in_a_batch_stops_the_job(store, seed):
    plan = await slots(store, 3)
    rng = Random(seed)
    row = rng.choice(rng.choice(plan.pieces).rows)
    key = slot_key(leader_prefix(LeaderId(1)), row.number)
    content = bytearray(await store.get(key))
    # Every byte but the leader epoch, which no checksum covers.
    place = rng.choice([n for n in range(row.size_bytes) if not 12 <= n < 16])
    content[row.position + place] ^= 1 << rng.randrange(8)
    await store.put(key, [content])
    with pytest.raises(CorruptError):
        await write(store, plan)
    assert not [found async for found in store.list(SEGMENTS_PREFIX)]


async def test_a_source_that_is_gone_or_short_is_told(store):
    plan = await slots(store, 3)
    key = slot_key(leader_prefix(LeaderId(1)), 2)
    content = await store.get(key)
    await store.put(key, [content[:-1]])
    with pytest.raises(CorruptError):
        await write(store, plan)
    await store.delete([key])
    with pytest.raises(NotFoundError):
        await write(store, plan)
    assert len(asyncio.all_tasks()) == 1, "no read is left behind"


async def test_a_segment_is_never_overwritten(store):
    plan = await slots(store, 2)
    await write(store, plan)
    with pytest.raises(AlreadyExistsError):
        await write(store, plan)
