"""What was appended and is in no durable slot yet, as drafts of the slots to come.

- Order: entries have rising LSNs over all partitions; a cut takes the oldest draft, with its events.
- With a WAL that can be read back, memory is bounded by leaving batches to the WAL, not by making producers wait: a draft that
  begins when there is no room in memory for a whole one is *spilled*, and so is each that begins while a spilled one waits. It is
  read back when its turn has come. What is held in memory besides (rows) is bounded, too.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from raylog.leader.unflushed import PartitionRuns, Run, SlotDraft
from raylog.model.buffers import Buffer
from raylog.model.ids import LeaderEpoch, Lsn, ProducerId, TopicPartition
from raylog.partition.outcomes import PlacedBatch
from raylog.storage.data_object import IndexRow, ProducerRow, SlotMeta
from raylog.storage.slot_events import SlotEvent
from raylog.storage.slot_format import RECORD_BYTES

_NO_LIMIT = 1 << 62


class SlotRows(NamedTuple):
    """What a slot's meta says of one partition."""

    rows: list[IndexRow]
    producers: list[ProducerRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """One slot to write, and what to settle when it is durable."""

    draft: SlotDraft
    body: list[Buffer]
    """Empty when the draft is spilled: to be read back."""
    meta: SlotMeta
    partitions: dict[TopicPartition, SlotRows]
    """The partitions with batches in this slot."""

    @property
    def body_bytes(self) -> int:
        return self.draft.size_bytes

    @property
    def last_lsn(self) -> Lsn:
        """Of the last entry in this slot or a slot before it."""
        return self.draft.last_lsn

    @property
    def waiters(self) -> list[asyncio.Future[None]]:
        """Who waits for the slot's events."""
        return self.draft.waiters


class WriteBuffer:
    """Filled by the append path, emptied by the flusher."""

    def __init__(
        self,
        run_bytes_max: int,
        *,
        held_bytes_max: int = _NO_LIMIT,
        rows_max: int = _NO_LIMIT,
        slot_bytes_max: int = _NO_LIMIT,
        spills: bool = False,
    ) -> None:
        """``spills``: the WAL can be read back. Then a draft has at most ``slot_bytes_max``, or one entry."""
        self._run_bytes_max = run_bytes_max
        self._held_bytes_max = held_bytes_max
        self._rows_max = rows_max
        self._slot_bytes_max = min(slot_bytes_max, max(1, held_bytes_max // 3))
        self._spills = spills
        self._cut: deque[SlotDraft] = deque()
        """Slots under way."""
        self._sealed: deque[SlotDraft] = deque()
        """Full, or with batches that came before an event and so have to lie in an earlier slot."""
        self._current = SlotDraft()
        self._spilled_waiting = 0
        self._last_lsn = Lsn(0)
        self._row_count = 0
        self.size_bytes = 0
        """Bytes of batches since the last cut."""
        self.held_bytes = 0
        """Bytes of batches in memory, those of slots under way included."""

    @property
    def has_events(self) -> bool:
        """Something waits to be cut at once: an event, or a draft that is sealed."""
        return bool(self._sealed or self._current.events)

    @property
    def drafts(self) -> Sequence[SlotDraft]:
        """All that is in no durable slot, oldest first."""
        return [*self._cut, *self._sealed, self._current]

    def is_empty(self) -> bool:
        return not self._sealed and not self._current.partitions and not self._current.events

    def has_room(self, size_bytes: int, *, beyond_bytes: int = 0) -> bool:
        """Whether that much may be added now, ``beyond_bytes`` above the limit; when nothing is unflushed, always."""
        if self._spills:
            return self._row_count < self._rows_max or beyond_bytes > 0
        return not self.held_bytes or self.held_bytes + size_bytes <= self._held_bytes_max + beyond_bytes

    def may_cut(self) -> bool:
        """Whether there is room in memory for the next slot, which may have to be read back; alone, there always is."""
        draft = self._sealed[0] if self._sealed else self._current
        return not draft.is_spilled or not self._cut or self.held_bytes + draft.size_bytes <= self._held_bytes_max

    def add(
        self,
        lsn: Lsn,
        partition: TopicPartition,
        batches: tuple[PlacedBatch, ...],
        *,
        write_by_s: float | None = None,
    ) -> None:
        """Batches with their offsets assigned; a partition's batches come in offset order. LSN 0: of an earlier writer.

        ``write_by_s``, by boottime: they lie in uploads, and their slot has to be durable then.
        """
        size_bytes = batches[0].size_bytes if len(batches) == 1 else sum(batch.size_bytes for batch in batches)
        if write_by_s is not None:
            size_bytes = 0  # of what is to be written
        if self._spills and self._current.size_bytes and self._current.size_bytes + size_bytes > self._slot_bytes_max:
            self._seal()
        draft = self._current
        if not draft.partitions:
            self._begin(draft, lsn)
        if write_by_s is not None:
            draft.write_by_s = min(draft.write_by_s, write_by_s)
        held = draft.partitions.get(partition)
        if held is None:
            held = draft.partitions[partition] = PartitionRuns()
        before = held.row_count
        for batch in batches:
            held.add(batch, self._run_bytes_max, is_spilled=draft.is_spilled)
        draft.row_count += held.row_count - before
        self._row_count += held.row_count - before
        self.size_bytes += size_bytes
        if not draft.is_spilled:
            self.held_bytes += size_bytes
        draft.size_bytes += size_bytes
        draft.last_lsn = self._last_lsn = lsn

    @property
    def last_lsn(self) -> Lsn:
        """Of the newest entry added; 0: there is none of this writer."""
        return self._last_lsn

    def add_event(self, event: SlotEvent, lsn: Lsn | None = None) -> asyncio.Future[None]:
        """Something that happens after all that was added so far; the future is done when it is in a durable slot.

        A slot's events take effect before its batches, so batches that are here already go into a slot of their own first.
        ``lsn``: its entry in the WAL, if it has one.
        """
        if self._current.partitions:
            self._seal()
        if lsn is not None:
            self._last_lsn = lsn
        waiter = asyncio.get_running_loop().create_future()
        self._current.events.append(event)
        self._current.waiters.append(waiter)
        return waiter

    def add_last(self, events: Sequence[SlotEvent]) -> asyncio.Future[None]:
        """Events that take effect after their slot's batches, which are those that are here now; done when they are durable."""
        waiter = asyncio.get_running_loop().create_future()
        self._current.events.extend(events)
        self._current.waiters.append(waiter)
        self._seal()
        return waiter

    def seal(self) -> asyncio.Future[None] | None:
        """Have all that was added so far cut at once; the future is done when it is durable. None when there is nothing."""
        if self._current.partitions or self._current.events:
            self._seal()
        if not self._sealed:
            return None
        waiter = asyncio.get_running_loop().create_future()
        self._sealed[-1].waiters.append(waiter)
        return waiter

    def cut(self) -> Cut:
        """Take the next slot's content out."""
        if not self._sealed:
            self._seal()
        draft = self._sealed.popleft()
        self._cut.append(draft)
        self.size_bytes -= draft.size_bytes
        if draft.is_spilled:
            self._spilled_waiting -= 1
            self.held_bytes += draft.size_bytes  # as soon as it is read back
        index: list[IndexRow] = []
        producers: list[ProducerRow] = []
        body: list[Buffer] = []
        partitions: dict[TopicPartition, SlotRows] = {}
        start = RECORD_BYTES
        for partition, held in draft.partitions.items():
            rows = [_index_row(partition, run, start) for run in held.runs]
            batches = [_producer_row(partition, batch) for kept in held.producers.values() for batch in kept]
            partitions[partition] = SlotRows(rows, batches)
            index.extend(rows)
            producers.extend(batches)
            body.extend(held.body())
            start += held.size_bytes
        return Cut(
            draft=draft,
            body=body,
            meta=SlotMeta(index=index, producers=producers, events=draft.events),
            partitions=partitions,
        )

    def settled(self, cut: Cut) -> None:
        """The oldest slot that was cut is durable."""
        draft = self._cut.popleft()
        assert draft is cut.draft, "slots settle in order"
        draft.is_settled = True
        self.held_bytes -= draft.size_bytes
        self._row_count -= draft.row_count

    def _begin(self, draft: SlotDraft, lsn: Lsn) -> None:
        draft.first_lsn = lsn
        is_tight = self.held_bytes > 0 and self.held_bytes + self._slot_bytes_max > self._held_bytes_max
        draft.is_spilled = self._spills and lsn > 0 and (is_tight or self._spilled_waiting > 0)
        self._spilled_waiting += draft.is_spilled

    def _seal(self) -> None:
        if not self._current.last_lsn:
            self._current.last_lsn = self._last_lsn
        self._sealed.append(self._current)
        self._current = SlotDraft()


def _index_row(partition: TopicPartition, run: Run, start: int) -> IndexRow:
    return IndexRow(
        partition.topic_id,
        partition.partition,
        run.first_offset,
        run.last_offset,
        run.position if run.upload else start + run.position,
        run.size_bytes,
        run.max_timestamp_ms,
        run.record_count,
        LeaderEpoch(run.leader_epoch),
        run.upload,
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
