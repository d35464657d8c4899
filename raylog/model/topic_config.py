"""Every topic setting of Kafka 4.1 and Raylog's own three, and what the settings of one topic come to.

A topic's own values (overrides) go before the cluster's (a broker setting that is the topic setting's synonym), and
those before Kafka's defaults. ``effective`` gives them typed; ``describe`` as DescribeConfigs shows them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal, cast

from raylog.model.admin import ConfigChange
from raylog.model.config_changes import apply_changes
from raylog.model.config_key import (
    UNLIMITED,
    ConfigEntry,
    ConfigKey,
    ConfigSource,
    ConfigSynonym,
    ConfigType,
    Effect,
    Value,
    at_least,
    between,
    one_of,
    table,
)
from raylog.model.errors import InvalidError

_B, _S, _I, _L, _D, _LIST = (
    ConfigType.BOOLEAN,
    ConfigType.STRING,
    ConfigType.INT,
    ConfigType.LONG,
    ConfigType.DOUBLE,
    ConfigType.LIST,
)
_DAY_MS: Final = 86_400_000
_WAL_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_THROTTLED: Final = re.compile(r"\*|([0-9]+:[0-9]+)(,[0-9]+:[0-9]+)*|")


def _wal_name(value: Value) -> str | None:
    good = value == "" or _WAL_NAME.fullmatch(str(value))
    return None if good else "must be the name of a WAL class: small letters, digits, '-' and '_'"


def _throttled(value: Value) -> str | None:
    good = isinstance(value, tuple) and _THROTTLED.fullmatch(",".join(value))
    return None if good else "must be '*' or a list of partition:broker pairs"


def _gzip_level(value: Value) -> str | None:
    return None if isinstance(value, int) and (value == -1 or 1 <= value <= 9) else "must be -1 or between 1 and 9"


def _key(
    name: str,
    type_: ConfigType,
    default: str | int,
    doc: str,
    effect: Effect = Effect.ACTS,
    check: object = None,
    synonyms: Sequence[str] = (),
) -> ConfigKey:
    return ConfigKey(
        name=name,
        type=type_,
        default=str(default),
        doc=doc,
        effect=effect,
        check=check,  # type: ignore[arg-type]
        synonyms=tuple(synonyms),
    )


_STORED, _NONE = Effect.STORED, Effect.MEANINGLESS
_NO_SEGMENT_FILES = "there are no segment files or index files; data lies in objects of the bucket."
_NO_RECOMPRESSION = "batches are kept as producers compressed them."
_NO_REPLICAS = "durability is the bucket's; a partition has one leader and no followers."
_NO_TIERS = "all data is in the bucket from the start; there is no second tier."

TOPIC_CONFIGS: Final = table(
    _key("cleanup.policy", _LIST, "delete",
         "What may become of old records: 'delete' by age and size, 'compact' to the last record of each key. A record "
         "without a key is refused on a compacted topic, DeleteRecords needs 'delete', and 'compact' does not act by itself yet.",
         check=one_of("compact", "delete"), synonyms=("log.cleanup.policy",)),
    _key("compression.gzip.level", _I, -1, _NO_RECOMPRESSION, _NONE, _gzip_level, ("compression.gzip.level",)),
    _key("compression.lz4.level", _I, 9, _NO_RECOMPRESSION, _NONE, between(1, 17), ("compression.lz4.level",)),
    _key("compression.type", _S, "producer", _NO_RECOMPRESSION, _NONE,
         one_of("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"), ("compression.type",)),
    _key("compression.zstd.level", _I, 3, _NO_RECOMPRESSION, _NONE, between(-131072, 22), ("compression.zstd.level",)),
    _key("delete.retention.ms", _L, _DAY_MS, "How long a compacted topic keeps the markers of deleted keys.", _STORED,
         at_least(0), ("log.cleaner.delete.retention.ms",)),
    _key("file.delete.delay.ms", _L, 60_000, _NO_SEGMENT_FILES, _NONE, at_least(0), ("log.segment.delete.delay.ms",)),
    _key("flush.messages", _L, UNLIMITED, "a record is always synced before it is acknowledged.", _NONE, at_least(1),
         ("log.flush.interval.messages",)),
    _key("flush.ms", _L, UNLIMITED, "a record is always synced before it is acknowledged.", _NONE, at_least(0),
         ("log.flush.interval.ms", "log.flush.scheduler.interval.ms")),
    _key("follower.replication.throttled.replicas", _LIST, "", _NO_REPLICAS, _NONE, _throttled),
    _key("index.interval.bytes", _I, 4096, _NO_SEGMENT_FILES, _NONE, at_least(0), ("log.index.interval.bytes",)),
    _key("leader.replication.throttled.replicas", _LIST, "", _NO_REPLICAS, _NONE, _throttled),
    _key("local.retention.bytes", _L, -2, _NO_TIERS, _NONE, at_least(-2), ("log.local.retention.bytes",)),
    _key("local.retention.ms", _L, -2, _NO_TIERS, _NONE, at_least(-2), ("log.local.retention.ms",)),
    _key("max.compaction.lag.ms", _L, UNLIMITED, "The longest that a record stays out of compaction.", _STORED,
         at_least(1), ("log.cleaner.max.compaction.lag.ms",)),
    _key("max.message.bytes", _I, 1_048_588, "The largest record batch, as sent, that the topic takes.",
         check=at_least(0), synonyms=("message.max.bytes",)),
    _key("message.timestamp.after.max.ms", _L, 3_600_000,
         "How far a record's CreateTime may lie after the broker's time.",
         check=at_least(0), synonyms=("log.message.timestamp.after.max.ms",)),
    _key("message.timestamp.before.max.ms", _L, UNLIMITED,
         "How far a record's CreateTime may lie before the broker's time.",
         check=at_least(0), synonyms=("log.message.timestamp.before.max.ms",)),
    _key("message.timestamp.type", _S, "CreateTime",
         "Whose clock stamps the records: the producer's (CreateTime) or the leader's (LogAppendTime).",
         check=one_of("CreateTime", "LogAppendTime"), synonyms=("log.message.timestamp.type",)),
    _key("min.cleanable.dirty.ratio", _D, "0.5", "The share of uncompacted data from which a log is compacted.",
         _STORED, between(0, 1), ("log.cleaner.min.cleanable.ratio",)),
    _key("min.compaction.lag.ms", _L, 0, "The time that a record is kept from compaction.", _STORED, at_least(0),
         ("log.cleaner.min.compaction.lag.ms",)),
    _key("min.insync.replicas", _I, 1, _NO_REPLICAS, _NONE, at_least(1), ("min.insync.replicas",)),
    _key("preallocate", _B, "false", _NO_SEGMENT_FILES, _NONE, synonyms=("log.preallocate",)),
    _key("raylog.leader", _S, "shared",
         "'shared' spreads the topic's partitions over the pool of leaders; 'dedicated' gives each a leader of its own. When it "
         "changes, the controller moves the topic's partitions, a few at a time.",
         check=one_of("shared", "dedicated")),
    _key("raylog.produce.path", _S, "leader",
         "How records come to a leader in another zone: 'leader' sends them there; 'bucket' has the gateway put them into the "
         "bucket, and only a reference goes there. Acts on topics with an object WAL, CreateTime and no compaction.",
         check=one_of("leader", "bucket")),
    _key("raylog.wal", _S, "",
         "The WAL class that decides when a record is acknowledged (for example 'file' or 'object'); empty is the "
         "cluster's default class. Set when the topic is created.", check=_wal_name),
    _key("remote.log.copy.disable", _B, "false", _NO_TIERS, _NONE),
    _key("remote.log.delete.on.disable", _B, "false", _NO_TIERS, _NONE),
    _key("remote.storage.enable", _B, "false", _NO_TIERS, _NONE),
    _key("retention.bytes", _L, -1, "Above this size of a partition its oldest records go; -1 is no limit.",
         synonyms=("log.retention.bytes",)),
    _key("retention.ms", _L, 7 * _DAY_MS, "Records older than this go; -1 is for ever.", check=at_least(-1),
         synonyms=("log.retention.ms", "log.retention.minutes", "log.retention.hours")),
    _key("segment.bytes", _I, 1 << 30, _NO_SEGMENT_FILES, _NONE, at_least(1 << 20), ("log.segment.bytes",)),
    _key("segment.index.bytes", _I, 10 << 20, _NO_SEGMENT_FILES, _NONE, at_least(4), ("log.index.size.max.bytes",)),
    _key("segment.jitter.ms", _L, 0, _NO_SEGMENT_FILES, _NONE, at_least(0),
         ("log.roll.jitter.ms", "log.roll.jitter.hours")),
    _key("segment.ms", _L, 7 * _DAY_MS, _NO_SEGMENT_FILES, _NONE, at_least(1), ("log.roll.ms", "log.roll.hours")),
    _key("unclean.leader.election.enable", _B, "false", _NO_REPLICAS, _NONE,
         synonyms=("unclean.leader.election.enable",)),
)  # fmt: skip
"""By name. A name that is not here is INVALID_CONFIG."""

_FIXED_AT_CREATION: Final = ("raylog.wal",)
_MS_PER_SYNONYM: Final = {"minutes": 60_000, "hours": 3_600_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicConfig:
    """The settings that leaders, partitions and the controller act on or will act on, typed."""

    max_message_bytes: int
    message_timestamp_type: Literal["CreateTime", "LogAppendTime"]
    message_timestamp_before_max_ms: int
    message_timestamp_after_max_ms: int
    cleanup_policy: tuple[str, ...]
    retention_ms: int
    """-1: for ever."""
    retention_bytes: int
    """-1: no limit."""
    delete_retention_ms: int
    min_compaction_lag_ms: int
    max_compaction_lag_ms: int
    min_cleanable_dirty_ratio: float
    wal: str
    """Empty: the cluster's default class."""
    leader: Literal["shared", "dedicated"]
    produce_path: Literal["leader", "bucket"]

    @property
    def compacted(self) -> bool:
        return "compact" in self.cleanup_policy

    @property
    def deletable(self) -> bool:
        return "delete" in self.cleanup_policy

    @property
    def log_append_time(self) -> bool:
        return self.message_timestamp_type == "LogAppendTime"

    @property
    def may_be_referred_to(self) -> bool:
        """Leaders need not see the records, only their batches' headers."""
        return self.produce_path == "bucket" and not self.compacted and not self.log_append_time

    @property
    def dedicated_leader(self) -> bool:
        return self.leader == "dedicated"


_FIELDS: Final = {
    name.removeprefix("raylog.").replace(".", "_"): name
    for name in TOPIC_CONFIGS
    if name.removeprefix("raylog.").replace(".", "_") in TopicConfig.__dataclass_fields__
}


def effective(overrides: Mapping[str, str], broker_overrides: Mapping[str, str] | None = None) -> TopicConfig:
    """What a topic's settings come to. Raises InvalidError for a value that ``validate`` would refuse."""
    values = {field: _value(TOPIC_CONFIGS[name], overrides, broker_overrides or {}) for field, name in _FIELDS.items()}
    return TopicConfig(**cast(dict[str, object], values))  # type: ignore[arg-type]


def wants_dedicated_leaders(overrides: Mapping[str, str]) -> bool:
    """``effective(overrides).dedicated_leader``, for those who look at many topics: no broker setting stands in for it."""
    return overrides.get("raylog.leader") == "dedicated"


@cache
def default_topic_config() -> TopicConfig:
    """Kafka's defaults."""
    return effective({})


def validate(configs: Mapping[str, str | None]) -> dict[str, str]:
    """A topic's own settings as they may be stored. Raises InvalidError, in one sentence, for an unknown name, a null
    value, a value out of range, or values that contradict each other."""
    missing = [name for name, value in configs.items() if value is None]
    if missing:
        raise InvalidError(f"The topic setting {missing[0]} has no value.")
    checked = {name: str(value) for name, value in configs.items()}
    for name, value in checked.items():
        known(name).parse(value)
    if known("remote.storage.enable").parse(checked.get("remote.storage.enable", "false")):
        raise InvalidError(
            "remote.storage.enable cannot be true: a diskless topic has all its data in the bucket already."
        )
    settings = effective(checked)
    if settings.min_compaction_lag_ms > settings.max_compaction_lag_ms:
        raise InvalidError(
            f"min.compaction.lag.ms ({settings.min_compaction_lag_ms}) is above max.compaction.lag.ms "
            f"({settings.max_compaction_lag_ms})."
        )
    return checked


def altered(current: Mapping[str, str], changes: Sequence[ConfigChange]) -> dict[str, str]:
    """A topic's own settings after IncrementalAlterConfigs (KIP-339), validated. Raises InvalidError."""
    after = validate(apply_changes(TOPIC_CONFIGS, current, changes))
    for name in _FIXED_AT_CREATION:
        if after.get(name, TOPIC_CONFIGS[name].default) != current.get(name, TOPIC_CONFIGS[name].default):
            raise InvalidError(f"{name} is decided when a topic is created and cannot be changed.")
    return after


def known(name: str) -> ConfigKey:
    """Raises InvalidError for a name that is no topic setting's."""
    try:
        return TOPIC_CONFIGS[name]
    except KeyError:
        raise InvalidError(f"There is no topic setting '{name}'.") from None


def describe(
    overrides: Mapping[str, str],
    broker_overrides: Mapping[str, str] | None = None,
    static_overrides: Mapping[str, str] | None = None,
) -> list[ConfigEntry]:
    """All settings of a topic as DescribeConfigs shows them, in alphabetical order.

    ``broker_overrides`` were set through Kafka, ``static_overrides`` in the configuration file.
    """
    return [_entry(key, overrides, broker_overrides or {}, static_overrides or {}) for key in TOPIC_CONFIGS.values()]


def _entry(
    key: ConfigKey, overrides: Mapping[str, str], dynamic: Mapping[str, str], static: Mapping[str, str]
) -> ConfigEntry:
    synonyms = [
        ConfigSynonym(name=synonym, value=configs[synonym], source=source)
        for synonym in key.synonyms
        for source, configs in ((ConfigSource.DYNAMIC_DEFAULT_BROKER, dynamic), (ConfigSource.STATIC_BROKER, static))
        if synonym in configs
    ]
    default_name = key.synonyms[0] if key.synonyms else key.name
    synonyms.append(ConfigSynonym(name=default_name, value=key.default, source=ConfigSource.DEFAULT))
    if key.name in overrides:
        own = ConfigSynonym(name=key.name, value=overrides[key.name], source=ConfigSource.DYNAMIC_TOPIC)
        synonyms.insert(0, own)
    return ConfigEntry(
        name=key.name,
        value=_text(key, overrides, {**static, **dynamic}),
        source=synonyms[0].source,
        type=key.type,
        documentation=key.documentation,
        synonyms=tuple(synonyms),
    )


def _value(key: ConfigKey, overrides: Mapping[str, str], broker: Mapping[str, str]) -> Value:
    return key.parse(_text(key, overrides, broker))


def _text(key: ConfigKey, overrides: Mapping[str, str], broker: Mapping[str, str]) -> str:
    if key.name in overrides:
        return overrides[key.name]
    for synonym in key.synonyms:
        if synonym in broker:
            return _in_ms(synonym, broker[synonym])
    return cast(str, key.default)


def _in_ms(synonym: str, text: str) -> str:
    """A broker setting in minutes or hours gives a topic setting in milliseconds; -1 stays -1."""
    factor = _MS_PER_SYNONYM.get(synonym.rpartition(".")[2])
    return text if factor is None or text == "-1" else str(int(text) * factor)
