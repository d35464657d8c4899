"""The bytes of a leader log's checkpoint: every led partition as of a slot, and what was handed over. JSON for what is small,
Arrow for what is long. A handover has the same encoding.

``[magic 4][version u16][reserved u16][head bytes u32][index bytes u64][producers bytes u64]``, then the three parts, each padded
to 8 bytes. The head names the partitions; the tables' ``row`` column says which of them a row belongs to. Version 1 had the
partitions alone for a head, versions 2 and 3 (where rows point into uploads) no changes of what was released and no
WAL position.
"""

import json
import struct
from array import array
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

import pyarrow as pa

from raylog.leader.log_state import LedSnapshot, LogSnapshot
from raylog.leader.releases import Release, ReleasesSnapshot
from raylog.model.errors import CorruptError, NewerFormatError
from raylog.model.ids import TopicId, TopicPartition
from raylog.partition.flushed_state import PartitionSnapshot
from raylog.partition.offset_index import IndexEntry, IndexSnapshot
from raylog.partition.outcomes import AbortedTransaction
from raylog.partition.producer_state import ProducerBatch, ProducerSnapshot
from raylog.partition.transactions import TransactionsSnapshot
from raylog.storage.arrow_batch import BatchEncoder
from raylog.storage.slot_events import WalPosition

VERSION: Final = 4
_VERSION_WITHOUT_RELEASES: Final = 1

_MAGIC: Final = b"RLCP"
_ENVELOPE: Final = struct.Struct(">4sHHIQQ")
_ALIGNMENT: Final = 8

_INDEX_TYPES: Final = (pa.int32(), pa.int64(), pa.int64(), *[pa.int64()] * 4, pa.int32(), pa.int64())
_INDEX_SCHEMA: Final = pa.schema(
    [
        pa.field("row", pa.int32(), nullable=False),
        *(pa.field(name, type_, nullable=False) for name, type_ in zip(IndexEntry._fields, _INDEX_TYPES, strict=True)),
    ]
)
_PRODUCER_COLUMNS: Final = ("row", "producer_id", "producer_epoch", "coordinator_epoch", "transaction_first_offset")
_PRODUCERS_SCHEMA: Final = pa.schema(
    [pa.field(name, pa.int64(), nullable=False) for name in (*_PRODUCER_COLUMNS, *ProducerBatch._fields)]
)
_INDEX: Final = BatchEncoder(_INDEX_SCHEMA)
_PRODUCERS: Final = BatchEncoder(_PRODUCERS_SCHEMA)
_NO_BATCH: Final = ProducerBatch(-1, -1, -1, -1, -1)
"""Stands for a producer that has no batch to show (its epoch was raised)."""


_NOTHING_RELEASED: Final = ReleasesSnapshot()


def encode_checkpoint(partitions: Sequence[LedSnapshot], releases: ReleasesSnapshot = _NOTHING_RELEASED) -> bytes:
    """A checkpoint of these partitions. Plain values in, so it may run in a thread."""
    head = {
        "partitions": [_head(led) for led in partitions],
        "first_slot_handed_over": releases.first_slot,
        "wal_position": [releases.wal_position.epoch, releases.wal_position.lsn],
        "untold_releases": [
            (str(partition.topic_id), partition.partition, release.epoch_base, release.handover, release.changes)
            for partition, release in releases.untold
        ],
    }
    parts = (json.dumps(head, separators=(",", ":")).encode(), _encode_index(partitions), _encode_producers(partitions))
    envelope = _ENVELOPE.pack(_MAGIC, VERSION, 0, *map(len, parts))
    return envelope + b"".join(part + b"\0" * (-len(part) % _ALIGNMENT) for part in parts)


def decode_checkpoint_state(data: bytes) -> LogSnapshot:
    """What a checkpoint says. Raises CorruptError, also for a version that is newer than this reader."""
    if len(data) < _ENVELOPE.size or data[:4] != _MAGIC:
        raise CorruptError("A leader log's checkpoint does not begin with its magic.")
    _, version, _, *sizes = _ENVELOPE.unpack_from(data)
    if not _VERSION_WITHOUT_RELEASES <= version <= VERSION:
        raise NewerFormatError(
            f"A leader log's checkpoint has version {version}, but this Raylog reads 1 to {VERSION}: use a newer Raylog."
        )
    parts, position = [], _ENVELOPE.size
    for size in sizes:
        parts.append(memoryview(data)[position : position + size])
        position += size + -size % _ALIGNMENT
    if position != len(data):
        raise CorruptError(f"A checkpoint has {len(data)} bytes where its envelope tells of {position}.")
    try:
        head = json.loads(bytes(parts[0]))
        if version == _VERSION_WITHOUT_RELEASES:
            head = {"partitions": head, "first_slot_handed_over": 0, "untold_releases": []}
        epoch, lsn = head.get("wal_position", (0, 0))
        indexes = _decode_index(parts[1])
        producers = _decode_producers(parts[2])
        return LogSnapshot(
            partitions=tuple(
                _led(led, indexes.get(row) or IndexSnapshot(), producers.get(row, ()))
                for row, led in enumerate(head["partitions"])
            ),
            releases=ReleasesSnapshot(
                first_slot=head["first_slot_handed_over"],
                wal_position=WalPosition(epoch=epoch, lsn=lsn),
                untold=tuple(
                    (
                        TopicPartition(TopicId(UUID(topic_id)), number),
                        Release(epoch_base=epoch_base, handover=handover, changes=changes[0] if changes else None),
                    )
                    for topic_id, number, epoch_base, handover, *changes in head["untold_releases"]
                ),
            ),
        )
    except (pa.ArrowException, ValueError, KeyError, TypeError, OSError) as error:
        raise CorruptError(f"A checkpoint cannot be decoded: {error}") from error


def _head(led: LedSnapshot) -> dict[str, object]:
    state = led.state
    return {
        "topic_id": str(led.partition.topic_id),
        "partition": led.partition.partition,
        "topic_name": led.topic_name,
        "epoch_base": led.epoch_base,
        "configs": dict(led.configs),
        "as_of_slot": led.as_of_slot,
        "log_start_offset": state.log_start_offset,
        "end_offset": state.end_offset,
        "leader_epochs": state.leader_epochs,
        "open_transactions": state.transactions.open,
        "aborted_transactions": state.transactions.aborted,
    }


def _led(head: dict[str, Any], index: IndexSnapshot, producers: tuple[ProducerSnapshot, ...]) -> LedSnapshot:
    return LedSnapshot(
        partition=TopicPartition(TopicId(UUID(head["topic_id"])), head["partition"]),
        topic_name=head["topic_name"],
        epoch_base=head["epoch_base"],
        configs=head["configs"],
        as_of_slot=head["as_of_slot"],
        state=PartitionSnapshot(
            log_start_offset=head["log_start_offset"],
            end_offset=head["end_offset"],
            leader_epochs=tuple((epoch, start) for epoch, start in head["leader_epochs"]),
            producers=producers,
            transactions=TransactionsSnapshot(
                open=tuple((producer_id, first) for producer_id, first in head["open_transactions"]),
                aborted=tuple(AbortedTransaction(*found) for found in head["aborted_transactions"]),
            ),
            index=index,
        ),
    )


def _encode_index(partitions: Sequence[LedSnapshot]) -> bytes:
    batches = []
    for row, led in enumerate(partitions):
        columns = led.state.index.columns
        if not len(columns[0]):
            continue
        rows = array("i", [row]) * len(columns[0])
        batches.append(_INDEX.batch((rows, *columns)))
    return _stream(_INDEX_SCHEMA, batches)


def _decode_index(data: memoryview) -> dict[int, IndexSnapshot]:
    found: dict[int, IndexSnapshot] = {}
    for batch in _batches(data):
        row, *columns = (column.to_pylist() for column in batch.columns)
        found[row[0]] = IndexSnapshot(columns=tuple(columns))
    return found


def _encode_producers(partitions: Sequence[LedSnapshot]) -> bytes:
    rows = [
        (row, p.producer_id, p.producer_epoch, p.coordinator_epoch, p.transaction_first_offset, *batch)
        for row, led in enumerate(partitions)
        for p in led.state.producers
        for batch in (p.batches or (_NO_BATCH,))
    ]
    if not rows:
        return b""
    return _stream(_PRODUCERS_SCHEMA, [_PRODUCERS.batch(zip(*rows, strict=True))])


def _decode_producers(data: memoryview) -> dict[int, tuple[ProducerSnapshot, ...]]:
    columns = [column.to_pylist() for batch in _batches(data) for column in batch.columns]
    rows = zip(*columns, strict=True)
    head = itemgetter(*range(len(_PRODUCER_COLUMNS)))
    found: dict[int, list[ProducerSnapshot]] = {}
    for (row, producer_id, epoch, coordinator_epoch, first_offset), group in groupby(rows, key=head):
        batches = tuple(ProducerBatch(*values[len(_PRODUCER_COLUMNS) :]) for values in group)
        found.setdefault(row, []).append(
            ProducerSnapshot(
                producer_id=producer_id,
                producer_epoch=epoch,
                batches=() if batches == (_NO_BATCH,) else batches,
                coordinator_epoch=coordinator_epoch,
                transaction_first_offset=first_offset,
            )
        )
    return {row: tuple(producers) for row, producers in found.items()}


def _stream(schema: Any, batches: Sequence[Any]) -> bytes:
    if not batches:
        return b""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def _batches(data: memoryview) -> Iterable[Any]:
    return pa.ipc.open_stream(pa.py_buffer(data)) if data else ()
