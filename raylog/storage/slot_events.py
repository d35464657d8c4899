"""Typed events of a leader log: what happened to its partitions besides appended batches. JSON, one object each, in log order.

An event cannot be ignored: a reader that does not know its type refuses the slot. New fields need a default here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, NamedTuple
from uuid import UUID

from raylog.model.changes import Changes
from raylog.model.errors import CorruptError, NewerFormatError
from raylog.model.ids import TopicId, TopicPartition


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopt:
    """This log leads the partition from here on. Its leader epoch is ``epoch_base`` + the log's epoch."""

    partition: TopicPartition
    epoch_base: int
    topic_name: str
    configs: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """This log stops leading the partition, whose next offset is ``end_offset``."""

    partition: TopicPartition
    end_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOver:
    """A release for another leader, after this slot's batches: the leader's handover ``handover`` has the partition as it was
    when it began and ended at these offsets, and this log what came then."""

    partition: TopicPartition
    end_offset: int
    epoch_base: int
    """Of the adoption that ends here."""
    handover: int
    first_slot: int
    """Rows of the partition point into no slot of this log below; 0: they point into none."""
    handed_log_start_offset: int = -1
    handed_end_offset: int = -1
    """-1: nothing came then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeOver:
    """An adoption of what ``from_leader`` has handed over: the partition begins as its ``handover`` and ``changes`` say."""

    partition: TopicPartition
    epoch_base: int
    topic_name: str
    from_leader: int
    handover: int
    configs: dict[str, str] = field(default_factory=dict)
    changes: Changes | None = None
    """None: nothing changed after the handover."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """The partition's topic was deleted: its data is garbage from here on."""

    partition: TopicPartition


@dataclass(frozen=True, slots=True, kw_only=True)
class LogStart:
    """Records below ``offset`` are gone (DeleteRecords, retention)."""

    partition: TopicPartition
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WalPosition:
    """All WAL entries up to ``lsn`` of the open at ``epoch`` are in this slot and those before it. In each slot by which
    partitions leave, so that a take-over that a WAL still holds is not taken for one that the log has not had."""

    epoch: int
    lsn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentPut:
    """The segment has been written, and a ``Swap`` may name it: it is kept until a checkpoint of this log lies above this."""

    segment: int


class SwapRow(NamedTuple):
    """A run of contiguous batches in a segment: an ``IndexRow`` without its partition."""

    first_offset: int
    last_offset: int
    position: int
    size_bytes: int
    max_timestamp_ms: int
    record_count: int
    leader_epoch: int


class SwapPart(NamedTuple):
    """Contiguous rows of a partition in a segment, in offset order: for all those that lie in the same offsets until now."""

    partition: TopicPartition
    rows: tuple[SwapRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """The batches of these rows are read from the segment from here on.

    A part whose offsets do not hold the same batches any more, or whose partition this log does not lead, has no effect.
    """

    segment: int
    parts: tuple[SwapPart, ...]


SlotEvent = Adopt | Release | HandOver | TakeOver | Delete | LogStart | WalPosition | SegmentPut | Swap

_TYPES: dict[str, type[SlotEvent]] = {
    "adopt": Adopt,
    "release": Release,
    "hand_over": HandOver,
    "take_over": TakeOver,
    "delete": Delete,
    "log_start": LogStart,
    "wal_position": WalPosition,
    "segment_put": SegmentPut,
    "swap": Swap,
}
_NAMES: dict[type[SlotEvent], str] = {cls: name for name, cls in _TYPES.items()}
_FIELDS: dict[type[SlotEvent], tuple[str, ...]] = {cls: tuple(f.name for f in fields(cls)) for cls in _TYPES.values()}


def event_to_json(event: SlotEvent) -> dict[str, object]:
    """The event as a JSON object; ``type`` names it, a partition is ``[topic id, number]``, a swap's part ``[partition,
    rows]``."""
    values: dict[str, object] = {"type": _NAMES[type(event)]}
    for name in _FIELDS[type(event)]:
        value = getattr(event, name)
        values[name] = _partition_to_json(value) if isinstance(value, TopicPartition) else value
    if isinstance(event, Swap):
        values["parts"] = [[_partition_to_json(part.partition), part.rows] for part in event.parts]
    return values


def event_from_json(values: Mapping[str, Any]) -> SlotEvent:
    """The event of a JSON object. Raises CorruptError for an unknown type or field, or a missing one."""
    name = values.get("type")
    event_type = _TYPES.get(str(name))
    if event_type is None:
        raise NewerFormatError(
            f"A slot holds an event of type '{name}', which this Raylog does not know: use a newer Raylog."
        )
    given = {key: value for key, value in values.items() if key != "type"}
    known = {f.name: f for f in fields(event_type)}
    unknown = given.keys() - known.keys()
    needed = {f.name for f in known.values() if f.default is MISSING and f.default_factory is MISSING}
    missing = needed - given.keys()
    if unknown or missing:
        names = ", ".join(sorted(unknown | missing))
        raise CorruptError(f"A slot's '{name}' event has unknown or missing fields: {names}.")
    if "partition" in given:
        given["partition"] = _partition_from_json(given["partition"])
    if event_type is Swap:
        given["parts"] = tuple(
            SwapPart(_partition_from_json(partition), tuple(SwapRow(*row) for row in rows))
            for partition, rows in given["parts"]
        )
    return event_type(**given)


def _partition_to_json(partition: TopicPartition) -> list[object]:
    return [str(partition.topic_id), partition.partition]


def _partition_from_json(values: Sequence[Any]) -> TopicPartition:
    topic_id, number = values
    return TopicPartition(TopicId(UUID(topic_id)), number)
