"""Broker settings: what a cluster takes, what is only shown, and that they agree with the topics' defaults."""

import pytest

from raylog.model.admin import ConfigChange
from raylog.model.broker_config import (
    BROKER_CONFIGS,
    altered,
    describe,
    describe_cluster_defaults,
    effective,
    validate,
)
from raylog.model.config_key import ConfigSource
from raylog.model.errors import InvalidError
from raylog.model.topic_config import TOPIC_CONFIGS


@pytest.mark.parametrize("name", [name for name, key in BROKER_CONFIGS.items() if key.default is not None])
def test_every_default_is_a_value_of_its_setting(name: str) -> None:
    key = BROKER_CONFIGS[name]
    assert key.default is not None
    key.parse(key.default)
    assert key.documentation


def test_every_synonym_of_a_topic_setting_is_a_broker_setting() -> None:
    assert {synonym for key in TOPIC_CONFIGS.values() for synonym in key.synonyms} <= set(BROKER_CONFIGS)


def test_a_topic_setting_and_its_synonym_have_the_same_default() -> None:
    for key in TOPIC_CONFIGS.values():
        if key.synonyms:
            assert BROKER_CONFIGS[key.synonyms[0]].default == key.default


def test_typed_values() -> None:
    config = effective({"auto.create.topics.enable": "false", "num.partitions": "12"})
    assert not config.auto_create_topics_enable
    assert config.delete_topic_enable
    assert config.num_partitions == 12
    assert config.offsets_topic_num_partitions == 50


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("num.partitions", "0", "at least 1"),
        ("num.partitions", "many", "whole number"),
        ("broker.id", "3", "only shown"),
        ("zookeeper.connect", "x", "no broker setting"),
        ("default.replication.factor", "0", "at least 1"),
    ],
)
def test_what_a_cluster_does_not_take(name: str, value: str, reason: str) -> None:
    with pytest.raises(InvalidError, match=reason):
        validate({name: value})
    with pytest.raises(InvalidError):
        altered({}, [ConfigChange(key=name, op=0, value=value)])


def test_a_change_and_its_undoing() -> None:
    changed = altered({}, [ConfigChange(key="num.partitions", op=0, value="6")])
    assert changed == {"num.partitions": "6"}
    assert altered(changed, [ConfigChange(key="num.partitions", op=1, value=None)]) == {}


def test_tools_are_shown_facts_overrides_and_defaults() -> None:
    entries = {entry.name: entry for entry in describe({"num.partitions": "6"}, {"broker.id": "4"})}
    assert list(entries) == sorted(BROKER_CONFIGS)
    assert (entries["num.partitions"].value, entries["num.partitions"].source) == (
        "6",
        ConfigSource.DYNAMIC_DEFAULT_BROKER,
    )
    assert (entries["broker.id"].value, entries["broker.id"].source) == ("4", ConfigSource.STATIC_BROKER)
    assert entries["broker.id"].read_only
    assert not entries["num.partitions"].read_only
    assert entries["delete.topic.enable"].value == "true"
    assert entries["broker.rack"].value is None


def test_the_nameless_broker_shows_what_was_set() -> None:
    assert [entry.name for entry in describe_cluster_defaults({"num.partitions": "6"})] == ["num.partitions"]
