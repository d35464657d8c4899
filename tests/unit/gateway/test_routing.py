"""The gateway's copy of the routing table: what it answers, and that it outlives the controller."""

import asyncio
from dataclasses import replace
from random import Random
from uuid import UUID

import pytest
from kio.schema.errors import ErrorCode

from gateway.routing import RouteFollower, RouteIndex
from raylog.model.clock import SystemClock
from raylog.model.errors import RetryError
from raylog.model.ids import LeaderId, LogEpoch, TopicId
from raylog.model.logs import role_logger
from raylog.model.routing import EMPTY_ROUTING_TABLE, LeaderEndpoint, PartitionRoute, TopicRoute


def leader(leader_id):
    return LeaderEndpoint(
        leader_id=LeaderId(leader_id), log_epoch=LogEpoch(1), node_id="n", unix_path="/x", host="h", port=1
    )


def topic(name, *routes, **configs):
    return TopicRoute(
        topic_id=TopicId(UUID(int=hash(name) & 0xFFFF)),
        name=name,
        partitions=tuple(
            PartitionRoute(leader_id=LeaderId(leader_id), epoch_base=0, adopted=adopted)
            for leader_id, adopted in routes
        ),
        configs={key.replace("_", "."): value for key, value in configs.items()},
    )


def table(*topics, leaders=(1, 2), **broker_configs):
    return replace(
        EMPTY_ROUTING_TABLE,
        version=1,
        topics={each.name: each for each in topics},
        leaders={LeaderId(n): leader(n) for n in leaders},
        broker_configs={key.replace("_", "."): value for key, value in broker_configs.items()},
    )


def test_a_partition_has_a_leader_once_it_is_adopted_by_one_that_is_up():
    t = topic("t", (1, True), (2, False), (3, True))
    index = RouteIndex(table(t))
    assert [index.leader_of(t, partition) for partition in range(3)] == [
        (ErrorCode.none, 1),
        (ErrorCode.leader_not_available, 2),
        (ErrorCode.leader_not_available, 3),
    ]
    assert index.leader_of(t, 3)[0] is ErrorCode.unknown_topic_or_partition
    assert index.leader_of(t, -1)[0] is ErrorCode.unknown_topic_or_partition
    assert index.topics_by_id == {t.topic_id: t}


def test_a_group_belongs_to_the_partition_that_kafka_hashes_it_to():
    offsets = topic("__consumer_offsets", (1, True), (2, True), (9, True))
    index = RouteIndex(table(offsets))
    # Java's "g" is 103, "ab" is 3105, "b" is 98.
    assert index.coordinator_of("g") == (ErrorCode.none, 2)
    assert index.coordinator_of("ab") == (ErrorCode.none, 1)
    assert index.coordinator_of("b") == (ErrorCode.coordinator_not_available, 9)
    assert RouteIndex(table()).coordinator_of("g")[0] is ErrorCode.coordinator_not_available


def test_the_largest_batch_is_the_topics_the_clusters_or_kafkas_default():
    own, plain = topic("own", max_message_bytes="5"), topic("plain")
    assert RouteIndex(table(own, plain)).max_message_bytes(own) == 5
    assert RouteIndex(table(own, plain)).max_message_bytes(plain) == 1_048_588
    assert RouteIndex(table(own, plain, message_max_bytes="77")).max_message_bytes(plain) == 77


class Controller:
    """Gives out what is put into it: tables, and errors."""

    def __init__(self):
        self.news = asyncio.Queue()
        self.asked = []

    async def watch_routes(self, version):
        self.asked.append(version)
        told = await self.news.get()
        if isinstance(told, Exception):
            raise told
        return told


class Hurried(SystemClock):
    """Sleeps take no time."""

    async def sleep(self, seconds):
        await asyncio.sleep(0)


@pytest.fixture
async def followed():
    controller = Controller()
    follower = RouteFollower(controller, Hurried(), Random(1), role_logger("gateway"))
    task = asyncio.create_task(follower.run())
    yield controller, follower
    task.cancel()
    await asyncio.wait([task])


async def test_the_last_table_is_kept_while_the_controller_is_away(followed):
    controller, follower = followed
    first = table(topic("t", (1, True)))
    controller.news.put_nowait(first)
    assert await follower.newer_than(0, 5) is first
    for _ in range(20):
        controller.news.put_nowait(RetryError("away"))
    second = replace(first, version=2)
    controller.news.put_nowait(second)
    waiting = asyncio.create_task(follower.newer_than(1, 5))
    await asyncio.sleep(0)
    assert follower.table is first
    assert await waiting is second
    assert controller.asked[0] == 0
    assert set(controller.asked[1:]) == {1, 2} or set(controller.asked[1:]) == {1}


async def test_an_older_table_is_not_taken(followed):
    controller, follower = followed
    newer = replace(table(), version=7)
    controller.news.put_nowait(newer)
    await follower.newer_than(0, 5)
    controller.news.put_nowait(replace(table(), version=6))
    assert await follower.newer_than(7, 0.01) is newer


async def test_waiting_for_news_ends_with_its_time(followed):
    _, follower = followed
    assert (await follower.newer_than(0, 0.01)).version == 0
