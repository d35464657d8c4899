"""The broker settings that Kafka's clients and tools ask for, and what the settings of a cluster come to.

Raylog has no settings of a single broker: a value set for one is set for all. The settings that give topics their
defaults are made from the topic settings (``message.max.bytes`` from ``max.message.bytes``), so that both always agree.
What one process may hold at once is told by ``raylog.model.limits`` and only shown here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from raylog.model.admin import ConfigChange
from raylog.model.config_changes import apply_changes
from raylog.model.config_key import (
    ConfigEntry,
    ConfigKey,
    ConfigSource,
    ConfigSynonym,
    ConfigType,
    Effect,
    at_least,
    between,
    table,
)
from raylog.model.errors import InvalidError
from raylog.model.topic_config import TOPIC_CONFIGS

_B, _S, _I, _L, _SHORT, _LIST = (
    ConfigType.BOOLEAN,
    ConfigType.STRING,
    ConfigType.INT,
    ConfigType.LONG,
    ConfigType.SHORT,
    ConfigType.LIST,
)
_ONE_COPY = "durability is the bucket's; every number is taken, and shown as 1 where replicas are listed."
_NO_TRANSACTIONS = "It will matter with transactions."


def _key(
    name: str,
    type_: ConfigType,
    default: str | int | None,
    doc: str,
    effect: Effect = Effect.ACTS,
    check: object = None,
    *,
    dynamic: bool = True,
) -> ConfigKey:
    return ConfigKey(
        name=name,
        type=type_,
        default=None if default is None else str(default),
        doc=doc,
        effect=effect,
        check=check,  # type: ignore[arg-type]
        dynamic=dynamic,
    )


def _shown(name: str, type_: ConfigType, default: str | int | None, doc: str) -> ConfigKey:
    """A fact about the node or the process, which no request changes."""
    return _key(name, type_, default, doc, dynamic=False)


def _topic_defaults() -> list[ConfigKey]:
    found = {}
    for key in TOPIC_CONFIGS.values():
        for synonym in key.synonyms[:1]:
            doc = f"For topics that do not set {key.name}: {key.doc}"
            found[synonym] = replace(key, name=synonym, doc=doc, synonyms=())
    return [*found.values(), *_TIMES_IN_OTHER_UNITS]


_STORED, _NONE = Effect.STORED, Effect.MEANINGLESS
_SYNCED = "a record is always synced before it is acknowledged."
_NO_SEGMENT_FILES = "there are no segment files."
_TIMES_IN_OTHER_UNITS = (
    _key("log.retention.minutes", _I, None, "log.retention.ms in minutes, when that is not set."),
    _key("log.retention.hours", _I, 168, "log.retention.ms in hours, when neither that nor minutes are set."),
    _key("log.roll.hours", _I, 168, _NO_SEGMENT_FILES, _NONE, at_least(1)),
    _key("log.roll.jitter.hours", _I, 0, _NO_SEGMENT_FILES, _NONE, at_least(0)),
    _key("log.flush.scheduler.interval.ms", _L, 2**63 - 1, _SYNCED, _NONE),
)  # fmt: skip

BROKER_CONFIGS: Final = table(
    *_topic_defaults(),
    _key("auto.create.topics.enable", _B, "true", "Whether a topic is created when a client first asks for it."),
    _key("delete.topic.enable", _B, "true", "Whether DeleteTopics is allowed."),
    _key("num.partitions", _I, 1, "Partitions of a topic created without a number of them.", check=at_least(1)),
    _key("default.replication.factor", _I, 1, _ONE_COPY, _NONE, at_least(1)),
    _key("offsets.topic.num.partitions", _I, 50, "Partitions of __consumer_offsets, used when it is created.",
         check=at_least(1)),
    _key("offsets.topic.replication.factor", _SHORT, 1, _ONE_COPY, _NONE, at_least(1)),
    _key("offsets.retention.minutes", _I, 10_080, "How long an empty group's offsets are kept.", check=at_least(1)),
    _key("offsets.retention.check.interval.ms", _L, 600_000, "How often expired offsets are looked for.",
         check=at_least(1)),
    _key("offset.metadata.max.bytes", _I, 4096, "The largest metadata of a committed offset.", check=at_least(0)),
    _key("group.min.session.timeout.ms", _I, 6_000, "The shortest session time-out of a group's member.",
         check=at_least(0)),
    _key("group.max.session.timeout.ms", _I, 1_800_000, "The longest session time-out of a group's member.",
         check=at_least(0)),
    _key("group.initial.rebalance.delay.ms", _I, 3_000, "How long a new group waits for more members.",
         check=at_least(0)),
    _key("group.max.size", _I, 2**31 - 1, "The most members of a group.", check=at_least(1)),
    _key("group.coordinator.rebalance.protocols", _LIST, "classic", "The group protocols that are served.",
         dynamic=False),
    _key("log.retention.check.interval.ms", _L, 300_000, "How often a leader looks for records past their retention.",
         check=at_least(1)),
    _key("producer.id.expiration.ms", _I, 86_400_000, "How long an idle producer's state is kept.", check=at_least(1)),
    _key("transactional.id.expiration.ms", _I, 604_800_000, _NO_TRANSACTIONS, _STORED, at_least(1)),
    _key("transaction.max.timeout.ms", _I, 900_000, _NO_TRANSACTIONS, _STORED, at_least(1)),
    _key("transaction.state.log.num.partitions", _I, 50, _NO_TRANSACTIONS, _STORED, at_least(1)),
    _key("transaction.state.log.replication.factor", _SHORT, 1, _ONE_COPY, _NONE, at_least(1)),
    _key("transaction.state.log.min.isr", _I, 1, _ONE_COPY, _NONE, at_least(1)),
    _key("auto.leader.rebalance.enable", _B, "true",
         "Whether the controller moves partitions from leader to leader by load ('raylog balance')."),
    _key("leader.imbalance.check.interval.seconds", _L, 30,
         "How often the controller looks whether there is something to move.", check=at_least(1)),
    _key("leader.imbalance.per.broker.percentage", _I, 20,
         "How far a leader's load may be from the mean before something moves, in percent.", check=between(1, 1000)),
    _key("raylog.leader.idle.ms", _L, 0,
         "A leader that has been asked for nothing for so long ends, with all in the bucket, and starts again for the first "
         "request. 0: none does.", check=at_least(0)),
    _key("raylog.scaling.nodes.min", _I, 1,
         "The controller gives nodes back that load does not need, down to so many.", check=at_least(1)),
    _key("raylog.scaling.nodes.max", _I, 0,
         "The controller asks Ray's autoscaler for nodes that load needs, up to so many. It does neither unless this is above "
         "raylog.scaling.nodes.min.", check=at_least(0)),
    _key("num.io.threads", _I, 8, "a process serves all requests on one event loop.", _NONE, at_least(1)),
    _key("num.network.threads", _I, 3, "a process serves all requests on one event loop.", _NONE, at_least(1)),
    _key("num.replica.fetchers", _I, 1, "there are no followers.", _NONE),
    _shown("broker.id", _I, -1, "The broker's number: one node's gateway pool."),
    _shown("node.id", _I, -1, "The same as broker.id."),
    _shown("broker.rack", _S, None, "Where the node is, for clients that read from near brokers."),
    _shown("listeners", _LIST, "", "Where the node's gateways listen."),
    _shown("advertised.listeners", _LIST, "", "Where clients are told to connect."),
    _shown("log.dirs", _LIST, "bucket", "All state is in the bucket; DescribeLogDirs tells its address."),
    _shown("process.roles", _LIST, "broker", "Raylog's controller is an actor of its own."),
    _shown("socket.request.max.bytes", _I, 104_857_600, "The longest request (limit gateway.request_bytes_max)."),
    _shown("max.connections", _I, 2**31 - 1, "Connections of a gateway (limit gateway.connections_max)."),
    _shown("connections.max.idle.ms", _L, 600_000, "Idle connections are closed (gateway.connection_idle_s_max)."),
    _shown("fetch.max.bytes", _I, 57_671_680, "The most that a Fetch returns (limit gateway.fetch_bytes_max)."),
)  # fmt: skip
"""By name. A name that is not here is INVALID_CONFIG."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerConfig:
    """The settings that gateways and the controller act on, typed. Groups' settings are read by the coordinator
    itself."""

    auto_create_topics_enable: bool
    auto_leader_rebalance_enable: bool
    delete_topic_enable: bool
    leader_imbalance_check_interval_seconds: int
    leader_imbalance_per_broker_percentage: int
    num_partitions: int
    offsets_topic_num_partitions: int
    producer_id_expiration_ms: int
    raylog_leader_idle_ms: int
    raylog_scaling_nodes_max: int
    raylog_scaling_nodes_min: int


_FIELDS: Final = {
    name.replace(".", "_"): name
    for name in BROKER_CONFIGS
    if name.replace(".", "_") in BrokerConfig.__dataclass_fields__
}


def effective(overrides: Mapping[str, str]) -> BrokerConfig:
    """What a cluster's settings come to. Raises InvalidError for a value that ``validate`` would refuse."""
    values = {}
    for field, name in _FIELDS.items():
        key = BROKER_CONFIGS[name]
        values[field] = key.parse(overrides.get(name, cast(str, key.default)))
    return BrokerConfig(**values)  # type: ignore[arg-type]


def validate(configs: Mapping[str, str]) -> dict[str, str]:
    """A cluster's settings as they may be stored. Raises InvalidError, in one sentence, for a name or value that is no
    good."""
    for name, value in configs.items():
        key = known(name)
        if not key.dynamic:
            raise InvalidError(f"The broker setting {name} cannot be set: it is only shown.")
        key.parse(value)
    return dict(configs)


def altered(current: Mapping[str, str], changes: Sequence[ConfigChange]) -> dict[str, str]:
    """A cluster's settings after IncrementalAlterConfigs (KIP-339), validated. Raises InvalidError."""
    return validate(apply_changes(BROKER_CONFIGS, current, changes))


def known(name: str) -> ConfigKey:
    """Raises InvalidError for a name that is no broker setting's."""
    try:
        return BROKER_CONFIGS[name]
    except KeyError:
        raise InvalidError(f"There is no broker setting '{name}'.") from None


def describe(overrides: Mapping[str, str], facts: Mapping[str, str]) -> list[ConfigEntry]:
    """A broker's settings as DescribeConfigs shows them. ``facts`` are the values of this node and process, by name."""
    return [_entry(key, overrides, facts) for key in BROKER_CONFIGS.values()]


def describe_cluster_defaults(overrides: Mapping[str, str]) -> list[ConfigEntry]:
    """What DescribeConfigs shows for the broker named "": only what was set for the whole cluster."""
    return [_entry(BROKER_CONFIGS[name], overrides, {}) for name in sorted(overrides) if name in BROKER_CONFIGS]


def _entry(key: ConfigKey, overrides: Mapping[str, str], facts: Mapping[str, str]) -> ConfigEntry:
    synonyms = []
    if key.name in overrides:
        value = overrides[key.name]
        synonyms.append(ConfigSynonym(name=key.name, value=value, source=ConfigSource.DYNAMIC_DEFAULT_BROKER))
    if key.name in facts:
        synonyms.append(ConfigSynonym(name=key.name, value=facts[key.name], source=ConfigSource.STATIC_BROKER))
    synonyms.append(ConfigSynonym(name=key.name, value=key.default, source=ConfigSource.DEFAULT))
    return ConfigEntry(
        name=key.name,
        value=synonyms[0].value,
        source=synonyms[0].source,
        type=key.type,
        documentation=key.documentation,
        read_only=not key.dynamic,
        synonyms=tuple(synonyms),
    )
