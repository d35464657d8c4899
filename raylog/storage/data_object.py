"""The meta of a leader log's slot: an index of the batches in its body, the producers that wrote them, and typed events.

``[magic 4][version u16][reserved u16][index bytes u32][producers bytes u32][events bytes u32][reserved u32]``, then the three
parts, each padded to 8 bytes: two Arrow IPC streams, and JSON. An absent part has no bytes. Encoding is on the object WAL's
acknowledgement path: well below a millisecond for a dozen partitions.

A later version may add nullable columns and events without raising ``META_VERSION``: unknown columns are passed over, unknown
events are refused. Anything that an old reader would misread raises the version.
"""

import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import starmap
from typing import Any, NamedTuple
from uuid import UUID

import pyarrow as pa

from raylog.model.errors import CorruptError, NewerFormatError
from raylog.model.ids import LeaderEpoch, ProducerId, TopicId, TopicPartition
from raylog.storage.arrow_batch import BatchEncoder
from raylog.storage.slot_events import HandOver, SlotEvent, Swap, TakeOver, event_from_json, event_to_json

META_VERSION = 3
_VERSION_WITHOUT_MOVES = 2
"""Written wherever no partition is handed over or taken over, so that an older Raylog reads it."""
_VERSION_WITHOUT_UPLOADS = 1
"""The same where besides no row points into an upload."""

_MAGIC = b"RLDX"
_ENVELOPE = struct.Struct(">4sHHIIII")
_ALIGNMENT = 8
_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"

_TOPIC_ID = pa.binary(16)
_INDEX_SCHEMA = pa.schema(
    [
        pa.field("topic_id", _TOPIC_ID, nullable=False),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("first_offset", pa.int64(), nullable=False),
        pa.field("last_offset", pa.int64(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("max_timestamp", pa.int64(), nullable=False),
        pa.field("record_count", pa.int64(), nullable=False),
        pa.field("leader_epoch", pa.int32(), nullable=False),
    ]
)
_UPLOADS_SCHEMA = pa.schema([*_INDEX_SCHEMA, pa.field("upload", pa.int64(), nullable=False)])
_PRODUCERS_SCHEMA = pa.schema(
    [
        pa.field("topic_id", _TOPIC_ID, nullable=False),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("producer_id", pa.int64(), nullable=False),
        pa.field("producer_epoch", pa.int16(), nullable=False),
        pa.field("base_sequence", pa.int32(), nullable=False),
        pa.field("last_sequence", pa.int32(), nullable=False),
        pa.field("base_offset", pa.int64(), nullable=False),
        pa.field("last_offset", pa.int64(), nullable=False),
        pa.field("timestamp", pa.int64(), nullable=False),
    ]
)


class _TableEncoder:
    """An Arrow IPC stream of one batch, as pa.ipc.new_stream would write it, with the schema's message made once."""

    def __init__(self, schema: Any) -> None:
        self._batches = BatchEncoder(schema)
        self._schema_bytes = schema.serialize().to_pybytes()

    def encode(self, rows: Iterable[tuple[Any, ...]]) -> bytes:
        """No bytes for no rows."""
        columns = tuple(zip(*rows, strict=True))
        if not columns:
            return b""
        return b"".join((self._schema_bytes, self._batches.batch(columns).serialize(), _END_OF_STREAM))


_INDEX = _TableEncoder(_INDEX_SCHEMA)
_UPLOADS = _TableEncoder(_UPLOADS_SCHEMA)
_PRODUCERS = _TableEncoder(_PRODUCERS_SCHEMA)


class IndexRow(NamedTuple):
    """A run of contiguous batches of one partition, at most about 1 MiB, inside a data object.

    A tuple, as a recovery may read a million of them.
    """

    topic_id: TopicId
    partition: int
    first_offset: int
    last_offset: int
    position: int
    """First byte, counted from the object's start (so from 64 on)."""
    size_bytes: int
    max_timestamp_ms: int
    record_count: int
    leader_epoch: LeaderEpoch
    upload: int = 0
    """The upload that the batches lie in, their offsets and leader epoch not written in; 0: they lie in this object."""


class ProducerRow(NamedTuple):
    """A batch of an idempotent producer: what a replay needs to refuse its duplicates."""

    topic_id: TopicId
    partition: int
    producer_id: ProducerId
    producer_epoch: int
    base_sequence: int
    last_sequence: int
    base_offset: int
    last_offset: int
    timestamp_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotMeta:
    """What a leader log's slot says beside its body."""

    index: Sequence[IndexRow] = ()
    """Rows of a partition are in offset order."""
    producers: Sequence[ProducerRow] = ()
    """Rows of a producer are in append order: at least its last five batches of each partition in this slot."""
    events: Sequence[SlotEvent] = ()
    """In log order; they take effect before the slot's batches, those that hand over after them."""

    @property
    def handed_over(self) -> list[HandOver]:
        """The events that take effect after the slot's batches."""
        return [event for event in self.events if isinstance(event, HandOver)]

    @property
    def row_count(self) -> int:
        """Of the index, the producers and the swaps: what a replay's time grows with."""
        swapped = sum(len(part.rows) for event in self.events if isinstance(event, Swap) for part in event.parts)
        return len(self.index) + len(self.producers) + swapped

    def validate(self, body_bytes: int, body_start: int = 64) -> None:
        """Assert what every writer keeps: runs inside the body, offsets rising per partition."""
        next_offset: dict[TopicPartition, int] = {}
        for row in self.index:
            is_inside = body_start <= row.position and row.position + row.size_bytes <= body_start + body_bytes
            assert is_inside or row.upload, row
            assert row.first_offset <= row.last_offset and row.size_bytes > 0, row
            partition = TopicPartition(row.topic_id, row.partition)
            assert next_offset.get(partition, 0) <= row.first_offset, row
            next_offset[partition] = row.last_offset + 1


def encode_meta(meta: SlotMeta) -> bytes:
    """The bytes of a slot's meta."""
    has_uploads = any(row.upload for row in meta.index)
    version = _VERSION_WITHOUT_MOVES if has_uploads else _VERSION_WITHOUT_UPLOADS
    if any(isinstance(event, HandOver | TakeOver) for event in meta.events):
        version, has_uploads = META_VERSION, True
    index = (_UPLOADS if has_uploads else _INDEX).encode(
        (
            r.topic_id.bytes,
            r.partition,
            r.first_offset,
            r.last_offset,
            r.position,
            r.size_bytes,
            r.max_timestamp_ms,
            r.record_count,
            r.leader_epoch,
            r.upload,
        )[: None if has_uploads else -1]
        for r in meta.index
    )
    producers = _PRODUCERS.encode(
        (
            r.topic_id.bytes,
            r.partition,
            r.producer_id,
            r.producer_epoch,
            r.base_sequence,
            r.last_sequence,
            r.base_offset,
            r.last_offset,
            r.timestamp_ms,
        )
        for r in meta.producers
    )
    events = b""
    if meta.events:
        events = json.dumps([event_to_json(e) for e in meta.events], separators=(",", ":")).encode()
    parts = (index, producers, events)
    envelope = _ENVELOPE.pack(_MAGIC, version, 0, *map(len, parts), 0)
    return envelope + b"".join(part + b"\0" * (-len(part) % _ALIGNMENT) for part in parts)


def decode_meta(data: bytes) -> SlotMeta:
    """The meta of a slot. Raises CorruptError, also for a version or an event that is newer than this reader."""
    if len(data) < _ENVELOPE.size or data[:4] != _MAGIC:
        raise CorruptError("The meta of a leader log's slot does not begin with its magic.")
    _, version, _, *sizes, _ = _ENVELOPE.unpack_from(data)
    if not _VERSION_WITHOUT_UPLOADS <= version <= META_VERSION:
        raise NewerFormatError(
            f"A slot's index has version {version}, but this Raylog reads 1 to {META_VERSION}: use a newer Raylog."
        )
    parts, position = [], _ENVELOPE.size
    for size in sizes:
        parts.append(memoryview(data)[position : position + size])
        position += size + -size % _ALIGNMENT
    if position != len(data):
        raise CorruptError(f"A slot's meta has {len(data)} bytes where its envelope tells of {position}.")
    topic_ids: dict[bytes, TopicId] = {}
    schema = _INDEX_SCHEMA if version == _VERSION_WITHOUT_UPLOADS else _UPLOADS_SCHEMA
    try:
        return SlotMeta(
            index=list(starmap(IndexRow, _decode_table(schema, parts[0], topic_ids))),
            producers=list(map(ProducerRow._make, _decode_table(_PRODUCERS_SCHEMA, parts[1], topic_ids))),
            events=[event_from_json(e) for e in json.loads(bytes(parts[2]))] if parts[2] else (),
        )
    except (pa.ArrowException, ValueError, KeyError, TypeError, OSError) as error:
        raise CorruptError(f"A slot's meta cannot be decoded: {error}") from error


def _decode_table(schema: Any, data: memoryview, topic_ids: dict[bytes, TopicId]) -> Iterable[tuple[Any, ...]]:
    """The rows, with one object for each topic id: they are compared and hashed often."""
    if not data:
        return ()
    table = pa.ipc.open_stream(pa.py_buffer(data)).read_all()
    raw, *columns = (table.column(field.name).to_pylist() for field in schema)
    return zip([_topic_id(id_, topic_ids) for id_ in raw], *columns, strict=True)


def _topic_id(raw: bytes, known: dict[bytes, TopicId]) -> TopicId:
    topic_id = known.get(raw)
    if topic_id is None:
        topic_id = known[raw] = TopicId(UUID(bytes=raw))
    return topic_id
