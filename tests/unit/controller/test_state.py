"""The metadata's state machine under random histories: always valid, and the same after a replay or from a checkpoint."""

from dataclasses import replace
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.drains import evacuate, keep_drains, with_drains
from controller.moves import move_partitions
from controller.nodes import Node, settle
from controller.records import (
    Adoption,
    BrokerRegistered,
    BrokerRetired,
    BrokersConfigured,
    Departure,
    LeaderRegistered,
    NodeDraining,
    PartitionsAdopted,
    PartitionsReleased,
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
from raylog.model.admin import Move, NewTopic, TopicSelector
from raylog.model.ids import TopicPartition

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
    st.tuples(st.just("move"), NAME, NUMBER, st.none() | NUMBER),
    st.tuples(st.just("release"), NUMBER, NUMBER),
    st.tuples(st.just("register"), NUMBER, NUMBER),
    st.tuples(st.just("broker"), st.sampled_from("xyz"), NUMBER),
    st.tuples(st.just("retire"), st.sampled_from("xyz")),
    st.tuples(st.just("drain"), st.sampled_from("xyz"), st.booleans(), st.booleans()),
    st.tuples(st.just("nodes"), st.sets(st.sampled_from("xyz"), min_size=1)),
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
                led = tuple(
                    Adoption(*a.partition, a.taken_from.epoch_base + 1 if a.taken_from else -1)
                    for a in assigned(state, leader_id)
                    if not a.adopted
                )
                return [PartitionsAdopted(leader_id=leader_id, adopted=led)] if led else []
            case ("move", name, number, leader_id):
                return move_partitions(state, [Move(topic=name, partition=number - 1, to_leader=leader_id)])[0]
            case ("release", leader_id, handover):
                leaving = [
                    Departure(*a.partition, handover, 7)
                    for a in assigned(state, leader_id, lambda _: False)
                    if a.adopted
                ]
                return [PartitionsReleased(leader_id=leader_id, released=tuple(leaving))] if leaving else []
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
            case ("drain", node, is_draining, for_scaling):
                return [NodeDraining(node=node, start_id="", is_draining=is_draining, for_scaling=for_scaling)]
            case ("nodes", names):
                nodes = [Node(name=name, mounts={"file": "", "object": ""}) for name in sorted(names)]
                seen = with_drains(state, nodes)
                return [
                    *keep_drains(state, nodes),
                    *settle(state, seen),
                    *evacuate(state, seen, lambda leader_id: leader_id % 2 == 0),
                ]
            case ("ids", count):
                return [ProducerIdsAllocated(next_id=state.next_producer_id + count)]
            case ("brokers", value):
                return [BrokersConfigured(configs={"num.partitions": str(value)})]
    except Refused:
        pass
    return []


def assigned(state, leader_id, has_successor=lambda _: True):
    """What a leader is to lead."""
    return state.assignments(leader_id, has_successor)[0]


def told(state, leader_id):
    """What news a leader must hear of; that it has adopted a partition is its own."""
    kept, handing_over = state.assignments(leader_id, lambda successor: state.leaders[successor].endpoint is not None)
    return [*(replace(one, adopted=False, taken_from=None) for one in kept), *sorted(handing_over)]


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


def test_a_partition_that_is_released_is_the_next_leaders_and_a_late_adoption_by_the_last_one_says_nothing():
    state = MetadataState()
    for record in create_topic(state, RULES, NewTopic(name="a", partitions=1), UUID(int=1)).records:
        state.apply(record)
    partition = TopicPartition(UUID(int=1), 0)
    state.apply(PartitionsAdopted(leader_id=1, adopted=(Adoption(*partition, -4),)))
    for record in move_partitions(state, [Move(topic="a", partition=0, to_leader=2)])[0]:
        assert state.apply(record) == {1}
    assert state.assignments(1, lambda _: False)[1] == ()
    assert state.assignments(1, lambda _: True) == ((), (partition,))
    departure = Departure(*partition, 77, 3)
    assert state.apply(PartitionsReleased(leader_id=1, released=(departure,))) == {1, 2}
    [waiting] = assigned(state, 2)
    assert not waiting.adopted
    assert (waiting.taken_from.leader_id, waiting.taken_from.handover, waiting.taken_from.leader_epoch) == (1, 77, 3)
    assert not state.is_newer(partition, -4)
    assert state.is_newer(partition, -3)
    state.apply(PartitionsAdopted(leader_id=1, adopted=(Adoption(*partition, 5),)))
    assert not assigned(state, 2)[0].adopted
