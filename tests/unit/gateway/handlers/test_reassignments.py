"""Reassignments and elections, as Kafka's tools ask for them."""

from dataclasses import replace

import pytest
from kio.schema.errors import ErrorCode

from gateway.messages import request_types
from raylog.model.admin import Move
from raylog.model.ids import LEADER_REPLICAS, LeaderId

ALTER, LIST, ELECT = 45, 46, 43


async def alter(desk, replicas, *, topic="alpha", number=0, version=1):
    """The topics of the answer, with the request's only partition."""
    types = request_types(ALTER, version)
    partition = types.ReassignablePartition(partition_index=number, replicas=replicas)
    answer = await desk.ask(
        ALTER,
        version,
        timeout=1000,
        topics=(types.ReassignableTopic(name=topic, partitions=(partition,)),),
        **({"allow_replication_factor_change": True} if version else {}),
    )
    return answer


@pytest.mark.parametrize("version", range(2))
@pytest.mark.parametrize(
    ("replicas", "move"),
    [
        ((2,), Move(topic="alpha", partition=0, to_broker=2)),
        ((LEADER_REPLICAS + 7,), Move(topic="alpha", partition=0, to_leader=LeaderId(7))),
        (None, Move(topic="alpha", partition=0)),
    ],
)
async def test_a_reassignment_is_a_move(desk, replicas, move, version: int) -> None:
    answer = await alter(desk, replicas, version=version)
    assert desk.controller.calls == [("move_partitions", [move])]
    [result] = answer.responses[0].partitions
    assert (answer.error_code, result.partition_index, result.error_code) == (ErrorCode.none, 0, ErrorCode.none)


@pytest.mark.parametrize("replicas", [(), (1, 2)])
async def test_a_partition_has_one_replica(desk, replicas) -> None:
    answer = await alter(desk, replicas)
    assert answer.responses[0].partitions[0].error_code is ErrorCode.invalid_replica_assignment
    assert not desk.controller.calls


async def test_the_controllers_refusal_is_passed_on(desk) -> None:
    desk.controller.refuses["alpha"] = ErrorCode.no_reassignment_in_progress
    [result] = (await alter(desk, None)).responses[0].partitions
    assert (result.error_code, result.error_message) == (ErrorCode.no_reassignment_in_progress, "No.")


async def test_without_the_controller_the_whole_request_has_to_be_made_again(desk) -> None:
    desk.controller.is_away = True
    answer = await alter(desk, (2,))
    assert (answer.error_code, answer.responses) == (ErrorCode.request_timed_out, ())


async def reassignments(desk, *asked):
    types = request_types(LIST, 0)
    topics = tuple(types.ListPartitionReassignmentsTopics(name=name, partition_indexes=(n,)) for name, n in asked)
    answer = await desk.ask(LIST, 0, timeout=1000, topics=topics or None)
    assert answer.error_code is ErrorCode.none
    return [
        (topic.name, p.partition_index, p.replicas, p.adding_replicas, p.removing_replicas)
        for topic in answer.topics
        for p in topic.partitions
    ]


def moving(desk, name: str, number: int, **changes) -> None:
    topics = desk.routes.table.topics
    partitions = list(topics[name].partitions)
    partitions[number] = replace(partitions[number], **changes)
    desk.controller.change(topics={**topics, name: replace(topics[name], partitions=tuple(partitions))})


async def test_what_moves_is_listed_until_its_next_leader_serves(desk) -> None:
    assert await reassignments(desk) == []
    moving(desk, "alpha", 0, moving_to=LeaderId(2))
    one, two = LEADER_REPLICAS + 1, LEADER_REPLICAS + 2
    assert await reassignments(desk) == [("alpha", 0, (1, two, one), (two,), (one,))]
    moving(desk, "alpha", 0, moving_to=None, moving_from=LeaderId(1), leader_id=LeaderId(2), adopted=False)
    assert await reassignments(desk, ("alpha", 0)) == [("alpha", 0, (2, two, one), (two,), (one,))]
    assert await reassignments(desk, ("alpha", 9), ("none", 0)) == []
    moving(desk, "alpha", 0, moving_from=None, adopted=True)
    assert await reassignments(desk) == []


async def elect(desk, version: int, kind: int, *asked):
    types = request_types(ELECT, version)
    topics = tuple(types.TopicPartitions(topic=name, partitions=(number,)) for name, number in asked)
    answer = await desk.ask(
        ELECT, version, timeout=1000, topic_partitions=topics or None, **({"election_type": kind} if version else {})
    )
    found = [p.error_code for topic in answer.replica_election_results for p in topic.partition_result]
    return getattr(answer, "error_code", ErrorCode.none), found


@pytest.mark.parametrize("version", range(3))
@pytest.mark.parametrize("kind", [0, 1])
async def test_the_leader_is_the_preferred_one(desk, version: int, kind: int) -> None:
    expected = [
        ErrorCode.election_not_needed,
        ErrorCode.unknown_topic_or_partition,
        ErrorCode.unknown_topic_or_partition,
    ]
    asked = ("alpha", 0), ("alpha", 99), ("none", 0)
    assert await elect(desk, version, kind, *asked) == (ErrorCode.none, expected)
    if version:
        assert await elect(desk, version, 1) == (ErrorCode.none, [])


@pytest.mark.parametrize("version", range(3))
async def test_a_preferred_election_of_all_moves_what_is_due(desk, version: int) -> None:
    assert await elect(desk, version, 0) == (ErrorCode.none, [ErrorCode.none])
    assert desk.controller.calls[-1] == ("balance_now", None)
    desk.controller.is_away = True
    code, found = await elect(desk, version, 0)
    assert (code, found) == (ErrorCode.request_timed_out if version else ErrorCode.none, [])


async def test_a_partition_without_a_leader_cannot_be_elected_one(desk) -> None:
    moving(desk, "alpha", 0, adopted=False)
    assert (await elect(desk, 1, 0, ("alpha", 0)))[1] == [ErrorCode.preferred_leader_not_available]
    assert (await elect(desk, 1, 1, ("alpha", 0)))[1] == [ErrorCode.eligible_leaders_not_available]
    assert await elect(desk, 1, 7, ("alpha", 0)) == (ErrorCode.invalid_request, [])
