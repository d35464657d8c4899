"""What was appended and is in no slot yet, kept in the shape of the next slot: by partition, index rows and producers growing
with each batch, so that cutting a slot costs the same however many batches went into it.

Order: entries have rising LSNs over all partitions; a cut takes everything up to the newest entry, and the events with it.
"""

import asyncio
from collections import deque
from dataclasses import dataclass

from raylog.model.buffers import Buffer
from raylog.model.ids import LeaderEpoch, Lsn, ProducerId, TopicPartition
from raylog.partition.outcomes import PlacedBatch
from raylog.storage.data_object import IndexRow, ProducerRow, SlotMeta
from raylog.storage.slot_events import SlotEvent
from raylog.storage.slot_format import RECORD_BYTES

PRODUCER_BATCHES_KEPT = 5
"""Batches of a producer that duplicates are looked for in (Kafka's five in flight)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """One slot to write, and what to settle when it is durable."""

    body: list[Buffer]
    meta: SlotMeta
    body_bytes: int
    last_lsn: Lsn
    """Of the last entry in this slot or a slot before it."""
    end_offsets: dict[TopicPartition, int]
    """For each partition with batches in this slot, the offset after them."""
    waiters: list[asyncio.Future[None]]
    """Who waits for the slot's events."""


class _Run:
    """A growing index row; its position counts from the partition's first byte in the slot."""

    __slots__ = (
        "first_offset",
        "last_offset",
        "leader_epoch",
        "max_timestamp_ms",
        "position",
        "record_count",
        "size_bytes",
    )

    def __init__(self, first_offset: int, leader_epoch: int, position: int) -> None:
        self.first_offset = first_offset
        self.last_offset = first_offset - 1
        self.leader_epoch = leader_epoch
        self.max_timestamp_ms = -1
        self.position = position
        self.record_count = 0
        self.size_bytes = 0


class _PartitionRuns:
    """One partition's batches of the next slot."""

    __slots__ = ("parts", "producers", "runs", "size_bytes")

    def __init__(self) -> None:
        self.parts: list[Buffer] = []
        self.size_bytes = 0
        self.runs: list[_Run] = []
        self.producers: dict[int, deque[PlacedBatch]] = {}

    def add(self, batch: PlacedBatch, run_bytes_max: int) -> None:
        size = batch.size_bytes
        run = self.runs[-1] if self.runs else None
        if run is None or run.size_bytes + size > run_bytes_max or run.leader_epoch != batch.leader_epoch:
            run = _Run(batch.base_offset, batch.leader_epoch, self.size_bytes)
            self.runs.append(run)
        run.last_offset = batch.last_offset
        run.size_bytes += size
        run.record_count += batch.record_count
        if batch.max_timestamp_ms > run.max_timestamp_ms:
            run.max_timestamp_ms = batch.max_timestamp_ms
        self.parts.extend(batch.parts)
        self.size_bytes += size
        if batch.producer_id >= 0:
            kept = self.producers.get(batch.producer_id)
            if kept is None:
                kept = self.producers[batch.producer_id] = deque(maxlen=PRODUCER_BATCHES_KEPT)
            kept.append(batch)


class WriteBuffer:
    """Filled by the append path, emptied by the flusher."""

    def __init__(self, run_bytes_max: int) -> None:
        self._run_bytes_max = run_bytes_max
        self._partitions: dict[TopicPartition, _PartitionRuns] = {}
        self._events: list[SlotEvent] = []
        self._waiters: list[asyncio.Future[None]] = []
        self.size_bytes = 0
        """Bytes of batches since the last cut."""
        self.last_lsn = Lsn(0)

    @property
    def has_events(self) -> bool:
        return bool(self._events)

    def is_empty(self) -> bool:
        return not self._partitions and not self._events

    def holds(self, partition: TopicPartition) -> bool:
        """Whether batches of the partition wait for the next cut."""
        return partition in self._partitions

    def add(self, lsn: Lsn, partition: TopicPartition, batches: tuple[PlacedBatch, ...]) -> None:
        """Batches with their offsets assigned; a partition's batches come in offset order."""
        held = self._partitions.get(partition)
        if held is None:
            held = self._partitions[partition] = _PartitionRuns()
        for batch in batches:
            held.add(batch, self._run_bytes_max)
            self.size_bytes += batch.size_bytes
        self.last_lsn = lsn

    def add_event(self, event: SlotEvent) -> asyncio.Future[None]:
        """An event for the next cut; the future is done when its slot is durable. Events take effect before the slot's batches."""
        waiter = asyncio.get_running_loop().create_future()
        self._events.append(event)
        self._waiters.append(waiter)
        return waiter

    def cut(self) -> Cut:
        """Take everything out as one slot."""
        index: list[IndexRow] = []
        producers: list[ProducerRow] = []
        body: list[Buffer] = []
        end_offsets: dict[TopicPartition, int] = {}
        start = RECORD_BYTES
        for partition, held in self._partitions.items():
            index.extend(_index_row(partition, run, start) for run in held.runs)
            for batches in held.producers.values():
                producers.extend(_producer_row(partition, batch) for batch in batches)
            body.extend(held.parts)
            end_offsets[partition] = held.runs[-1].last_offset + 1
            start += held.size_bytes
        cut = Cut(
            body=body,
            meta=SlotMeta(index=index, producers=producers, events=self._events),
            body_bytes=self.size_bytes,
            last_lsn=self.last_lsn,
            end_offsets=end_offsets,
            waiters=self._waiters,
        )
        self._partitions, self._events, self._waiters = {}, [], []
        self.size_bytes = 0
        return cut


def _index_row(partition: TopicPartition, run: _Run, start: int) -> IndexRow:
    return IndexRow(
        partition.topic_id,
        partition.partition,
        run.first_offset,
        run.last_offset,
        start + run.position,
        run.size_bytes,
        run.max_timestamp_ms,
        run.record_count,
        LeaderEpoch(run.leader_epoch),
    )


def _producer_row(partition: TopicPartition, batch: PlacedBatch) -> ProducerRow:
    return ProducerRow(
        partition.topic_id,
        partition.partition,
        ProducerId(batch.producer_id),
        batch.producer_epoch,
        batch.base_sequence,
        batch.last_sequence,
        batch.base_offset,
        batch.last_offset,
        batch.append_time_ms,
    )
