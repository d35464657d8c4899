"""What was appended and is in no slot yet, kept in the shape of the next slot: by partition, index rows and producers growing
with each batch, so that cutting a slot costs the same however many batches went into it.

Order: entries have rising LSNs over all partitions; a cut takes everything up to the newest entry, and the events with it.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from raylog.model.buffers import Buffer
from raylog.model.ids import LeaderEpoch, Lsn, ProducerId, TopicPartition
from raylog.partition.outcomes import PlacedBatch
from raylog.partition.producer_state import WINDOW_BATCHES
from raylog.storage.data_object import IndexRow, ProducerRow, SlotMeta
from raylog.storage.slot_events import SlotEvent
from raylog.storage.slot_format import RECORD_BYTES

_SMALL_BYTES = 4096
"""Parts below this are copied together; larger ones are passed on by reference."""

_CHUNK_BYTES = 256 * 1024


class SlotRows(NamedTuple):
    """What a slot's meta says of one partition."""

    rows: list[IndexRow]
    producers: list[ProducerRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """One slot to write, and what to settle when it is durable."""

    body: list[Buffer]
    meta: SlotMeta
    body_bytes: int
    last_lsn: Lsn
    """Of the last entry in this slot or a slot before it."""
    partitions: dict[TopicPartition, SlotRows]
    """The partitions with batches in this slot."""
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

    __slots__ = ("_parts", "_small", "producers", "runs", "size_bytes")

    def __init__(self) -> None:
        self._parts: list[Buffer] = []
        self._small = bytearray()
        """Small parts that came one after another, together: a slot of hundreds of thousands of them would hold up the loop."""
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
        for part in batch.parts:
            if len(part) < _SMALL_BYTES:
                self._small += part
                if len(self._small) >= _CHUNK_BYTES:
                    self._end_small()
            else:
                self._end_small()
                self._parts.append(part)
        self.size_bytes += size
        if batch.producer_id >= 0:
            kept = self.producers.get(batch.producer_id)
            if kept is None:
                kept = self.producers[batch.producer_id] = deque(maxlen=WINDOW_BATCHES)
            kept.append(batch)

    def body(self) -> list[Buffer]:
        """All parts, in order; nothing is added after this."""
        self._end_small()
        return self._parts

    def _end_small(self) -> None:
        if self._small:
            self._parts.append(self._small)
            self._small = bytearray()


class _Segment:
    """What one slot will hold."""

    __slots__ = ("events", "last_lsn", "partitions", "size_bytes", "waiters")

    def __init__(self) -> None:
        self.partitions: dict[TopicPartition, _PartitionRuns] = {}
        self.events: list[SlotEvent] = []
        self.waiters: list[asyncio.Future[None]] = []
        self.size_bytes = 0
        self.last_lsn = Lsn(0)


class WriteBuffer:
    """Filled by the append path, emptied by the flusher."""

    def __init__(self, run_bytes_max: int) -> None:
        self._run_bytes_max = run_bytes_max
        self._sealed: deque[_Segment] = deque()
        """Batches that came before an event, and so have to lie in an earlier slot."""
        self._current = _Segment()
        self._last_lsn = Lsn(0)
        self.size_bytes = 0
        """Bytes of batches since the last cut."""
        self.has_events = False
        """An event waits to be cut, or somebody for what was sealed."""

    def is_empty(self) -> bool:
        return not self._sealed and not self._current.partitions and not self._current.events

    def add(self, lsn: Lsn, partition: TopicPartition, batches: tuple[PlacedBatch, ...]) -> None:
        """Batches with their offsets assigned; a partition's batches come in offset order."""
        current = self._current
        held = current.partitions.get(partition)
        if held is None:
            held = current.partitions[partition] = _PartitionRuns()
        size_bytes = 0
        for batch in batches:
            held.add(batch, self._run_bytes_max)
            size_bytes += batch.size_bytes
        self.size_bytes += size_bytes
        current.size_bytes += size_bytes
        current.last_lsn = self._last_lsn = lsn

    def add_event(self, event: SlotEvent) -> asyncio.Future[None]:
        """Something that happens after all that was added so far; the future is done when it is durable.

        A slot's events take effect before its batches, so batches that are here already go into a slot of their own first.
        """
        if self._current.partitions:
            self._seal()
        waiter = asyncio.get_running_loop().create_future()
        self._current.events.append(event)
        self._current.waiters.append(waiter)
        self.has_events = True
        return waiter

    def seal(self) -> asyncio.Future[None] | None:
        """Have all that was added so far cut at once; the future is done when it is durable. None when there is nothing."""
        if self._current.partitions or self._current.events:
            self._seal()
        if not self._sealed:
            return None
        waiter = asyncio.get_running_loop().create_future()
        self._sealed[-1].waiters.append(waiter)
        self.has_events = True
        return waiter

    def cut(self) -> Cut:
        """Take the next slot's content out."""
        if not self._sealed:
            self._seal()
        segment = self._sealed.popleft()
        self.size_bytes -= segment.size_bytes
        self.has_events = bool(self._sealed or self._current.events)
        index: list[IndexRow] = []
        producers: list[ProducerRow] = []
        body: list[Buffer] = []
        partitions: dict[TopicPartition, SlotRows] = {}
        start = RECORD_BYTES
        for partition, held in segment.partitions.items():
            rows = [_index_row(partition, run, start) for run in held.runs]
            batches = [_producer_row(partition, batch) for kept in held.producers.values() for batch in kept]
            partitions[partition] = SlotRows(rows, batches)
            index.extend(rows)
            producers.extend(batches)
            body.extend(held.body())
            start += held.size_bytes
        return Cut(
            body=body,
            meta=SlotMeta(index=index, producers=producers, events=segment.events),
            body_bytes=segment.size_bytes,
            last_lsn=segment.last_lsn,
            partitions=partitions,
            waiters=segment.waiters,
        )

    def _seal(self) -> None:
        if not self._current.last_lsn:
            self._current.last_lsn = self._last_lsn
        self._sealed.append(self._current)
        self._current = _Segment()


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
