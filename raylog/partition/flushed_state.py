"""What the slots of leader logs alone say of a partition: the content of checkpoints, and where a recovery starts.

Kept apart from the state that appends see, because that state runs ahead of what is durable: a checkpoint of it would remember
a producer's batch that a crash then loses, and its retry would be taken for a duplicate. Here a slot's rows are applied once
the slot is durable, by the same code when it is flushed and when it is replayed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from raylog.model.errors import CorruptError
from raylog.partition.leader_epochs import LeaderEpochs
from raylog.partition.offset_index import SEGMENT, UPLOAD, IndexEntry, IndexSnapshot, OffsetIndex
from raylog.partition.producer_state import ProducerBatch, ProducerSnapshot, ProducerStates
from raylog.partition.transactions import Transactions, TransactionsSnapshot
from raylog.storage.data_object import IndexRow, ProducerRow
from raylog.storage.slot_events import SwapRow


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionSnapshot:
    """A partition in a checkpoint: its state after the checkpoint's slot. Plain values throughout."""

    log_start_offset: int = 0
    end_offset: int = 0
    """The offset after the last one in a slot."""
    leader_epochs: tuple[tuple[int, int], ...] = ()
    """(epoch, start offset), both rising."""
    producers: tuple[ProducerSnapshot, ...] = ()
    """The one that appended last at the end."""
    transactions: TransactionsSnapshot = field(default_factory=TransactionsSnapshot)
    index: IndexSnapshot = field(default_factory=IndexSnapshot)


class FlushedState:
    __slots__ = ("end_offset", "epochs", "index", "log_start_offset", "producers", "transactions")

    def __init__(self, snapshot: PartitionSnapshot, *, producers_max: int) -> None:
        self.log_start_offset = snapshot.log_start_offset
        self.end_offset = snapshot.end_offset
        self.epochs = LeaderEpochs(snapshot.leader_epochs)
        self.producers = ProducerStates(producers_max)
        self.producers.restore(snapshot.producers)
        self.transactions = Transactions(snapshot.transactions)
        self.index = OffsetIndex(snapshot.index)

    def apply(self, leader_id: int, slot: int, rows: Iterable[IndexRow], producers: Iterable[ProducerRow]) -> None:
        """A durable slot's rows of this partition. Raises CorruptError when they do not continue where the last one ended."""
        begins_at = self.end_offset
        for row in rows:
            (
                _,
                partition,
                first_offset,
                last_offset,
                position,
                size_bytes,
                max_timestamp_ms,
                record_count,
                epoch,
                upload,
            ) = row
            if first_offset != self.end_offset and not self.end_offset < first_offset == self.log_start_offset:
                raise CorruptError(
                    f"Slot {slot} of leader {leader_id} continues partition {partition} of topic {row.topic_id} at"
                    f" offset {first_offset}, where {self.end_offset} comes next."
                )
            self.end_offset = last_offset + 1
            self.epochs.assign(epoch, first_offset)
            self.index.append(
                IndexEntry(
                    UPLOAD if upload else leader_id,
                    upload or slot,
                    position,
                    size_bytes,
                    first_offset,
                    last_offset,
                    max_timestamp_ms,
                    epoch,
                    record_count,
                )
            )
        for producer in producers:
            self.producers.record(producer.producer_id, producer.producer_epoch, producer_batch(producer))
        if begins_at <= self.log_start_offset:
            self._trim()  # else all that was added lies above the log's start, and nothing else has moved

    def swap(self, segment: int, rows: Sequence[SwapRow]) -> bool:
        """A durable swap's contiguous rows of this partition take the place of those that lie in their offsets.

        False, and nothing changes, when the same batches do not lie there any more in whole rows: the log start has moved.
        """
        first_offset, last_offset = rows[0].first_offset, rows[-1].last_offset
        size_bytes = sum(row.size_bytes for row in rows)
        if not self.index.holds(first_offset, last_offset, size_bytes, sum(row.record_count for row in rows)):
            return False
        entries = [
            IndexEntry(
                SEGMENT,
                segment,
                row.position,
                row.size_bytes,
                row.first_offset,
                row.last_offset,
                row.max_timestamp_ms,
                row.leader_epoch,
                row.record_count,
            )
            for row in rows
        ]
        self.index.replace(first_offset, last_offset, entries)
        return True

    def set_log_start(self, offset: int) -> list[IndexEntry]:
        """Forget what lies below ``offset``, also where a later slot brings it; returns the rows that nothing needs any more."""
        assert self.log_start_offset <= offset, (self.log_start_offset, offset)
        self.log_start_offset = offset
        return self._trim()

    def snapshot(self) -> PartitionSnapshot:
        return PartitionSnapshot(
            log_start_offset=self.log_start_offset,
            end_offset=self.end_offset,
            leader_epochs=self.epochs.entries(),
            producers=self.producers.snapshot(),
            transactions=self.transactions.snapshot(),
            index=self.index.snapshot(),
        )

    def validate(self) -> None:
        assert self.log_start_offset >= 0
        self.epochs.validate()
        self.producers.validate(self.end_offset)
        self.transactions.validate(self.end_offset)
        self.index.validate()
        if len(self.index):
            assert self.index.last_offset == self.end_offset - 1
            assert self.index[0].last_offset >= self.log_start_offset

    def _trim(self) -> list[IndexEntry]:
        self.epochs.trim(min(self.log_start_offset, self.end_offset))
        self.transactions.trim(self.log_start_offset)
        return self.index.trim(self.log_start_offset)


def producer_batch(row: ProducerRow) -> ProducerBatch:
    return ProducerBatch(row.base_sequence, row.last_sequence, row.base_offset, row.last_offset, row.timestamp_ms)
