"""Requests about topics that Kafka refuses, with its codes; and where accepted partitions go."""

from collections import Counter
from random import Random
from uuid import UUID

import pytest
from kio.schema.errors import ErrorCode

from controller.records import BrokerRegistered
from controller.rules import ClusterRules, Refused
from controller.state import MetadataState
from controller.topic_name import check_topic_name
from controller.topics import add_partitions, create_topic, delete_topic
from raylog.model.admin import NewTopic, TopicSelector
from raylog.model.errors import InvalidError

RULES = ClusterRules(wal_classes=("file", "object"), default_wal="file", leaders_per_class=3, topic_partitions_max=1000)
IDS = Random(7)


def new_id():
    return UUID(bytes=IDS.randbytes(16), version=4)


def create(state, rules=RULES, **topic):
    decided = create_topic(state, rules, NewTopic(**{"name": "orders", "partitions": 3} | topic), new_id())
    for record in decided.records:
        state.apply(record)
    state.validate()
    return decided


@pytest.fixture
def state():
    state = MetadataState()
    state.apply(BrokerRegistered(node_id="a", broker_id=1, host="a", port=1))
    state.apply(BrokerRegistered(node_id="b", broker_id=2, host="b", port=1))
    return state


@pytest.mark.parametrize(
    ("topic", "code", "message"),
    [
        ({"name": ""}, ErrorCode.invalid_topic_exception, "empty string"),
        ({"name": ".."}, ErrorCode.invalid_topic_exception, "not allowed"),
        ({"name": "x" * 250}, ErrorCode.invalid_topic_exception, "249"),
        ({"name": "spaced out"}, ErrorCode.invalid_topic_exception, "alphanumerics"),
        ({"name": "naïve"}, ErrorCode.invalid_topic_exception, "alphanumerics"),
        ({"name": "taken"}, ErrorCode.topic_already_exists, "already exists"),
        ({"name": "a_b"}, ErrorCode.invalid_topic_exception, "collides with existing topic: a.b"),
        ({"partitions": 0}, ErrorCode.invalid_partitions, "non-positive"),
        ({"partitions": -2}, ErrorCode.invalid_partitions, "non-positive"),
        ({"partitions": 1001}, ErrorCode.invalid_partitions, "more than a topic may have"),
        ({"replication_factor": 0}, ErrorCode.invalid_replication_factor, "larger than 0"),
        ({"replication_factor": -2}, ErrorCode.invalid_replication_factor, "larger than 0"),
        ({"assignments": {0: (1,)}}, ErrorCode.invalid_request, "partition count was not set to -1"),
        (
            {"partitions": -1, "replication_factor": 1, "assignments": {0: (1,)}},
            ErrorCode.invalid_request,
            "replication factor was not set to -1",
        ),
        ({"partitions": -1, "assignments": {1: (1,)}}, ErrorCode.invalid_replica_assignment, "consecutive"),
        ({"partitions": -1, "assignments": {0: ()}}, ErrorCode.invalid_replica_assignment, "different brokers"),
        ({"partitions": -1, "assignments": {0: (1, 1)}}, ErrorCode.invalid_replica_assignment, "different brokers"),
        ({"partitions": -1, "assignments": {0: (9,)}}, ErrorCode.invalid_replica_assignment, "different brokers"),
        ({"configs": {"colour": "red"}}, ErrorCode.invalid_config, "colour"),
        ({"configs": {"retention.ms": "soon"}}, ErrorCode.invalid_config, "retention.ms"),
        ({"configs": {"retention.ms": None}}, ErrorCode.invalid_config, "no value"),
        ({"configs": {"raylog.wal": "tape"}}, ErrorCode.invalid_config, "the classes are file, object"),
    ],
)
def test_creations_that_kafka_refuses(state, topic, code, message):
    create(state, name="taken")
    create(state, name="a.b")
    with pytest.raises(Refused, match=message) as refusal:
        create(state, **topic)
    assert refusal.value.code is code


@pytest.mark.parametrize("name", ["a", ".a", "...", "x" * 249, "A-z_0.9", "__x"])
def test_names_that_kafka_takes(name):
    check_topic_name(name)


def test_a_name_may_not_end_in_a_line_end():
    with pytest.raises(InvalidError):
        check_topic_name("orders\n")


def test_defaults_and_manual_assignments_give_the_number_of_partitions(state):
    rules = ClusterRules(
        wal_classes=("file",),
        default_wal="file",
        leaders_per_class=1,
        topic_partitions_max=1000,
        broker_configs={"num.partitions": "6"},
    )
    assert create(state, rules, name="default", partitions=-1, replication_factor=3).partition_count == 6
    assert create(state, rules, name="manual", partitions=-1, assignments={1: (1,), 0: (2, 1)}).partition_count == 2


def test_partitions_are_spread_over_the_pool_per_topic_and_over_all(state):
    create(state, name="one", partitions=1)
    create(state, name="two", partitions=1)
    decided = create(state, name="seven", partitions=7)
    placed = Counter(p.leader_id for p in state.topics[decided.topic_id].partitions)
    assert sorted(placed.values()) == [2, 2, 3]
    assert sorted(state.partition_count(leader) for leader in state.leaders) == [3, 3, 3]


def test_a_pool_is_made_once_and_filled_up_when_it_is_to_be_larger(state):
    create(state, name="a")
    create(state, name="b")
    assert len(state.leaders) == 3
    larger = ClusterRules(wal_classes=("file",), default_wal="file", leaders_per_class=5, topic_partitions_max=1000)
    create(state, larger, name="c")
    assert len(state.leaders) == 5


def test_classes_have_pools_of_their_own(state):
    create(state, name="fast")
    logs = create(state, name="logs", configs={"raylog.wal": "object"})
    assert {state.leaders[p.leader_id].wal_class for p in state.topics[logs.topic_id].partitions} == {"object"}
    assert len(state.leaders) == 6


def test_a_dedicated_topic_has_a_leader_per_partition_and_idle_ones_serve_again(state):
    configs = {"raylog.leader": "dedicated"}
    first = create(state, name="first", partitions=2, configs=configs)
    assert sorted(p.leader_id for p in state.topics[first.topic_id].partitions) == [1, 2]
    assert all(leader.dedicated for leader in state.leaders.values())
    for record in delete_topic(state, RULES, TopicSelector(name="first")).records:
        state.apply(record)
    create(state, name="second", partitions=3, configs=configs)
    assert sorted(state.leaders) == [1, 2, 3]
    create(state, name="shared", partitions=1)
    assert [leader.dedicated for leader in state.leaders.values()] == [True] * 3 + [False] * 3
    for record in add_partitions(state, RULES, "second", 4).records:
        state.apply(record)
    state.validate()
    assert [leader.dedicated for leader in state.leaders.values()][-1] is True


def test_more_partitions_stay_in_the_topics_class_when_the_default_has_changed(state):
    create(state)
    changed = ClusterRules(
        wal_classes=("file", "object"), default_wal="object", leaders_per_class=3, topic_partitions_max=1000
    )
    for record in add_partitions(state, changed, "orders", 9).records:
        state.apply(record)
    state.validate()
    assert Counter(p.leader_id for p in state.topic("orders").partitions) == {1: 3, 2: 3, 3: 3}


@pytest.mark.parametrize(
    ("name", "total", "code"),
    [
        ("nowhere", 5, ErrorCode.unknown_topic_or_partition),
        ("orders", 3, ErrorCode.invalid_partitions),
        ("orders", 2, ErrorCode.invalid_partitions),
        ("orders", 0, ErrorCode.invalid_partitions),
        ("orders", 1001, ErrorCode.invalid_partitions),
        ("__consumer_offsets", 100, ErrorCode.invalid_partitions),
    ],
)
def test_enlargements_that_are_refused(state, name, total, code):
    create(state)
    create(state, name="__consumer_offsets")
    with pytest.raises(Refused) as refusal:
        add_partitions(state, RULES, name, total)
    assert refusal.value.code is code


@pytest.mark.parametrize(
    ("selector", "code"),
    [
        (TopicSelector(name="nowhere"), ErrorCode.unknown_topic_or_partition),
        (TopicSelector(topic_id=UUID(int=9)), ErrorCode.unknown_topic_id),
        (TopicSelector(), ErrorCode.invalid_request),
        (TopicSelector(name="orders", topic_id=UUID(int=9)), ErrorCode.invalid_request),
        (TopicSelector(name="__consumer_offsets"), ErrorCode.invalid_request),
    ],
)
def test_deletions_that_are_refused(state, selector, code):
    create(state)
    create(state, name="__consumer_offsets")
    with pytest.raises(Refused) as refusal:
        delete_topic(state, RULES, selector)
    assert refusal.value.code is code


def test_deletion_can_be_switched_off(state):
    create(state)
    rules = ClusterRules(
        wal_classes=("file",),
        default_wal="file",
        leaders_per_class=1,
        topic_partitions_max=9,
        broker_configs={"delete.topic.enable": "false"},
    )
    with pytest.raises(Refused) as refusal:
        delete_topic(state, rules, TopicSelector(name="orders"))
    assert refusal.value.code is ErrorCode.topic_deletion_disabled


def test_an_internal_topic_is_as_it_must_be_whatever_was_asked(state):
    decided = create(state, name="__consumer_offsets", partitions=1, configs={"retention.ms": "1"})
    assert (decided.partition_count, decided.configs["cleanup.policy"]) == (50, "compact")
    assert state.topic("__consumer_offsets").internal
