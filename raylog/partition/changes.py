"""What became of a partition after its handover was written: small, as it goes with the partition from log to log. Pure.

A handover is written while the partition is still led, so that its next leader can read it beforehand. What came after it is told
by its *changes*: index rows and producers from the handover's end on, and all else (small, and mostly as it was) as it is at the
end. They are JSON, as the events and records are in which they lie.
"""

from typing import Any

from raylog.model.changes import Changes
from raylog.partition.flushed_state import FlushedState, PartitionSnapshot
from raylog.partition.offset_index import IndexEntry, OffsetIndex
from raylog.partition.outcomes import AbortedTransaction
from raylog.partition.producer_state import ProducerBatch, ProducerSnapshot
from raylog.partition.transactions import TransactionsSnapshot


def changes_since(state: FlushedState, handed_log_start_offset: int, handed_end_offset: int) -> Changes | None:
    """The changes of a partition whose handover has it from and up to these offsets; None: there are none. Its rows must not have
    been swapped since."""
    if (state.log_start_offset, state.end_offset) == (handed_log_start_offset, handed_end_offset):
        return None
    transactions = state.transactions.snapshot()
    return {
        "log_start_offset": state.log_start_offset,
        "end_offset": state.end_offset,
        "leader_epochs": [list(entry) for entry in state.epochs.entries()],
        "rows": [list(state.index[row]) for row in range(state.index.row_of(handed_end_offset), len(state.index))],
        "producers": [
            [
                producer.producer_id,
                producer.producer_epoch,
                producer.coordinator_epoch,
                producer.transaction_first_offset,
                [list(batch) for batch in producer.batches],
            ]
            for producer in state.producers.appended_since(handed_end_offset)
        ],
        "open_transactions": [list(transaction) for transaction in transactions.open],
        "aborted_transactions": [list(transaction) for transaction in transactions.aborted],
    }


def with_changes(handed: PartitionSnapshot, changes: Changes) -> PartitionSnapshot:
    """The partition as it was released. Raises KeyError, TypeError, ValueError for what are no changes."""
    index = OffsetIndex(handed.index)
    for row in changes["rows"]:
        index.append(IndexEntry._make(row))
    index.trim(changes["log_start_offset"])
    producers = {producer.producer_id: producer for producer in handed.producers}
    for producer in map(_producer, changes["producers"]):
        producers.pop(producer.producer_id, None)
        producers[producer.producer_id] = producer
    return PartitionSnapshot(
        log_start_offset=changes["log_start_offset"],
        end_offset=changes["end_offset"],
        leader_epochs=tuple((epoch, start) for epoch, start in changes["leader_epochs"]),
        producers=tuple(producers.values()),
        transactions=TransactionsSnapshot(
            open=tuple((producer_id, first) for producer_id, first in changes["open_transactions"]),
            aborted=tuple(AbortedTransaction(*found) for found in changes["aborted_transactions"]),
        ),
        index=index.snapshot(),
    )


def _producer(values: list[Any]) -> ProducerSnapshot:
    producer_id, epoch, coordinator_epoch, first_offset, batches = values
    return ProducerSnapshot(
        producer_id=producer_id,
        producer_epoch=epoch,
        batches=tuple(ProducerBatch(*batch) for batch in batches),
        coordinator_epoch=coordinator_epoch,
        transaction_first_offset=first_offset,
    )
