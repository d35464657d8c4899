"""Metadata: what is there, what is created, and what is told about what is not."""

import asyncio
from dataclasses import replace

import pytest
from kio.schema.errors import ErrorCode

from gateway.messages import request_types
from raylog.model.ids import LeaderId
from raylog.protocol.wire import topic_name

KEY = 3


def asked(version: int, *names: str | None, topic_id=None, name_beside_id: str | None = None):
    types = request_types(KEY, version)
    if version < 10:
        return tuple(types.MetadataRequestTopic(name=name) for name in names)
    by_name = tuple(types.MetadataRequestTopic(name=name, topic_id=None) for name in names)
    by_id = () if topic_id is None else (types.MetadataRequestTopic(name=name_beside_id, topic_id=topic_id),)
    return by_name + by_id


def told(answer) -> dict[str | None, ErrorCode]:
    return {topic.name: topic.error_code for topic in answer.topics}


async def ask(desk, version: int, topics, *, may_create: bool = True):
    return await desk.ask(
        KEY,
        version,
        topics=topics,
        allow_auto_topic_creation=may_create,
        include_cluster_authorized_operations=False,
        include_topic_authorized_operations=False,
    )


@pytest.mark.parametrize("version", range(14))
async def test_all_topics(desk, version: int) -> None:
    answer = await ask(desk, version, () if version == 0 else None)
    assert told(answer) == {"alpha": ErrorCode.none, "beta": ErrorCode.none}
    assert [(b.node_id, b.host, b.port) for b in answer.brokers] == [(1, "one.example", 9092), (2, "two.example", 9093)]
    alpha = answer.topics[0]
    assert [p.partition_index for p in alpha.partitions] == [0, 1, 2]
    assert all(p.replica_nodes == p.isr_nodes == (p.leader_id,) for p in alpha.partitions)
    if version >= 1:
        assert answer.controller_id == 2
        assert [b.rack for b in answer.brokers] == ["r1", None]
    if version >= 2:
        assert answer.cluster_id == "cluster"
    if version >= 7:
        assert [p.leader_epoch for p in alpha.partitions] == [0, 0, 0]
    if version >= 10:
        assert alpha.topic_id == desk.routes.table.topics["alpha"].topic_id


@pytest.mark.parametrize("version", [1, 13])
async def test_no_topics(desk, version: int) -> None:
    assert (await ask(desk, version, ())).topics == ()


async def test_clients_are_sent_to_the_broker_beside_the_leader(desk) -> None:
    desk.controller.change(brokers=tuple(replace(broker, rack=None) for broker in desk.routes.table.brokers))
    answer = await ask(desk, 12, asked(12, "alpha"))
    assert [p.leader_id for p in answer.topics[0].partitions] == [1, 2, 1]


async def test_clients_are_sent_to_their_own_zone(desk) -> None:
    """That of the broker that they have reached, if they say nothing."""
    answer = await ask(desk, 12, asked(12, "alpha"))
    assert [p.leader_id for p in answer.topics[0].partitions] == [1, 1, 1]
    first, second = desk.routes.table.brokers
    desk.controller.change(brokers=(first, replace(second, rack="r2")))
    desk.client_id = "app,zone=r2"
    answer = await ask(desk, 12, asked(12, "alpha"))
    assert [p.leader_id for p in answer.topics[0].partitions] == [2, 2, 2]


async def test_a_leader_on_a_node_without_broker_is_shown_behind_the_same_broker_everywhere(desk) -> None:
    desk.controller.change(brokers=tuple(replace(broker, rack=None) for broker in desk.routes.table.brokers))
    table = desk.routes.table
    homeless = {leader_id: replace(leader, node_id="elsewhere") for leader_id, leader in table.leaders.items()}
    desk.controller.change(leaders=homeless)
    first = await ask(desk, 12, None)
    desk.controller.change(brokers=tuple(reversed(table.brokers)))
    second = await ask(desk, 12, None)
    leaders = [[p.leader_id for t in answer.topics for p in t.partitions] for answer in (first, second)]
    assert leaders[0] == leaders[1]
    assert set(leaders[0]) == {1, 2}


@pytest.mark.parametrize("version", [1, 9, 13])
async def test_a_partition_that_nobody_leads(desk, version: int) -> None:
    desk.controller.change(leaders={LeaderId(1): desk.routes.table.leaders[LeaderId(1)]})
    answer = await ask(desk, version, asked(version, "alpha"))
    assert answer.topics[0].error_code is ErrorCode.none
    led, orphan, _ = answer.topics[0].partitions
    assert (led.error_code, led.leader_id) == (ErrorCode.none, 1)
    assert (orphan.error_code, orphan.leader_id, orphan.isr_nodes) == (ErrorCode.leader_not_available, -1, ())


@pytest.mark.parametrize("version", range(14))
async def test_a_missing_topic_is_created_and_led_when_the_answer_comes(desk, version: int) -> None:
    answer = await ask(desk, version, asked(version, "beta", "fresh"))
    assert told(answer) == {"beta": ErrorCode.none, "fresh": ErrorCode.none}
    assert answer.topics[1].partitions[0].leader_id == 1
    ((_, (created, validate_only, _)),) = desk.controller.calls
    assert [topic.name for topic in created] == ["fresh"]
    assert created[0].partitions == -1
    assert not validate_only


async def test_nothing_is_created_when_the_client_or_the_cluster_does_not_want_it(desk) -> None:
    answer = await ask(desk, 12, asked(12, "fresh"), may_create=False)
    assert told(answer) == {"fresh": ErrorCode.unknown_topic_or_partition}
    desk.controller.change(broker_configs={"auto.create.topics.enable": "false"})
    answer = await ask(desk, 12, asked(12, "fresh"))
    assert told(answer) == {"fresh": ErrorCode.unknown_topic_or_partition}
    assert desk.controller.calls == []


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "ä", "a" * 250, "a/b"])
async def test_an_illegal_name_is_refused_and_not_created(desk, name: str) -> None:
    answer = await ask(desk, 12, asked(12, name))
    assert told(answer) == {name: ErrorCode.invalid_topic_exception}
    assert desk.controller.calls == []


async def test_the_controllers_refusal_is_passed_on(desk) -> None:
    desk.controller.refuses["fresh"] = ErrorCode.invalid_replication_factor
    assert told(await ask(desk, 12, asked(12, "fresh"))) == {"fresh": ErrorCode.invalid_replication_factor}


async def test_while_the_controller_is_away_known_topics_are_told_and_new_ones_wait(desk) -> None:
    desk.controller.is_away = True
    answer = await ask(desk, 12, asked(12, "alpha", "fresh"))
    assert told(answer) == {"alpha": ErrorCode.none, "fresh": ErrorCode.leader_not_available}


async def test_the_answer_waits_for_routes_that_come_later(desk) -> None:
    desk.controller.publishes = False
    answer = asyncio.ensure_future(ask(desk, 12, asked(12, "fresh")))
    await desk.controller.has_changed.wait()
    assert not answer.done()
    desk.controller.publish()
    assert told(await answer) == {"fresh": ErrorCode.none}


@pytest.mark.parametrize("name_beside_id", [None, ""])
async def test_a_topic_is_found_by_its_id(desk, name_beside_id: str | None) -> None:
    alpha = desk.routes.table.topics["alpha"]
    answer = await ask(desk, 12, asked(12, topic_id=alpha.topic_id, name_beside_id=name_beside_id))
    assert [(t.name, t.topic_id, t.error_code) for t in answer.topics] == [("alpha", alpha.topic_id, ErrorCode.none)]


@pytest.mark.parametrize(("version", "name"), [(10, ""), (12, None), (13, None)])
async def test_an_unknown_id_creates_nothing(desk, version: int, name: str | None) -> None:
    unknown = desk.routes.table.topics["alpha"].topic_id.__class__(int=99)
    answer = await ask(desk, version, asked(version, topic_id=unknown))
    assert [(t.name, t.topic_id, t.error_code) for t in answer.topics] == [(name, unknown, ErrorCode.unknown_topic_id)]
    assert desk.controller.calls == []


async def test_a_name_asked_for_twice_is_told_once(desk) -> None:
    assert len((await ask(desk, 12, asked(12, "alpha", "alpha"))).topics) == 1


async def test_operations_are_told_when_asked_for(desk) -> None:
    answer = await desk.ask(
        KEY,
        8,
        topics=asked(8, topic_name("alpha")),
        allow_auto_topic_creation=True,
        include_cluster_authorized_operations=True,
        include_topic_authorized_operations=True,
    )
    assert answer.topics[0].topic_authorized_operations == 3576
    assert answer.cluster_authorized_operations == 8096
    plain = await ask(desk, 8, asked(8, "alpha"))
    assert plain.topics[0].topic_authorized_operations == -(2**31)


async def test_internal_topics_are_marked(desk) -> None:
    topics = desk.routes.table.topics
    desk.controller.change(topics={**topics, "beta": replace(topics["beta"], internal=True)})
    answer = await ask(desk, 12, None)
    assert {topic.name: topic.is_internal for topic in answer.topics} == {"alpha": False, "beta": True}
