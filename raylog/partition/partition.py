"""A partition's log: the one place where offsets are given out. Synchronous and pure.

Life: ``replay_log_start`` and ``replay_slot`` for each slot after the checkpoint, in log order; ``replay_batches`` for what the
WAL holds beyond the slots; ``become_leader``; then appends and fetches, ``durable`` as the WAL makes entries durable,
``slot_flushed`` as slots become durable.

Rules kept here:

- Offsets are contiguous at append, never reused, never reordered (invariant 5): a batch gets the log end offset, and a replay
  takes only what continues the log.
- Nothing at or above the high watermark is shown (invariant 2): every fetch, listing and epoch end is bounded by it, and each
  produce outcome says which high watermark it has to wait for.
- log start offset <= last stable offset <= high watermark <= log end offset; flushed end offset <= log end offset.
- Deciding and doing are one step: an append that is rejected has changed nothing.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from kio.schema.errors import ErrorCode

from raylog.model.buffers import Buffer
from raylog.model.changes import Changes
from raylog.model.errors import CorruptError
from raylog.model.ids import LeaderEpoch, TopicPartition
from raylog.partition.changes import changes_since
from raylog.partition.config import PartitionConfig
from raylog.partition.flushed_state import FlushedState, PartitionSnapshot, producer_batch
from raylog.partition.leader_epochs import LeaderEpochs
from raylog.partition.offset_index import IndexEntry, OffsetIndex
from raylog.partition.outcomes import (
    NO_EPOCH,
    NO_TIMESTAMP_MS,
    AbortedTransaction,
    Appended,
    AppendOutcome,
    Duplicate,
    EpochEnd,
    FetchBounds,
    FetchDiverging,
    FetchStart,
    OffsetRejected,
    PlacedBatch,
    Rejected,
)
from raylog.partition.producer_state import ProducerBatch, ProducerStates
from raylog.partition.record_checks import check_batch, check_records
from raylog.partition.retention import retained_from
from raylog.partition.tail import Tail
from raylog.partition.transactions import Transactions
from raylog.protocol.batch import BatchHeader, patched, with_append_time
from raylog.storage.data_object import IndexRow, ProducerRow
from raylog.storage.slot_events import SwapRow

_HIGH_WATERMARK = -1
"""As the offset of a DeleteRecords request."""


class Partition:
    __slots__ = (
        "_epochs",
        "_flushed",
        "_high_watermark",
        "_leader_epoch",
        "_log_end_offset",
        "_producers",
        "_tail",
        "_transactions",
        "config",
        "partition",
        "topic_name",
    )

    def __init__(
        self,
        *,
        partition: TopicPartition,
        topic_name: str,
        config: PartitionConfig,
        snapshot: PartitionSnapshot | None = None,
    ) -> None:
        """``snapshot``: the partition as of a checkpoint, or nothing for a new one. ``config`` may be set anew at any time."""
        snapshot = snapshot or PartitionSnapshot()
        self.partition = partition
        self.topic_name = topic_name
        self.config = config
        self._flushed = FlushedState(snapshot, producers_max=config.producers_max)
        self._epochs = LeaderEpochs(snapshot.leader_epochs)
        self._producers = ProducerStates(config.producers_max)
        self._producers.restore(snapshot.producers)
        self._transactions = Transactions(snapshot.transactions)
        self._tail = Tail()
        self._leader_epoch = NO_EPOCH
        self._log_end_offset = snapshot.end_offset
        self._high_watermark = snapshot.end_offset

    # Offsets

    @property
    def leader_epoch(self) -> LeaderEpoch:
        """-1 until ``become_leader``."""
        return LeaderEpoch(self._leader_epoch)

    @property
    def log_start_offset(self) -> int:
        """The first offset that can be read; only durable moves of it count."""
        return self._flushed.log_start_offset

    @property
    def log_end_offset(self) -> int:
        """The offset that the next record gets."""
        return self._log_end_offset

    @property
    def high_watermark(self) -> int:
        """Everything below is durable."""
        return self._high_watermark

    @property
    def last_stable_offset(self) -> int:
        """What read_committed fetches may read up to: no open transaction begins below."""
        unstable = self._transactions.first_unstable_offset()
        if unstable is None or unstable > self._high_watermark:
            return self._high_watermark
        return max(unstable, self.log_start_offset)

    @property
    def flushed_end_offset(self) -> int:
        """Everything below is in durable slots, and in the index."""
        return self._flushed.end_offset

    @property
    def index(self) -> OffsetIndex:
        """Where flushed batches lie. To be read only."""
        return self._flushed.index

    @property
    def tail(self) -> Tail:
        """What is not in the index yet. To be read only."""
        return self._tail

    @property
    def epochs(self) -> LeaderEpochs:
        """To be read only."""
        return self._epochs

    # Replay

    def replay_slot(
        self, leader_id: int, slot: int, rows: Sequence[IndexRow], producers: Sequence[ProducerRow]
    ) -> None:
        """The rows of this partition in a durable slot, during recovery. Raises CorruptError when they leave a gap."""
        assert self._leader_epoch == NO_EPOCH and self._log_end_offset == self._flushed.end_offset
        self._flushed.apply(leader_id, slot, rows, producers)
        for row in rows:
            self._epochs.assign(row.leader_epoch, row.first_offset)
        for producer in producers:
            self._producers.record(producer.producer_id, producer.producer_epoch, producer_batch(producer))
        begins_at, end_offset = self._log_end_offset, self._flushed.end_offset
        self._log_end_offset = self._high_watermark = end_offset
        if begins_at <= self._flushed.log_start_offset:
            self._epochs.trim(min(self._flushed.log_start_offset, end_offset))

    def replay_log_start(self, offset: int) -> None:
        """A durable LogStart event, during recovery."""
        assert self._leader_epoch == NO_EPOCH
        self._flushed.set_log_start(offset)
        self._epochs.trim(min(offset, self._log_end_offset))
        self._transactions.trim(offset)

    def replay_batches(
        self, records: Buffer, headers: Iterable[BatchHeader], *, now_ms: int
    ) -> tuple[PlacedBatch, ...]:
        """Batches found in the WAL, during recovery, in their order: offsets and leader epochs are written in already.

        Returns those that no slot holds: they are durable, and belong into the tail cache and the next slot. ``now_ms`` stands
        for their time of append, which the WAL does not hold: a producer is then forgotten too late rather than too early.
        Raises CorruptError when they leave a gap.
        """
        assert self._leader_epoch == NO_EPOCH
        found = []
        view = memoryview(records)
        for header in headers:
            if header.last_offset < self._log_end_offset:
                continue
            if header.base_offset == self.log_start_offset:
                self._skip_deleted()
            if header.base_offset != self._log_end_offset:
                raise CorruptError(
                    f"The WAL continues partition {self.partition.partition} of topic '{self.topic_name}' at offset"
                    f" {header.base_offset}, where {self._log_end_offset} comes next."
                )
            self._epochs.assign(header.leader_epoch, header.base_offset)
            stamp = header.max_timestamp_ms if header.log_append_time else now_ms
            batch = (view[header.position : header.end],)
            found.append(self._placed(header, batch, header.base_offset, header.leader_epoch, stamp))
        self._high_watermark = self._log_end_offset
        return tuple(found)

    def become_leader(self, epoch: LeaderEpoch) -> None:
        """Recovery is over: appends get this epoch, which is above all earlier ones."""
        assert self._leader_epoch == NO_EPOCH and epoch >= 0 and epoch > self._epochs.latest, epoch
        self._skip_deleted()
        self._leader_epoch = epoch
        self._epochs.assign(epoch, self._log_end_offset)

    def snapshot(self) -> PartitionSnapshot:
        """The state after the last flushed slot, for a checkpoint at that slot: nothing that is only in the WAL or memory."""
        return self._flushed.snapshot()

    # Appends

    def append(
        self, records: Buffer, headers: Sequence[BatchHeader], *, now_ms: int, from_client: bool = True
    ) -> AppendOutcome:
        """Give the batches their offsets. ``headers`` are those of ``records``, which the gateway has validated.

        A producer with an id sends one batch at a time, as in Kafka. Without ``from_client`` (coordinators) only the
        sequence is looked at: what a topic's settings ask of producers is not asked of them.
        """
        assert self._leader_epoch >= 0 and headers
        if len(headers) > 1 and any(header.producer_id >= 0 for header in headers):
            return Rejected(ErrorCode.invalid_record, "An idempotent producer sends one batch per partition at a time.")
        config = self.config
        for header in headers:
            known = self._producers.check(header) if header.producer_id >= 0 else None
            if isinstance(known, ProducerBatch):
                # First of all, as the first time it was found acceptable.
                stamp = known.timestamp_ms if config.log_append_time else NO_TIMESTAMP_MS
                return Duplicate(known.base_offset, known.last_offset, stamp)
            rejected = check_batch(header, config, now_ms) if from_client else None
            if rejected is None and from_client and config.reads_records:
                rejected = check_records(records, header, config, now_ms)
            if rejected is not None:
                return rejected
            if known is not None:
                return Rejected(known.error_code, known.message, self._log_end_offset)
        base_offset = self._log_end_offset
        if config.log_append_time:
            batches = tuple([self._append_stamped(records, header, now_ms) for header in headers])
        else:
            batches = tuple([self._append_patched(records, header, now_ms) for header in headers])
        size_bytes = batches[0].size_bytes if len(batches) == 1 else sum(batch.size_bytes for batch in batches)
        return Appended(
            base_offset,
            self._log_end_offset - 1,
            now_ms if config.log_append_time else NO_TIMESTAMP_MS,
            batches,
            size_bytes,
        )

    def append_uploaded(self, header: BatchHeader, upload: int, position: int, *, now_ms: int) -> AppendOutcome:
        """Give a batch that lies in an upload its offsets: as ``append``, where nothing but the header is looked at."""
        assert self._leader_epoch >= 0
        config = self.config
        if config.log_append_time or config.reads_records:
            return Rejected(ErrorCode.not_leader_or_follower, "The topic's records have to be seen by its leader.")
        known = self._producers.check(header) if header.producer_id >= 0 else None
        if isinstance(known, ProducerBatch):
            return Duplicate(known.base_offset, known.last_offset, NO_TIMESTAMP_MS)
        rejected = check_batch(header, config, now_ms)
        if rejected is not None:
            return rejected
        if known is not None:
            return Rejected(known.error_code, known.message, self._log_end_offset)
        batch = self._placed(header, (), self._log_end_offset, self._leader_epoch, now_ms, upload, position)
        return Appended(batch.base_offset, batch.last_offset, NO_TIMESTAMP_MS, (batch,), batch.size_bytes)

    def durable(self, end_offset: int) -> None:
        """Everything below ``end_offset`` is durable: it may be shown and acknowledged."""
        assert self._high_watermark <= end_offset <= self._log_end_offset, (end_offset, self._log_end_offset)
        self._high_watermark = end_offset
        self._transactions.advance(end_offset)

    def slot_flushed(
        self, leader_id: int, slot: int, rows: Sequence[IndexRow], producers: Sequence[ProducerRow]
    ) -> None:
        """The slot that holds the oldest unflushed batches is durable: fetches below its end go to the bucket from now on."""
        assert not rows or rows[-1].last_offset < self._log_end_offset, rows[-1]
        self._flushed.apply(leader_id, slot, rows, producers)
        self._tail.flushed(self._flushed.end_offset)

    def swap(self, segment: int, rows: Sequence[SwapRow]) -> bool:
        """A durable swap: these batches are read from the segment from now on. The same in a replay and when its slot settles.

        False, and nothing changes, when they do not lie there any more in whole rows: the log start has moved meanwhile.
        """
        return self._flushed.swap(segment, rows)

    def changes_since(self, handed_log_start_offset: int, handed_end_offset: int) -> Changes | None:
        """What the slots say that came after a handover that had the partition from and up to these offsets."""
        return changes_since(self._flushed, handed_log_start_offset, handed_end_offset)

    def expire_producers(self, now_ms: int) -> int:
        """Forget producers that have been idle for ``producer.id.expiration.ms``; how many."""
        self._flushed.producers.expire(now_ms, self.config.producer_id_expiration_ms)
        return self._producers.expire(now_ms, self.config.producer_id_expiration_ms)

    # Reads

    def fetch_start(
        self,
        offset: int,
        *,
        current_leader_epoch: int = NO_EPOCH,
        last_fetched_epoch: int = NO_EPOCH,
        read_committed: bool = False,
    ) -> FetchStart:
        """What a fetch from ``offset`` may read; the epochs that a client knows (KIP-320, KIP-595) may be -1.

        Beyond the high watermark is OFFSET_OUT_OF_RANGE also where records are appended already: a client cannot know of them.
        """
        fenced = self.check_leader_epoch(current_leader_epoch)
        if fenced is not None:
            return fenced
        start, high_watermark, stable = self.log_start_offset, self._high_watermark, self.last_stable_offset
        if not start <= offset <= high_watermark:
            return OffsetRejected(
                ErrorCode.offset_out_of_range, f"Offset {offset} is not within {start} to {high_watermark}."
            )
        if last_fetched_epoch != NO_EPOCH:
            end = self._epochs.end_of(last_fetched_epoch, high_watermark)
            if end.leader_epoch < 0:
                return OffsetRejected(
                    ErrorCode.offset_out_of_range, f"Leader epoch {last_fetched_epoch} is not known here."
                )
            if end.leader_epoch < last_fetched_epoch or end.end_offset < offset:
                return FetchDiverging(end.leader_epoch, end.end_offset)
        end_offset = max(offset, stable) if read_committed else high_watermark
        return FetchBounds(offset, end_offset, high_watermark, stable, start)

    def aborted_transactions(self, from_offset: int, end_offset: int) -> tuple[AbortedTransaction, ...]:
        """For a read_committed fetch that returns batches from ``from_offset`` up to ``end_offset`` (exclusive)."""
        return self._transactions.aborted(from_offset, end_offset)

    def offset_for_leader_epoch(
        self, leader_epoch: int, *, current_leader_epoch: int = NO_EPOCH
    ) -> EpochEnd | OffsetRejected:
        """Where ``leader_epoch`` ended here (KIP-320); the current one ends at the high watermark."""
        return self.check_leader_epoch(current_leader_epoch) or self._epochs.end_of(leader_epoch, self._high_watermark)

    def check_leader_epoch(self, current_leader_epoch: int) -> OffsetRejected | None:
        """FENCED_LEADER_EPOCH or UNKNOWN_LEADER_EPOCH when a client's idea of the leader is not this one (KIP-320)."""
        if current_leader_epoch == NO_EPOCH or current_leader_epoch == self._leader_epoch:
            return None
        if current_leader_epoch < self._leader_epoch:
            return OffsetRejected(
                ErrorCode.fenced_leader_epoch, f"The leader epoch is {self._leader_epoch}, not {current_leader_epoch}."
            )
        return OffsetRejected(
            ErrorCode.unknown_leader_epoch, f"Leader epoch {current_leader_epoch} is not known here yet."
        )

    def delete_records(self, offset: int) -> int | OffsetRejected:
        """The log start offset that a DeleteRecords up to ``offset`` (-1: the high watermark) asks for; nothing changes yet.

        Where it is above the present one, the leader writes it as a LogStart event, and then calls ``log_start_durable``.
        """
        if not self.config.deletable:
            return OffsetRejected(
                ErrorCode.policy_violation, f"Topic '{self.topic_name}' has a cleanup.policy without delete."
            )
        if offset == _HIGH_WATERMARK:
            offset = self._high_watermark
        if not 0 <= offset <= self._high_watermark:
            return OffsetRejected(
                ErrorCode.offset_out_of_range, f"Offset {offset} is not within 0 to {self._high_watermark}."
            )
        return max(offset, self.log_start_offset)

    def retention_start(self, now_ms: int) -> int:
        """The log start offset that the topic's retention asks for; nothing changes yet, as with ``delete_records``.

        Never above the last stable offset, and only over what is in durable slots.
        """
        config = self.config
        if not config.deletable:
            return self.log_start_offset
        return retained_from(
            self.index,
            log_start_offset=self.log_start_offset,
            end_offset=self.last_stable_offset,
            size_bytes=self.index.size_bytes,
            now_ms=now_ms,
            retention_ms=config.retention_ms,
            retention_bytes=config.retention_bytes,
        )

    def log_start_durable(self, offset: int) -> list[IndexEntry]:
        """The LogStart event is durable. Returns the index rows that nothing needs any more."""
        assert offset <= self._high_watermark, (offset, self._high_watermark)
        if offset <= self.log_start_offset:
            return []
        self._epochs.trim(offset)
        self._transactions.trim(offset)
        return self._flushed.set_log_start(offset)

    def validate(self) -> None:
        """Assert every rule of this module and its parts."""
        assert 0 <= self.log_start_offset <= self._high_watermark <= self._log_end_offset
        assert self._flushed.end_offset <= self._log_end_offset
        assert self.log_start_offset <= self.last_stable_offset <= self._high_watermark
        assert self._leader_epoch == NO_EPOCH or self._epochs.latest == self._leader_epoch
        self._flushed.validate()
        self._epochs.validate()
        self._producers.validate(self._log_end_offset)
        self._transactions.validate(self._log_end_offset)
        self._tail.validate(self._flushed.end_offset, self._log_end_offset)
        for before, after in pairwise(self._flushed.index):
            assert before.leader_epoch <= after.leader_epoch, (before, after)

    def _append_patched(self, records: Buffer, header: BatchHeader, now_ms: int) -> PlacedBatch:
        offset, epoch = self._log_end_offset, self._leader_epoch
        return self._placed(header, patched(records, header, offset, epoch), offset, epoch, now_ms)

    def _append_stamped(self, records: Buffer, header: BatchHeader, now_ms: int) -> PlacedBatch:
        batch, stamped = with_append_time(records, header, now_ms)
        return self._append_patched(batch, stamped, now_ms)

    def _placed(
        self,
        header: BatchHeader,
        parts: tuple[Buffer, ...],
        base_offset: int,
        leader_epoch: int,
        append_time_ms: int,
        upload: int = 0,
        position: int = 0,
    ) -> PlacedBatch:
        """The batch becomes the log's last."""
        last_offset = base_offset + header.last_offset_delta
        assert base_offset <= last_offset, header
        producer_id, last_sequence = header.producer_id, -1
        if producer_id >= 0:
            last_sequence = header.last_sequence
            self._producers.record(
                producer_id,
                header.producer_epoch,
                ProducerBatch(header.base_sequence, last_sequence, base_offset, last_offset, append_time_ms),
            )
        self._log_end_offset = last_offset + 1
        self._tail.append(base_offset, last_offset, header.max_timestamp_ms, header.size_bytes)
        return PlacedBatch(
            base_offset,
            last_offset,
            parts,
            header.size_bytes,
            header.max_timestamp_ms,
            header.record_count,
            leader_epoch,
            producer_id,
            header.producer_epoch,
            header.base_sequence,
            last_sequence,
            header.attributes,
            append_time_ms,
            upload,
            position,
        )

    def _skip_deleted(self) -> None:
        """When a WAL was lost that held deleted records only, their offsets are not given out again."""
        if self._log_end_offset < self.log_start_offset:
            self._log_end_offset = self._high_watermark = self._flushed.end_offset = self.log_start_offset
