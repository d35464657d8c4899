"""Creating, growing and deleting topics: the request's own faults, the controller's word, and routes that follow."""

import asyncio
from dataclasses import replace

import pytest
from kio.schema.errors import ErrorCode

from gateway.messages import request_types

CREATE, DELETE, GROW = 19, 20, 37


def new(version: int, name: str, partitions: int = 3, replicas: int = 1, assignments=(), **configs: str | None):
    types = request_types(CREATE, version)
    return types.CreatableTopic(
        name=name,
        num_partitions=partitions,
        replication_factor=replicas,
        assignments=tuple(
            types.CreatableReplicaAssignment(partition_index=index, broker_ids=tuple(brokers))
            for index, brokers in enumerate(assignments)
        ),
        configs=tuple(
            types.CreatableTopicConfig(name=key.replace("_", "."), value=value) for key, value in configs.items()
        ),
    )


async def create(desk, version: int, *topics, validate_only: bool = False):
    return await desk.ask(CREATE, version, topics=topics, timeout=1000, validate_only=validate_only)


def codes(results) -> dict[str, ErrorCode]:
    return {result.name: result.error_code for result in results}


@pytest.mark.parametrize("version", range(2, 8))
async def test_a_topic_is_created_and_shown(desk, version: int) -> None:
    answer = await create(desk, version, new(version, "fresh", retention_ms="77"))
    (result,) = answer.topics
    assert (result.name, result.error_code, result.error_message) == ("fresh", ErrorCode.none, None)
    assert len(desk.routes.table.topics["fresh"].partitions) == 3
    if version >= 5:
        assert (result.num_partitions, result.replication_factor) == (3, 1)
        shown = {config.name: (config.value, config.config_source) for config in result.configs}
        assert shown["retention.ms"] == ("77", 1)
        assert shown["max.message.bytes"] == ("1048588", 5)
    if version >= 7:
        assert result.topic_id == desk.routes.table.topics["fresh"].topic_id


async def test_the_answer_waits_until_this_gateway_knows_the_topic(desk) -> None:
    desk.controller.publishes = False
    answer = asyncio.ensure_future(create(desk, 7, new(7, "fresh")))
    await desk.controller.has_changed.wait()
    assert not answer.done()
    desk.controller.publish()
    assert codes((await answer).topics) == {"fresh": ErrorCode.none}


async def test_validation_only_creates_nothing_and_waits_for_nothing(desk) -> None:
    answer = await create(desk, 7, new(7, "fresh"), validate_only=True)
    assert codes(answer.topics) == {"fresh": ErrorCode.none}
    assert "fresh" not in desk.routes.table.topics


async def test_faults_of_the_request(desk) -> None:
    answer = await create(
        desk,
        7,
        new(7, "twice"),
        new(7, "good"),
        new(7, "twice"),
        replace(new(7, "settings"), configs=new(7, "x", flush_ms="1").configs * 2),
    )
    assert [(topic.name, topic.error_code) for topic in answer.topics] == [
        ("good", ErrorCode.none),
        ("twice", ErrorCode.invalid_request),
        ("settings", ErrorCode.invalid_request),
    ]
    ((_, (created, _, _)),) = desk.controller.calls
    assert [topic.name for topic in created] == ["good"]


async def test_assignments_and_numbers_reach_the_controller_as_they_came(desk) -> None:
    await create(desk, 7, new(7, "a", -1, -1, [[1], [2]]), new(7, "b", -1, -1, retention_ms=None))
    ((_, ((first, second), _, timeout_ms)),) = desk.controller.calls
    assert first.assignments == {0: (1,), 1: (2,)}
    assert (second.partitions, second.replication_factor, second.configs) == (-1, -1, {"retention.ms": None})
    assert timeout_ms == 1000


async def test_the_controllers_refusal_is_passed_on_with_its_reason(desk) -> None:
    desk.controller.refuses["fresh"] = ErrorCode.topic_already_exists
    (result,) = (await create(desk, 7, new(7, "fresh"))).topics
    assert (result.error_code, result.error_message) == (ErrorCode.topic_already_exists, "No.")
    assert (result.num_partitions, result.replication_factor, result.configs) == (-1, -1, ())


async def delete(desk, version: int, *names: str | None, topic_ids=()):
    if version < 6:
        return await desk.ask(DELETE, version, topic_names=names, timeout=1000)
    types = request_types(DELETE, version)
    states = tuple(types.DeleteTopicState(name=name, topic_id=None) for name in names)
    states += tuple(types.DeleteTopicState(name=None, topic_id=topic_id) for topic_id in topic_ids)
    return await desk.ask(DELETE, version, topics=states, timeout=1000)


@pytest.mark.parametrize("version", range(1, 7))
async def test_topics_are_deleted_by_name(desk, version: int) -> None:
    answer = await delete(desk, version, "alpha", "nobody")
    assert codes(answer.responses) == {"alpha": ErrorCode.none, "nobody": ErrorCode.unknown_topic_or_partition}
    assert set(desk.routes.table.topics) == {"beta"}


async def test_topics_are_deleted_by_id(desk) -> None:
    alpha = desk.routes.table.topics["alpha"].topic_id
    unknown = alpha.__class__(int=99)
    answer = await delete(desk, 6, topic_ids=[alpha, unknown])
    assert [(r.name, r.topic_id, r.error_code) for r in answer.responses] == [
        ("alpha", alpha, ErrorCode.none),
        (None, unknown, ErrorCode.unknown_topic_id),
    ]
    assert set(desk.routes.table.topics) == {"beta"}


async def test_the_answer_waits_until_this_gateway_has_lost_the_topic(desk) -> None:
    desk.controller.publishes = False
    answer = asyncio.ensure_future(delete(desk, 6, "alpha"))
    await desk.controller.has_changed.wait()
    assert not answer.done()
    desk.controller.publish()
    assert codes((await answer).responses) == {"alpha": ErrorCode.none}


async def test_a_topic_named_twice_or_not_at_all_is_not_deleted(desk) -> None:
    answer = await delete(desk, 6, "alpha", "alpha", None)
    assert [r.error_code for r in answer.responses] == [ErrorCode.invalid_request] * 2
    assert set(desk.routes.table.topics) == {"alpha", "beta"}


@pytest.mark.parametrize(("version", "code"), [(1, ErrorCode.invalid_request), (6, ErrorCode.topic_deletion_disabled)])
async def test_deletion_may_be_disabled(desk, version: int, code: ErrorCode) -> None:
    desk.controller.change(broker_configs={"delete.topic.enable": "false"})
    assert codes((await delete(desk, version, "alpha")).responses) == {"alpha": code}
    assert desk.controller.calls == []


async def grow(desk, version: int, *topics, validate_only: bool = False):
    types = request_types(GROW, version)
    asked = tuple(
        types.CreatePartitionsTopic(
            name=name,
            count=count,
            assignments=None
            if assignments is None
            else tuple(types.CreatePartitionsAssignment(broker_ids=tuple(each)) for each in assignments),
        )
        for name, count, assignments in topics
    )
    return await desk.ask(GROW, version, topics=asked, timeout=1000, validate_only=validate_only)


@pytest.mark.parametrize("version", range(4))
async def test_a_topic_grows(desk, version: int) -> None:
    answer = await grow(desk, version, ("beta", 4, None), ("nobody", 2, None))
    assert codes(answer.results) == {"beta": ErrorCode.none, "nobody": ErrorCode.unknown_topic_or_partition}
    assert len(desk.routes.table.topics["beta"].partitions) == 4


async def test_growth_that_contradicts_itself_is_refused(desk) -> None:
    answer = await grow(
        desk, 3, ("alpha", 9, None), ("beta", 3, [[1]]), ("alpha", 9, None), ("nobody", 2, [[1], [2], [3]])
    )
    assert codes(answer.results) == {
        "alpha": ErrorCode.invalid_request,
        "beta": ErrorCode.invalid_replica_assignment,
        "nobody": ErrorCode.unknown_topic_or_partition,
    }
    assert len(desk.routes.table.topics["alpha"].partitions) == 3


async def test_growth_is_waited_for_unless_it_is_only_validated(desk) -> None:
    await grow(desk, 3, ("beta", 4, [[1], [1], [2]]), validate_only=True)
    assert len(desk.routes.table.topics["beta"].partitions) == 1
    desk.controller.publishes = False
    answer = asyncio.ensure_future(grow(desk, 3, ("beta", 4, None)))
    await desk.controller.has_changed.wait()
    assert not answer.done()
    desk.controller.publish()
    assert codes((await answer).results) == {"beta": ErrorCode.none}


async def test_growth_is_answered_when_the_new_partitions_are_led(desk) -> None:
    desk.controller.adopts = False
    answer = asyncio.ensure_future(grow(desk, 3, ("beta", 4, None)))
    await desk.controller.has_changed.wait()
    assert not answer.done()
    topics = desk.routes.table.topics
    led = tuple(replace(partition, adopted=True) for partition in topics["beta"].partitions)
    desk.controller.change(topics={**topics, "beta": replace(topics["beta"], partitions=led)})
    assert codes((await answer).results) == {"beta": ErrorCode.none}


_ASK = {
    "create": lambda desk: create(desk, 7, new(7, "x")),
    "delete": lambda desk: delete(desk, 6, "alpha"),
    "grow": lambda desk: grow(desk, 3, ("beta", 4, None)),
}


@pytest.mark.parametrize("what", _ASK)
async def test_a_controller_that_stays_away_is_a_time_out(desk, what: str) -> None:
    desk.controller.is_away = True
    answer = await _ASK[what](desk)
    results = next(getattr(answer, name) for name in ("topics", "responses", "results") if hasattr(answer, name))
    assert [result.error_code for result in results] == [ErrorCode.request_timed_out]
    assert results[0].error_message == "The controller is away."
