"""Requests to move partitions, and leaders' reports of releases: what is refused, and what is recorded."""

from uuid import UUID

import pytest
from kio.schema.errors import ErrorCode

from controller.brokers import register_broker
from controller.moves import move_partitions, released
from controller.records import (
    Adoption,
    Destination,
    LeaderAdded,
    PartitionsAdopted,
    PartitionsMoving,
    TopicConfigured,
    TopicCreated,
)
from controller.state import MetadataState, leader_registered
from raylog.model.admin import Move, Released
from raylog.model.ids import BrokerId, LeaderId, LogEpoch, TopicId, TopicPartition
from raylog.model.routing import LeaderEndpoint

TOPIC = TopicId(UUID(int=1))
FIRST = TopicPartition(TOPIC, 0)


def endpoint(leader_id, node_id, log_epoch=3):
    return LeaderEndpoint(
        leader_id=LeaderId(leader_id), log_epoch=log_epoch, node_id=node_id, unix_path="/s", host="h", port=1
    )


@pytest.fixture
def state():
    """Leaders 1 and 2 on node x, 3 on y, all "file"; 4 is "object", 5 dedicated; the topic has three partitions on leader 1, of
    which the last is new."""
    state = MetadataState()
    for node, port in (("x", 1), ("y", 2), ("z", 3)):
        for record in register_broker(state, node_id=node, host="h", port=port, rack=None)[1]:
            state.apply(record)
    for leader_id, wal, dedicated, node in (
        (1, "file", False, "x"),
        (2, "file", False, "x"),
        (3, "file", False, "y"),
        (4, "object", False, "z"),
        (5, "file", True, "y"),
    ):
        state.apply(LeaderAdded(leader_id=LeaderId(leader_id), wal_class=wal, dedicated=dedicated))
        state.apply(leader_registered(endpoint(leader_id, node)))
    state.apply(TopicCreated(topic_id=TOPIC, name="t", configs={}, leaders=(1, 1, 1)))
    state.apply(PartitionsAdopted(leader_id=LeaderId(1), adopted=(Adoption(TOPIC, 0, -3), Adoption(TOPIC, 1, -3))))
    yield state
    state.validate()


def ask(state, *moves):
    """The destinations recorded, and the codes answered."""
    records, results = move_partitions(state, [Move(topic=topic, partition=n, **to) for topic, n, to in moves])
    for record in records:
        state.apply(record)
    found = [destination for record in records for destination in record.moves]
    return found, [ErrorCode(result.error_code) for result in results]


def test_many_partitions_move_by_one_record(state):
    moves = [Move(topic="t", partition=n, to_leader=LeaderId(2)) for n in (0, 1)]
    [record], _ = move_partitions(state, moves)
    assert record == PartitionsMoving(moves=(Destination(TOPIC, 0, 2), Destination(TOPIC, 1, 2)))


@pytest.mark.parametrize(
    ("topic", "number", "to", "code"),
    [
        ("none", 0, {"to_leader": 2}, ErrorCode.unknown_topic_or_partition),
        ("t", 3, {"to_leader": 2}, ErrorCode.unknown_topic_or_partition),
        ("t", 0, {"to_leader": 9}, ErrorCode.invalid_replica_assignment),
        ("t", 0, {"to_leader": 4}, ErrorCode.invalid_replica_assignment),
        ("t", 0, {"to_broker": 9}, ErrorCode.invalid_replica_assignment),
        ("t", 0, {"to_broker": 3}, ErrorCode.invalid_replica_assignment),
        ("t", 0, {}, ErrorCode.no_reassignment_in_progress),
        ("t", 2, {"to_leader": 2}, ErrorCode.reassignment_in_progress),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_recorded(state, topic, number, to, code):
    assert ask(state, (topic, number, to)) == ([], [code])


def test_a_broker_stands_for_the_least_loaded_leader_of_the_class_on_its_node(state):
    assert ask(state, ("t", 0, {"to_broker": BrokerId(2)})) == ([Destination(TOPIC, 0, 3)], [ErrorCode.none])


def test_a_partition_that_is_there_already_does_not_move(state):
    assert ask(state, ("t", 0, {"to_broker": BrokerId(1)})) == ([], [ErrorCode.none])
    assert ask(state, ("t", 0, {"to_leader": LeaderId(1)})) == ([], [ErrorCode.none])


def test_a_dedicated_leader_takes_one_partition_of_a_topic_that_wants_it(state):
    assert ask(state, ("t", 0, {"to_leader": LeaderId(5)})) == ([], [ErrorCode.invalid_replica_assignment])
    state.apply(TopicConfigured(topic_id=TOPIC, configs={"raylog.leader": "dedicated"}))
    assert ask(state, ("t", 0, {"to_leader": LeaderId(2)})) == ([], [ErrorCode.invalid_replica_assignment])
    moved, codes = ask(state, ("t", 0, {"to_leader": LeaderId(5)}), ("t", 1, {"to_leader": LeaderId(5)}))
    assert moved == [Destination(TOPIC, 0, 5)]
    assert codes == [ErrorCode.none, ErrorCode.invalid_replica_assignment]


def test_a_broker_stands_for_a_free_dedicated_leader_where_one_is_wanted(state):
    state.apply(TopicConfigured(topic_id=TOPIC, configs={"raylog.leader": "dedicated"}))
    assert ask(state, ("t", 0, {"to_broker": BrokerId(2)}), ("t", 1, {"to_broker": BrokerId(2)})) == (
        [Destination(TOPIC, 0, 5)],
        [ErrorCode.none, ErrorCode.invalid_replica_assignment],
    )


def test_a_move_can_be_sent_elsewhere_and_called_off(state):
    ask(state, ("t", 0, {"to_leader": LeaderId(2)}))
    assert ask(state, ("t", 0, {"to_leader": LeaderId(2)}))[0] == []
    assert ask(state, ("t", 0, {"to_leader": LeaderId(3)}))[0] == [Destination(TOPIC, 0, 3)]
    assert state.expected(LeaderId(3)) == (FIRST,)
    assert ask(state, ("t", 0, {})) == ([Destination(TOPIC, 0, 1)], [ErrorCode.none])
    assert state.expected(LeaderId(3)) == ()


def report(epoch_base, handover=7):
    return [Released(partition=FIRST, epoch_base=epoch_base, handover=handover)]


def test_a_release_gives_the_partition_to_its_next_leader_above_every_epoch_that_was_shown(state):
    ask(state, ("t", 0, {"to_leader": LeaderId(2)}))
    state.apply(leader_registered(endpoint(1, "x", log_epoch=8)))  # has opened again since it released
    [record] = released(state, LeaderId(1), LogEpoch(8), report(-3))
    state.apply(record)
    partition = state.partition(FIRST)
    assert (partition.leader_id, partition.epoch_base) == (2, None)
    assert (partition.taken_from.leader_epoch, partition.taken_from.epoch_base) == (5, -3)
    assert released(state, LeaderId(1), LogEpoch(8), report(-3)) == ()


def test_a_late_report_of_an_earlier_release_takes_nothing_away(state):
    """Released, called off and led again by the same leader: a repetition of the first report comes after all that."""
    ask(state, ("t", 0, {"to_leader": LeaderId(2)}))
    ask(state, ("t", 0, {}))
    [record] = released(state, LeaderId(1), LogEpoch(3), report(-3))
    state.apply(record)
    assert state.partition(FIRST).leader_id == 1
    state.apply(PartitionsAdopted(leader_id=LeaderId(1), adopted=(Adoption(*FIRST, -2),)))
    assert released(state, LeaderId(1), LogEpoch(3), report(-3)) == ()


def test_what_is_being_taken_over_waits_for_that(state):
    ask(state, ("t", 0, {"to_leader": LeaderId(2)}))
    for record in released(state, LeaderId(1), LogEpoch(3), report(-3)):
        state.apply(record)
    assert ask(state, ("t", 0, {"to_leader": LeaderId(3)}))[1] == [ErrorCode.reassignment_in_progress]
    assert ask(state, ("t", 0, {}))[1] == [ErrorCode.no_reassignment_in_progress]
