"""The coordinators of a leader: they come and go with its partitions of ``__consumer_offsets``."""

import asyncio
import logging
from collections.abc import AsyncIterator
from random import Random
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from kio.schema.errors import ErrorCode

from raylog.coordination import messages
from raylog.coordination.hashing import group_partition
from raylog.coordination.internal import ClientContext
from raylog.leader.coordinator import GroupCoordinators
from raylog.model.clock import SystemClock
from raylog.model.errors import InvalidError, StaleRouteError
from raylog.model.ids import TopicId, TopicPartition
from raylog.protocol.batch import headers

CLIENT = ClientContext(client_id="c", host="h", api_version=9, partition_count=4)
TOPIC_ID = TopicId(UUID(int=7))


class InstantLog:
    """Partitions whose appends are durable at once; nothing in them is ever read."""

    def __init__(self) -> None:
        self.ends: dict[int, int] = {}

    has_room = True

    def append_internal(self, partition: TopicPartition, batch: Any) -> asyncio.Future[int]:
        base_offset = self.ends.get(partition.partition, 0)
        self.ends[partition.partition] = base_offset + sum(header.record_count for header in headers(batch))
        durable = asyncio.get_running_loop().create_future()
        durable.set_result(base_offset)
        return durable

    def bounds_internal(self, partition: TopicPartition) -> tuple[int, int]:
        return self.ends.get(partition.partition, 0), self.ends.get(partition.partition, 0)


def hosted(number: int, topic: str = "__consumer_offsets") -> Any:
    return SimpleNamespace(partition=TopicPartition(TOPIC_ID, number), topic_name=topic)


Running = tuple[GroupCoordinators, "asyncio.Task[None]"]


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    made = GroupCoordinators(
        log=InstantLog(),  # type: ignore[arg-type]
        controller=None,  # type: ignore[arg-type]
        clock=SystemClock(),
        rng=Random(1),
        logger=logging.LoggerAdapter(logging.getLogger("raylog.test"), {}),
    )
    task = asyncio.create_task(made.run())
    yield made, task
    made.close()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def coordinators(running: Running) -> GroupCoordinators:
    return running[0]


async def breathe() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def join(group_id: str) -> Any:
    return lambda token: messages.JoinGroup(
        token=token,
        group_id=group_id,
        member_id="",
        session_timeout_ms=1_000,
        rebalance_timeout_ms=1_000,
        protocol_type="consumer",
        protocols=(("range", b""),),
        requires_member_id=True,
        supports_skip_assignment=True,
        new_member_uuid="1",
    )


def commit(group_id: str) -> Any:
    one = messages.OffsetToCommit(topic="orders", topic_id=None, partition=0, offset=1)
    return lambda token: messages.CommitOffsets(token=token, group_id=group_id, offsets=(one,))


async def test_a_group_is_served_by_the_partition_that_its_name_hashes_to(coordinators: GroupCoordinators) -> None:
    groups = {group_partition(name, 4): name for name in map("group-{}".format, range(40))}
    coordinators.partition_opened(hosted(1))
    coordinators.partition_opened(hosted(2, "orders"))
    await breathe()
    answer = await coordinators.ask(CLIENT, groups[1], commit(groups[1]))
    assert answer == messages.CommitResult(errors=(ErrorCode.none,))
    for number in (0, 2, 3):
        with pytest.raises(StaleRouteError):
            coordinators.ask(CLIENT, groups[number], commit(groups[number]))


async def test_all_of_them_list_their_groups(coordinators: GroupCoordinators) -> None:
    for number in range(4):
        coordinators.partition_opened(hosted(number))
    await breathe()
    names = {f"group-{number}" for number in range(20)}
    for name in names:
        await coordinators.ask(CLIENT, name, commit(name))
    answers = await asyncio.gather(*coordinators.ask_all(lambda token: messages.ListGroups(token=token)))
    assert [group.group_id for answer in answers for group in answer.groups] != []  # type: ignore[union-attr]
    assert {group.group_id for answer in answers for group in answer.groups} == names  # type: ignore[union-attr]


async def test_a_partition_that_goes_takes_its_coordinator_along(coordinators: GroupCoordinators) -> None:
    for number in range(4):
        coordinators.partition_opened(hosted(number))
    await breathe()
    coordinators.partition_closed(hosted(group_partition("g", 4), "orders"))
    await coordinators.ask(CLIENT, "g", commit("g"))
    coordinators.partition_closed(hosted(group_partition("g", 4)))
    with pytest.raises(StaleRouteError):
        coordinators.ask(CLIENT, "g", commit("g"))
    coordinators.partition_opened(hosted(group_partition("g", 4)))
    await breathe()
    await coordinators.ask(CLIENT, "g", commit("g"))


async def test_one_that_fails_is_the_leaders_failure(running: Running) -> None:
    coordinators, task = running
    coordinators.partition_opened(hosted(group_partition("g", 4)))
    await breathe()
    broken = coordinators.ask(CLIENT, "g", lambda token: messages.GroupRequest(token=token, group_id="g"))
    with pytest.raises(StaleRouteError):
        await broken
    with pytest.raises(AssertionError):
        await task


async def test_settings_reach_the_coordinators_that_serve(coordinators: GroupCoordinators) -> None:
    coordinators.partition_opened(hosted(group_partition("g", 4)))
    await breathe()
    refused: Any = await coordinators.ask(CLIENT, "g", join("g"))
    assert refused.error is ErrorCode.invalid_session_timeout
    coordinators.configure({"group.min.session.timeout.ms": "100"})
    told: Any = await coordinators.ask(CLIENT, "g", join("g"))
    assert told.error is ErrorCode.member_id_required
    with pytest.raises(InvalidError):
        coordinators.configure({"group.min.session.timeout.ms": "soon"})


async def test_after_the_close_nothing_is_served(coordinators: GroupCoordinators) -> None:
    coordinators.partition_opened(hosted(group_partition("g", 4)))
    coordinators.close()
    coordinators.partition_opened(hosted(group_partition("g", 4)))
    with pytest.raises(StaleRouteError):
        coordinators.ask(CLIENT, "g", commit("g"))


def test_member_ids_are_not_repeated() -> None:
    made: Any = GroupCoordinators.__new__(GroupCoordinators)
    made._rng = Random(1)
    ids = {made.new_uuid() for _ in range(100)}
    assert len(ids) == 100
    assert all(UUID(one).version == 4 for one in ids)
