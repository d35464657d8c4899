"""The rows that a flush writes for a partition's batches: the index of the slot's body, and the producers that wrote them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from raylog.model.ids import LeaderEpoch, ProducerId, TopicPartition
from raylog.partition.outcomes import PlacedBatch
from raylog.partition.producer_state import WINDOW_BATCHES
from raylog.storage.data_object import IndexRow, ProducerRow

RUN_BYTES_MAX: Final = 1024 * 1024
"""A row covers at most this, or one batch: what a reader of a single record has to fetch."""


def index_rows(partition: TopicPartition, batches: Iterable[PlacedBatch], position: int) -> Iterator[IndexRow]:
    """Rows for batches that lie one after another from ``position`` of the object on, in offset order without a gap."""
    run: list[PlacedBatch] = []
    size_bytes = 0
    for batch in batches:
        if run:
            assert batch.base_offset == run[-1].last_offset + 1, (run[-1].last_offset, batch.base_offset)
            if size_bytes + batch.size_bytes > RUN_BYTES_MAX or batch.leader_epoch != run[0].leader_epoch:
                yield _row(partition, run, position, size_bytes)
                position += size_bytes
                run, size_bytes = [], 0
        run.append(batch)
        size_bytes += batch.size_bytes
    if run:
        yield _row(partition, run, position, size_bytes)


def producer_rows(partition: TopicPartition, batches: Sequence[PlacedBatch]) -> list[ProducerRow]:
    """The last five batches of each idempotent producer among ``batches``, in append order."""
    kept: dict[int, int] = {}
    rows: list[ProducerRow] = []
    for batch in reversed(batches):
        producer_id = batch.producer_id
        count = kept.get(producer_id, 0)
        if producer_id < 0 or count == WINDOW_BATCHES:
            continue
        kept[producer_id] = count + 1
        rows.append(
            ProducerRow(
                partition.topic_id,
                partition.partition,
                ProducerId(producer_id),
                batch.producer_epoch,
                batch.base_sequence,
                batch.last_sequence,
                batch.base_offset,
                batch.last_offset,
                batch.append_time_ms,
            )
        )
    rows.reverse()
    return rows


def _row(partition: TopicPartition, run: Sequence[PlacedBatch], position: int, size_bytes: int) -> IndexRow:
    return IndexRow(
        partition.topic_id,
        partition.partition,
        run[0].base_offset,
        run[-1].last_offset,
        position,
        size_bytes,
        max(batch.max_timestamp_ms for batch in run),
        sum(batch.record_count for batch in run),
        LeaderEpoch(run[0].leader_epoch),
    )
