"""The metadata's state machine under random histories: always valid, and the same after a replay or from a checkpoint."""

from dataclasses import replace
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.records import (
    Adoption,
    BrokerRegistered,
    BrokerRetired,
    BrokersConfigured,
    LeaderRegistered,
    PartitionsAdopted,
    ProducerIdsAllocated,
    TopicConfigured,
    TopicCreated,
    TopicDeleted,
    decode_records,
    encode_records,
)
from controller.routes import RouteMaker
from controller.rules import ClusterRules, Refused
from controller.state import MetadataState
from controller.topics import add_partitions, create_topic, delete_topic
from raylog.model.admin import NewTopic, TopicSelector

RULES = ClusterRules(wal_classes=("file", "object"), default_wal="file", leaders_per_class=2, topic_partitions_max=50)
NAMES = ("a", "b", "c")
NAME = st.sampled_from(NAMES)
NUMBER = st.integers(1, 6)
STEPS = st.one_of(
    st.tuples(st.just("create"), NAME, NUMBER, st.sampled_from(["file", "object"]), st.booleans()),
    st.tuples(st.just("enlarge"), NAME, NUMBER),
    st.tuples(st.just("delete"), NAME),
    st.tuples(st.just("configure"), NAME, NUMBER),
    st.tuples(st.just("adopt"), NUMBER),
    st.tuples(st.just("register"), NUMBER, NUMBER),
    st.tuples(st.just("broker"), st.sampled_from("xyz"), NUMBER),
    st.tuples(st.just("retire"), st.sampled_from("xyz")),
    st.tuples(st.just("ids"), NUMBER),
    st.tuples(st.just("brokers"), NUMBER),
)


def decide(state, rng, step):
    """The records of a step; none if it is refused or has nothing to work on."""
    try:
        match step:
            case ("create", name, count, wal, dedicated):
                configs = {"raylog.wal": wal, "raylog.leader": "dedicated" if dedicated else "shared"}
                topic = NewTopic(name=name, partitions=count, configs=configs)
                return create_topic(state, RULES, topic, UUID(bytes=rng.randbytes(16), version=4)).records
            case ("enlarge", name, count):
                return add_partitions(state, RULES, name, count).records
            case ("delete", name):
                return delete_topic(state, RULES, TopicSelector(name=name)).records
            case ("configure", name, value) if topic := state.topic(name):
                return [TopicConfigured(topic_id=topic.topic_id, configs={"retention.ms": str(value)})]
            case ("adopt", leader_id):
                led = tuple(Adoption(*a.partition, -1) for a in state.assignments(leader_id))
                return [PartitionsAdopted(leader_id=leader_id, adopted=led)] if led else []
            case ("register", leader_id, epoch) if leader_id in state.leaders:
                return [
                    LeaderRegistered(
                        leader_id=leader_id, log_epoch=epoch, node_id="x", unix_path="/s", host="h", port=1
                    )
                ]
            case ("broker", node, port):
                known = state.brokers.get(node)
                broker_id = known.endpoint.broker_id if known else state.next_broker_id()
                return [BrokerRegistered(node_id=node, broker_id=broker_id, host="h", port=port)]
            case ("retire", node) if node in state.brokers:
                return [BrokerRetired(node_id=node)]
            case ("ids", count):
                return [ProducerIdsAllocated(next_id=state.next_producer_id + count)]
            case ("brokers", value):
                return [BrokersConfigured(configs={"num.partitions": str(value)})]
    except Refused:
        pass
    return []


def told(state, leader_id):
    """What news a leader must hear of; that it has adopted a partition is its own."""
    return [replace(assigned, adopted=False) for assigned in state.assignments(leader_id)]


@given(st.lists(STEPS, max_size=30), st.integers(0, 30))
def test_any_history_is_valid_and_the_same_from_the_log_and_from_a_checkpoint(steps, checkpoint_at):
    rng = Random(1)
    state, from_log, from_checkpoint = MetadataState(), MetadataState(), None
    for i, step in enumerate(steps):
        if i == checkpoint_at:
            from_checkpoint = MetadataState()
            for record in decode_records(encode_records(state.to_records())):
                from_checkpoint.apply(record)
            assert from_checkpoint == state
        before = {leader_id: told(state, leader_id) for leader_id in state.leaders}
        records = decide(state, rng, step)
        affected = frozenset().union(*(state.apply(record) for record in records))
        state.validate()
        changed = {id_ for id_ in state.leaders if told(state, id_) != before.get(id_, [])}
        assert changed <= affected, "a leader would not hear of a change of what it leads"
        for record in decode_records(encode_records(records)):
            from_log.apply(record)
            if from_checkpoint:
                from_checkpoint.apply(record)
    assert from_log == state
    assert from_checkpoint in (None, state)


@given(st.lists(STEPS, max_size=30))
def test_routes_kept_between_tables_are_those_made_anew(steps):
    rng, state, maker = Random(1), MetadataState(), RouteMaker(RULES)
    for version, step in enumerate(steps):
        for record in decide(state, rng, step):
            state.apply(record)
        assert maker.table(state, version) == RouteMaker(RULES).table(state, version)


def test_validate_finds_what_must_not_be():
    state = MetadataState()
    state.apply(TopicCreated(topic_id=UUID(int=1), name="a", configs={}, leaders=(1,)))
    with pytest.raises(AssertionError, match="led by nobody"):
        state.validate()


def test_an_adoption_of_a_partition_deleted_meanwhile_says_nothing():
    state = MetadataState()
    for record in create_topic(state, RULES, NewTopic(name="a", partitions=1), UUID(int=1)).records:
        state.apply(record)
    state.apply(TopicDeleted(topic_id=UUID(int=1)))
    state.apply(PartitionsAdopted(leader_id=1, adopted=(Adoption(UUID(int=1), 0, -1),)))
    state.validate()
    assert not state.topics
