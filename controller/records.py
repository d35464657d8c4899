"""The records of the metadata log: every change of the cluster's metadata, as JSON that other programs can read.

A slot's meta, and a checkpoint's state, is ``{"version": 4, "records": [{"type": …, …}, …]}``. A record cannot be ignored, so a
reader that does not know a record's type or a field refuses the log. New fields need a default, with which records of earlier
versions are read, and a new version, so that an earlier Raylog says why it refuses. Version 1 had no ``deployment_started``,
``node_draining`` and ``leader_placed``, and no ``node`` and ``mount`` in ``leader_added``; version 2 no ``for_scaling`` in
``node_draining``; version 3 no changes in ``partitions_released``.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, NamedTuple
from uuid import UUID

from raylog.model.changes import Changes
from raylog.model.errors import CorruptError, NewerFormatError
from raylog.model.ids import BrokerId, LeaderId, LogEpoch, TopicId

RECORDS_VERSION = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterCreated:
    """The first record of all."""

    cluster_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentStarted:
    """All roles were started anew: whoever has registered so far is not one of them, and may still run, on the bucket that this
    one is a copy of. So brokers are retired and leaders are nowhere, until they register again."""

    deployment_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerRegistered:
    """A node's gateways listen here. The node keeps its broker id for ever."""

    node_id: str
    broker_id: BrokerId
    host: str
    port: int
    rack: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerRetired:
    """The node is gone: clients are no longer sent there."""

    node_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDraining:
    """The node is to be emptied, as an operator, Ray or the cluster's size says, and nothing put there; or no more so, also
    because it is gone."""

    node: str
    start_id: str
    """Of the node's start that is meant: one of this name that has come back since is another matter."""
    is_draining: bool
    for_scaling: bool = False
    """Fewer nodes do, so that the controller wants to give it back, and may change its mind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderAdded:
    """There is a leader of this id from here on, for ever."""

    leader_id: LeaderId
    wal_class: str
    dedicated: bool = False
    """It leads one partition at a time, of a topic with ``raylog.leader=dedicated``."""
    node: str = ""
    """Where it is to run, until it registers somewhere; empty: anywhere."""
    mount: str = ""
    """What its WAL lies on, so that it runs only on nodes that have the same; empty: every node has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderPlaced:
    """A leader that leads nothing is to run on another node from here on; on none until it is placed again, if that is empty."""

    leader_id: LeaderId
    node: str
    mount: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderRegistered:
    """A leader has opened its log at this epoch and listens here."""

    leader_id: LeaderId
    log_epoch: LogEpoch
    node_id: str
    unix_path: str
    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicCreated:
    topic_id: TopicId
    name: str
    configs: dict[str, str]
    leaders: tuple[LeaderId, ...]
    """The leader of each partition, from 0."""
    internal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionsAdded:
    topic_id: TopicId
    leaders: tuple[LeaderId, ...]
    """The leader of each further partition."""


class Adoption(NamedTuple):
    topic_id: TopicId
    partition: int
    epoch_base: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionsAdopted:
    """The leader's adoptions of these partitions are durable in its own log."""

    leader_id: LeaderId
    adopted: tuple[Adoption, ...]


class Destination(NamedTuple):
    topic_id: TopicId
    partition: int
    leader_id: LeaderId


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionsMoving:
    """These partitions are to go to these leaders, or to stay where they are when that is their present one."""

    moves: tuple[Destination, ...]


class Departure(NamedTuple):
    topic_id: TopicId
    partition: int
    handover: int
    """The number of the leader's handover that has the partition."""
    leader_epoch: int
    """The highest that anybody can have seen of the partition."""
    changes: Changes | None = None
    """After the handover was written; None: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionsReleased:
    """The leader's releases of these partitions are durable in its own log: from here on the leaders lead them that they were to
    go to, and may adopt them."""

    leader_id: LeaderId
    released: tuple[Departure, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicConfigured:
    """The topic's own settings are these, all of them."""

    topic_id: TopicId
    configs: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicDeleted:
    topic_id: TopicId


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokersConfigured:
    """The cluster-wide dynamic broker settings are these, all of them."""

    configs: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProducerIdsAllocated:
    """Producer ids below ``next_id`` are taken."""

    next_id: int


Record = (
    ClusterCreated
    | DeploymentStarted
    | BrokerRegistered
    | BrokerRetired
    | NodeDraining
    | LeaderAdded
    | LeaderPlaced
    | LeaderRegistered
    | TopicCreated
    | PartitionsAdded
    | PartitionsAdopted
    | PartitionsMoving
    | PartitionsReleased
    | TopicConfigured
    | TopicDeleted
    | BrokersConfigured
    | ProducerIdsAllocated
)

_TYPES: dict[str, type[Record]] = {
    "cluster_created": ClusterCreated,
    "deployment_started": DeploymentStarted,
    "broker_registered": BrokerRegistered,
    "broker_retired": BrokerRetired,
    "node_draining": NodeDraining,
    "leader_added": LeaderAdded,
    "leader_placed": LeaderPlaced,
    "leader_registered": LeaderRegistered,
    "topic_created": TopicCreated,
    "partitions_added": PartitionsAdded,
    "partitions_adopted": PartitionsAdopted,
    "partitions_moving": PartitionsMoving,
    "partitions_released": PartitionsReleased,
    "topic_configured": TopicConfigured,
    "topic_deleted": TopicDeleted,
    "brokers_configured": BrokersConfigured,
    "producer_ids_allocated": ProducerIdsAllocated,
}
_NAMES: dict[type[Record], str] = {record_type: name for name, record_type in _TYPES.items()}

# What JSON cannot say by itself, by field name.
_DECODED: dict[str, Callable[[Any], Any]] = {
    "topic_id": lambda text: TopicId(UUID(text)),
    "leaders": tuple,
    "adopted": lambda rows: tuple(Adoption(TopicId(UUID(topic_id)), *rest) for topic_id, *rest in rows),
    "moves": lambda rows: tuple(Destination(TopicId(UUID(topic_id)), *rest) for topic_id, *rest in rows),
    "released": lambda rows: tuple(Departure(TopicId(UUID(topic_id)), *rest) for topic_id, *rest in rows),
}


def encode_records(records: Iterable[Record]) -> bytes:
    """The meta of a metadata slot."""
    content = {"version": RECORDS_VERSION, "records": [_to_json(record) for record in records]}
    return json.dumps(content, separators=(",", ":"), default=str).encode()


def decode_records(data: bytes) -> list[Record]:
    """The records of a metadata slot. Raises CorruptError, also for what a newer Raylog wrote."""
    try:
        content = json.loads(data)
        if content["version"] > RECORDS_VERSION:
            raise NewerFormatError(
                f"The metadata log has records of version {content['version']}, but this Raylog reads versions up to "
                f"{RECORDS_VERSION}: use a newer Raylog."
            )
        return [_from_json(values) for values in content["records"]]
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptError(f"A slot of the metadata log cannot be decoded: {error!r}") from error


def _to_json(record: Record) -> dict[str, object]:
    return {"type": _NAMES[type(record)], **{f.name: getattr(record, f.name) for f in fields(record)}}


def _from_json(values: Mapping[str, Any]) -> Record:
    name = str(values["type"])
    record_type = _TYPES.get(name)
    if record_type is None:
        raise NewerFormatError(
            f"The metadata log has a record of type '{name}', which this Raylog does not know: use a newer Raylog."
        )
    known = {f.name for f in fields(record_type)}
    needed = {f.name for f in fields(record_type) if f.default is MISSING}
    given = values.keys() - {"type"}
    if given - known or needed - given:
        names = ", ".join(sorted((given - known) | (needed - given)))
        raise CorruptError(f"A '{name}' record of the metadata log has unknown or missing fields: {names}.")
    return record_type(**{key: _DECODED.get(key, _as_is)(values[key]) for key in given})


def _as_is(value: Any) -> Any:
    return value
