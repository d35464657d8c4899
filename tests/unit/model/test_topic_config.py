"""A topic's settings: what is taken, what is refused and why, and what tools are shown."""

import pytest

from raylog.model import topic_config
from raylog.model.admin import ConfigChange
from raylog.model.config_key import ConfigSource, ConfigType, Effect
from raylog.model.errors import InvalidError
from raylog.model.topic_config import TOPIC_CONFIGS, altered, describe, effective, validate

KAFKA_4_1_TOPIC_CONFIGS = """
cleanup.policy compression.gzip.level compression.lz4.level compression.type compression.zstd.level delete.retention.ms
file.delete.delay.ms flush.messages flush.ms follower.replication.throttled.replicas index.interval.bytes
leader.replication.throttled.replicas local.retention.bytes local.retention.ms max.compaction.lag.ms max.message.bytes
message.timestamp.after.max.ms message.timestamp.before.max.ms message.timestamp.type min.cleanable.dirty.ratio
min.compaction.lag.ms min.insync.replicas preallocate remote.log.copy.disable remote.log.delete.on.disable
remote.storage.enable retention.bytes retention.ms segment.bytes segment.index.bytes segment.jitter.ms segment.ms
unclean.leader.election.enable
"""


def test_every_setting_of_kafka_is_known() -> None:
    assert set(TOPIC_CONFIGS) == {
        *KAFKA_4_1_TOPIC_CONFIGS.split(),
        "raylog.wal",
        "raylog.leader",
        "raylog.produce.path",
    }


@pytest.mark.parametrize("name", TOPIC_CONFIGS)
def test_every_default_is_a_value_that_would_be_taken(name: str) -> None:
    assert validate({name: TOPIC_CONFIGS[name].default})
    assert TOPIC_CONFIGS[name].documentation


def test_a_setting_without_effect_says_so() -> None:
    for key in TOPIC_CONFIGS.values():
        if key.effect is Effect.MEANINGLESS:
            assert key.documentation.startswith("Accepted and shown, without effect here: ")


def test_own_values_go_before_the_clusters_and_those_before_kafkas() -> None:
    assert effective({}).max_message_bytes == 1_048_588
    assert effective({}, {"message.max.bytes": "5"}).max_message_bytes == 5
    assert effective({"max.message.bytes": "7"}, {"message.max.bytes": "5"}).max_message_bytes == 7


def test_the_clusters_retention_may_be_in_other_units() -> None:
    assert effective({}, {"log.retention.hours": "2"}).retention_ms == 7_200_000
    assert effective({}, {"log.retention.hours": "2", "log.retention.minutes": "3"}).retention_ms == 180_000
    assert effective({}, {"log.retention.hours": "-1"}).retention_ms == -1


def test_typed_values() -> None:
    config = effective(
        {"cleanup.policy": "compact, delete", "message.timestamp.type": "LogAppendTime", "raylog.leader": "dedicated"}
    )
    assert (config.compacted, config.deletable, config.log_append_time, config.dedicated_leader) == (True,) * 4
    config = effective({})
    assert (config.compacted, config.deletable, config.log_append_time, config.dedicated_leader) == (
        False,
        True,
        False,
        False,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retention.ms", "-2"),
        ("retention.ms", "1_000"),
        ("retention.ms", "٣"),
        ("retention.ms", "1.5"),
        ("retention.ms", str(2**63)),
        ("retention.ms", ""),
        ("max.message.bytes", "-1"),
        ("max.message.bytes", str(2**31)),
        ("cleanup.policy", "shred"),
        ("cleanup.policy", "delete,shred"),
        ("message.timestamp.type", "createtime"),
        ("preallocate", "yes"),
        ("min.cleanable.dirty.ratio", "1.01"),
        ("min.cleanable.dirty.ratio", "half"),
        ("min.cleanable.dirty.ratio", "nan"),
        ("compression.gzip.level", "0"),
        ("segment.bytes", "1000"),
        ("leader.replication.throttled.replicas", "a:b"),
        ("raylog.leader", "mine"),
        ("raylog.wal", "Not A Name"),
        ("remote.storage.enable", "true"),
        ("no.such.setting", "1"),
        ("message.format.version", "2.0"),
        ("retention.ms", None),
    ],
)
def test_a_bad_value_is_refused_with_a_sentence_that_names_it(name: str, value: str | None) -> None:
    with pytest.raises(InvalidError, match=name.replace(".", r"\.")):
        validate({name: value})


def test_contradicting_values_are_refused() -> None:
    with pytest.raises(InvalidError, match="above max"):
        validate({"min.compaction.lag.ms": "10", "max.compaction.lag.ms": "5"})


def test_incremental_changes() -> None:
    current = {"retention.ms": "5", "cleanup.policy": "delete"}
    after = altered(
        current,
        [
            ConfigChange(key="retention.ms", op=1, value=None),
            ConfigChange(key="cleanup.policy", op=2, value="compact"),
            ConfigChange(key="max.message.bytes", op=0, value="99"),
        ],
    )
    assert after == {"cleanup.policy": "delete,compact", "max.message.bytes": "99"}
    assert current == {"retention.ms": "5", "cleanup.policy": "delete"}
    assert altered(after, [ConfigChange(key="cleanup.policy", op=3, value="delete")])["cleanup.policy"] == "compact"


def test_append_starts_from_the_default() -> None:
    assert altered({}, [ConfigChange(key="cleanup.policy", op=2, value="compact")]) == {
        "cleanup.policy": "delete,compact"
    }


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ([ConfigChange(key="retention.ms", op=2, value="1")], "not a list"),
        ([ConfigChange(key="retention.ms", op=0, value=None)], "no value"),
        ([ConfigChange(key="retention.ms", op=9, value="1")], "no operation"),
        ([ConfigChange(key="nothing", op=0, value="1")], "no setting"),
        ([ConfigChange(key="nothing", op=1, value=None)], "no setting"),
        ([ConfigChange(key="retention.ms", op=0, value="1")] * 2, "twice"),
        ([ConfigChange(key="raylog.wal", op=0, value="object")], "cannot be changed"),
    ],
)
def test_changes_that_make_no_sense_are_refused(changes: list[ConfigChange], reason: str) -> None:
    with pytest.raises(InvalidError, match=reason):
        altered({}, changes)


def test_setting_the_wal_to_what_it_is_changes_nothing() -> None:
    same = [ConfigChange(key="raylog.wal", op=0, value="object")]
    assert altered({"raylog.wal": "object"}, same) == {"raylog.wal": "object"}


def test_tools_are_shown_where_a_value_comes_from() -> None:
    entries = {entry.name: entry for entry in describe({"retention.ms": "5"}, {"log.retention.ms": "6"})}
    assert list(entries) == sorted(TOPIC_CONFIGS)
    retention = entries["retention.ms"]
    assert (retention.value, retention.source, retention.type) == ("5", ConfigSource.DYNAMIC_TOPIC, ConfigType.LONG)
    assert [(s.name, s.value, s.source) for s in retention.synonyms] == [
        ("retention.ms", "5", ConfigSource.DYNAMIC_TOPIC),
        ("log.retention.ms", "6", ConfigSource.DYNAMIC_DEFAULT_BROKER),
        ("log.retention.ms", "604800000", ConfigSource.DEFAULT),
    ]
    assert entries["max.message.bytes"].source is ConfigSource.DEFAULT
    assert entries["max.message.bytes"].value == "1048588"
    assert not any(entry.read_only or entry.sensitive for entry in entries.values())


def test_defaults_are_the_same_value_for_all() -> None:
    assert topic_config.default_topic_config() == effective({})
