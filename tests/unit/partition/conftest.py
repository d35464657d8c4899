"""A workbench for partition tests: batches as producers make them, and slots as a leader would write them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import pytest

from raylog.model.ids import LeaderEpoch, ProducerId, TopicId, TopicPartition
from raylog.partition.config import PartitionConfig
from raylog.partition.outcomes import PlacedBatch
from raylog.partition.partition import Partition
from raylog.protocol.batch import Record, encode_batch, headers
from raylog.storage.data_object import IndexRow, ProducerRow

NOW_MS = 1_700_000_000_000
TP = TopicPartition(TopicId(UUID(int=7)), 3)
LEADER = 2


@dataclass
class Slot:
    """What the meta of a slot says of the partition, and its body."""

    number: int
    rows: list[IndexRow]
    producers: list[ProducerRow]
    body: bytes
    log_start_offset: int | None = None


@dataclass
class Bucket:
    """The leader log of a leader with one partition, cut into slots by the test."""

    slots: list[Slot] = field(default_factory=list)

    def write(
        self, batches: Sequence[PlacedBatch], *, row_bytes: int = 500, log_start_offset: int | None = None
    ) -> Slot:
        slot = Slot(
            number=len(self.slots) + 1,
            rows=index_rows(batches, row_bytes),
            producers=_producer_rows(batches),
            body=b"".join(bytes(part) for batch in batches for part in batch.parts),
            log_start_offset=log_start_offset,
        )
        self.slots.append(slot)
        return slot

    def replay_into(self, partition: Partition, after: int = 0) -> None:
        for slot in self.slots[after:]:
            if slot.log_start_offset is not None:
                partition.replay_log_start(slot.log_start_offset)
            partition.replay_slot(LEADER, slot.number, slot.rows, slot.producers)

    def read(self, number: int, position: int, size_bytes: int) -> bytes:
        return self.slots[number - 1].body[position - 64 : position - 64 + size_bytes]


def index_rows(batches: Sequence[PlacedBatch], row_bytes: int) -> list[IndexRow]:
    runs: list[list[PlacedBatch]] = []
    for batch in batches:
        last = runs[-1] if runs else None
        if (
            last
            and last[0].leader_epoch == batch.leader_epoch
            and sum(b.size_bytes for b in last) + batch.size_bytes <= row_bytes
        ):
            last.append(batch)
        else:
            runs.append([batch])
    rows, position = [], 64
    for run in runs:
        size_bytes = sum(batch.size_bytes for batch in run)
        rows.append(
            IndexRow(
                TP.topic_id,
                TP.partition,
                run[0].base_offset,
                run[-1].last_offset,
                position,
                size_bytes,
                max(batch.max_timestamp_ms for batch in run),
                sum(batch.record_count for batch in run),
                LeaderEpoch(run[0].leader_epoch),
            )
        )
        position += size_bytes
    return rows


def _producer_rows(batches: Sequence[PlacedBatch]) -> list[ProducerRow]:
    """The last five batches of each producer: the least that a slot may hold."""
    kept: dict[int, list[PlacedBatch]] = {}
    for batch in batches:
        if batch.producer_id >= 0:
            kept.setdefault(batch.producer_id, []).append(batch)
    return [_producer_row(batch) for mine in kept.values() for batch in mine[-5:]]


def _producer_row(batch: PlacedBatch) -> ProducerRow:
    return ProducerRow(
        TP.topic_id,
        TP.partition,
        ProducerId(batch.producer_id),
        batch.producer_epoch,
        batch.base_sequence,
        batch.last_sequence,
        batch.base_offset,
        batch.last_offset,
        batch.append_time_ms,
    )


class Lab:
    """Everything by short names, given to tests as a fixture."""

    now_ms = NOW_MS
    tp = TP
    leader = LEADER
    Bucket = Bucket

    @staticmethod
    def partition(*, epoch: int | None = 0, config: PartitionConfig | None = None, snapshot=None) -> Partition:
        partition = Partition(partition=TP, topic_name="orders", config=config or PartitionConfig(), snapshot=snapshot)
        if epoch is not None:
            partition.become_leader(LeaderEpoch(epoch))
        return partition

    @staticmethod
    def batch(
        timestamps_ms: Iterable[int] | int = 1,
        *,
        producer: tuple[int, int, int] | None = None,
        keys: Sequence[bytes | None] | None = None,
        value: bytes = b"v",
        attributes: int = 0,
    ) -> bytes:
        """A batch with records at these timestamps (a number: that many, now); ``producer`` is (id, epoch, base sequence)."""
        stamps = [NOW_MS] * timestamps_ms if isinstance(timestamps_ms, int) else list(timestamps_ms)
        producer_id, producer_epoch, base_sequence = producer or (-1, -1, -1)
        return encode_batch(
            [Record(key=keys[i] if keys else b"k", value=value, timestamp_ms=stamp) for i, stamp in enumerate(stamps)],
            producer_id=producer_id,
            producer_epoch=producer_epoch,
            base_sequence=base_sequence,
            attributes=attributes,
        )

    @staticmethod
    def append(partition: Partition, *batches: bytes, now_ms: int = NOW_MS, from_client: bool = True):
        records = b"".join(batches)
        outcome = partition.append(records, list(headers(records)), now_ms=now_ms, from_client=from_client)
        partition.validate()
        return outcome

    def fill(self, partition: Partition, *batches: bytes) -> list[PlacedBatch]:
        """Append each batch by itself, all durable."""
        placed = []
        for batch in batches:
            placed.extend(self.append(partition, batch).batches)
        partition.durable(partition.log_end_offset)
        partition.validate()
        return placed

    @staticmethod
    def flush(partition: Partition, bucket: Bucket, batches: Sequence[PlacedBatch], row_bytes: int = 500) -> Slot:
        slot = bucket.write(batches, row_bytes=row_bytes)
        partition.slot_flushed(LEADER, slot.number, slot.rows, slot.producers)
        partition.validate()
        return slot

    @staticmethod
    def joined(placed: Iterable[PlacedBatch]) -> bytes:
        return b"".join(bytes(part) for batch in placed for part in batch.parts)


@pytest.fixture(scope="session")
def lab() -> Lab:
    return Lab()
