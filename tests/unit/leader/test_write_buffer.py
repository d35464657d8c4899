"""Cuts of the write buffer: bodies, rows and producers agree; events come before the batches that follow them."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from raylog.leader.write_buffer import WriteBuffer
from raylog.model.ids import Lsn, TopicId, TopicPartition
from raylog.partition.outcomes import PlacedBatch
from raylog.storage.slot_events import LogStart

PARTITIONS = [TopicPartition(TopicId(UUID(int=1 + n // 2)), n % 2) for n in range(4)]
RUN_BYTES = 100


def placed(base_offset: int, records: int, size: int, *, producer_id: int = -1, leader_epoch: int = 0) -> PlacedBatch:
    data = bytes([base_offset % 256]) * size
    return PlacedBatch(
        base_offset=base_offset,
        last_offset=base_offset + records - 1,
        parts=(data[:3], data[3:]),
        size_bytes=size,
        max_timestamp_ms=1000 + base_offset,
        record_count=records,
        leader_epoch=leader_epoch,
        producer_id=producer_id,
        producer_epoch=0,
        base_sequence=base_offset,
        last_sequence=base_offset + records - 1,
        attributes=0,
        append_time_ms=5,
    )


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(1, 150), st.integers(-1, 2)), min_size=1))
def test_rows_point_at_their_batches(appends: list[tuple[int, int, int, int]]) -> None:
    buffer = WriteBuffer(RUN_BYTES)
    ends = dict.fromkeys(PARTITIONS, 0)
    appended: dict[TopicPartition, list[PlacedBatch]] = {partition: [] for partition in PARTITIONS}
    for lsn, (number, records, size, producer_id) in enumerate(appends, start=1):
        partition = PARTITIONS[number]
        batch = placed(ends[partition], records, size, producer_id=producer_id)
        ends[partition] += records
        appended[partition].append(batch)
        buffer.add(Lsn(lsn), partition, (batch,))
    assert buffer.size_bytes == sum(size for *_, size, _ in appends)
    cut = buffer.cut()
    assert buffer.is_empty() and buffer.size_bytes == 0
    body = b"".join(cut.body)
    cut.meta.validate(len(body))
    assert (cut.body_bytes, cut.last_lsn) == (len(body), len(appends))
    for partition, batches in appended.items():
        rows = [row for row in cut.meta.index if (row.topic_id, row.partition) == partition]
        stored = b"".join(body[row.position - 64 : row.position - 64 + row.size_bytes] for row in rows)
        assert stored == b"".join(part for batch in batches for part in batch.parts)
        assert sum(row.record_count for row in rows) == ends[partition]
        assert all(row.size_bytes <= RUN_BYTES or row.record_count <= 3 for row in rows)
        if rows:
            assert cut.partitions[partition].rows == rows
            assert (rows[0].first_offset, rows[-1].last_offset + 1) == (0, ends[partition])
        for producer_id in (0, 1, 2):
            known = [row for row in cut.meta.producers if (row.topic_id, row.partition) == partition]
            last = [row.base_offset for row in known if row.producer_id == producer_id]
            assert last == [batch.base_offset for batch in batches if batch.producer_id == producer_id][-5:]


def test_run_ends_where_the_leader_epoch_changes() -> None:
    buffer = WriteBuffer(RUN_BYTES)
    buffer.add(Lsn(0), PARTITIONS[0], (placed(0, 1, 10, leader_epoch=3), placed(1, 1, 10, leader_epoch=4)))
    assert [(row.first_offset, row.leader_epoch) for row in buffer.cut().meta.index] == [(0, 3), (1, 4)]


async def test_event_goes_into_a_slot_after_the_batches_that_came_before_it() -> None:
    buffer = WriteBuffer(RUN_BYTES)
    buffer.add(Lsn(1), PARTITIONS[0], (placed(0, 1, 10),))
    written = buffer.add_event(LogStart(partition=PARTITIONS[0], offset=1))
    buffer.add(Lsn(2), PARTITIONS[0], (placed(1, 1, 10),))
    assert buffer.has_events
    before, after = buffer.cut(), buffer.cut()
    assert ([*before.meta.events], before.last_lsn, before.waiters) == ([], 1, [])
    assert [event.offset for event in after.meta.events] == [1]  # type: ignore[union-attr]
    assert (after.last_lsn, after.waiters) == (2, [written])
    assert buffer.is_empty() and not buffer.has_events


async def test_slot_of_events_alone_carries_the_lsn_before_it() -> None:
    buffer = WriteBuffer(RUN_BYTES)
    buffer.add(Lsn(1), PARTITIONS[0], (placed(0, 1, 10),))
    buffer.cut()
    buffer.add_event(LogStart(partition=PARTITIONS[0], offset=1))
    assert (cut := buffer.cut()).last_lsn == 1 and cut.body == []


async def test_events_that_come_last_are_in_the_slot_of_the_batches_before_them() -> None:
    buffer = WriteBuffer(RUN_BYTES)
    buffer.add(Lsn(1), PARTITIONS[0], (placed(0, 1, 10),))
    written = buffer.add_last([LogStart(partition=PARTITIONS[1], offset=n) for n in (1, 2)])
    assert buffer.has_events, "it is cut at once"
    buffer.add(Lsn(2), PARTITIONS[0], (placed(1, 1, 10),))
    first, second = buffer.cut(), buffer.cut()
    assert (len(first.meta.index), len(first.meta.events), first.waiters) == (1, 2, [written])
    assert (len(second.meta.index), len(second.meta.events)) == (1, 0)


async def test_an_event_with_an_entry_in_the_wal_counts_as_its_slots_last() -> None:
    buffer = WriteBuffer(RUN_BYTES)
    buffer.add(Lsn(1), PARTITIONS[0], (placed(0, 1, 10),))
    buffer.add_event(LogStart(partition=PARTITIONS[0], offset=1), Lsn(2))
    assert buffer.last_lsn == 2
    assert [buffer.cut().last_lsn, buffer.cut().last_lsn] == [1, 2]
