"""The group APIs when there is no coordinator to ask, or none that answers: each version says so in its own way."""

import asyncio
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from gateway.messages import make, request_types
from raylog.coordination import internal
from raylog.coordination.hashing import group_partition
from raylog.coordination.internal import ClientContext
from raylog.protocol.wire import ms, ms64

GROUP = "readers"
VERSIONS = {
    internal.JOIN_GROUP: range(10),
    internal.SYNC_GROUP: range(6),
    internal.HEARTBEAT: range(5),
    internal.LEAVE_GROUP: range(6),
    internal.OFFSET_COMMIT: range(2, 11),
    internal.OFFSET_FETCH: range(1, 11),
    internal.OFFSET_DELETE: range(1),
    internal.DESCRIBE_GROUPS: range(7),
    internal.DELETE_GROUPS: range(3),
}
NAMES = {
    internal.JOIN_GROUP: "JoinGroup",
    internal.SYNC_GROUP: "SyncGroup",
    internal.HEARTBEAT: "Heartbeat",
    internal.LEAVE_GROUP: "LeaveGroup",
    internal.OFFSET_COMMIT: "OffsetCommit",
    internal.OFFSET_FETCH: "OffsetFetch",
    internal.OFFSET_DELETE: "OffsetDelete",
    internal.DESCRIBE_GROUPS: "DescribeGroups",
    internal.DELETE_GROUPS: "DeleteGroups",
}


def request_for(api_key: int, version: int, topic: str, topic_id: Any) -> Any:
    """A request about ``GROUP``, and about partition 0 of the topic where the API has topics."""
    types = request_types(api_key, version)

    def part(kind: str, **values: Any) -> Any:
        return make(getattr(types, kind), values)

    named = {"name": topic, "topic_id": topic_id}
    topics: tuple[Any, ...] = ()
    groups: tuple[Any, ...] = (GROUP,)
    members: tuple[Any, ...] = ()
    if api_key == internal.OFFSET_COMMIT:
        where = part("OffsetCommitRequestPartition", partition_index=0, committed_offset=1, committed_metadata="")
        topics = (part("OffsetCommitRequestTopic", **named, partitions=(where,)),)
    elif api_key == internal.OFFSET_FETCH:
        topics = (part(f"OffsetFetchRequestTopic{'s' * (version >= 8)}", **named, partition_indexes=(0,)),)
        groups = (part("OffsetFetchRequestGroup", group_id=GROUP, topics=topics),) if version >= 8 else ()
    elif api_key == internal.OFFSET_DELETE:
        where = part("OffsetDeleteRequestPartition", partition_index=0)
        topics = (part("OffsetDeleteRequestTopic", **named, partitions=(where,)),)
    elif api_key == internal.LEAVE_GROUP and version >= 3:
        members = (part("MemberIdentity", member_id="m"),)
    return part(
        f"{NAMES[api_key]}Request",
        group_id=GROUP,
        groups=groups,
        groups_names=(GROUP,),
        member_id="m",
        members=members,
        session_timeout=ms(10_000),
        rebalance_timeout=ms(10_000),
        retention_time=ms64(-1),
        protocol_type="consumer",
        protocols=(),
        generation_id=1,
        assignments=(),
        topics=topics,
        include_authorized_operations=False,
    )


def error_of(api_key: int, version: int, response: Any) -> ErrorCode:
    """The error that a client of this version takes the answer for."""
    match api_key:
        case internal.OFFSET_COMMIT:
            return response.topics[0].partitions[0].error_code  # type: ignore[no-any-return]
        case internal.OFFSET_FETCH if version >= 8:
            return response.groups[0].error_code  # type: ignore[no-any-return]
        case internal.OFFSET_FETCH if version < 2:
            return response.topics[0].partitions[0].error_code  # type: ignore[no-any-return]
        case internal.DESCRIBE_GROUPS:
            return response.groups[0].error_code  # type: ignore[no-any-return]
        case internal.DELETE_GROUPS:
            return response.results[0].error_code  # type: ignore[no-any-return]
        case _:
            return response.error_code  # type: ignore[no-any-return]


each_api = pytest.mark.parametrize("api_key", VERSIONS)


def unanswered(head: Any, request: Any) -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


@each_api
async def test_without_the_coordinators_topic(world: Any, api_key: int) -> None:
    topic_id = await world.topic("orders", [1])
    client = await world.client()
    for version in VERSIONS[api_key]:
        response = await client.ask(request_for(api_key, version, "orders", topic_id))
        assert error_of(api_key, version, response) is ErrorCode.coordinator_not_available


@each_api
async def test_with_a_leader_that_goes_while_it_is_asked(world: Any, api_key: int) -> None:
    leader = await world.leader(1, unanswered)
    topic_id = await world.topic("orders", [1])
    await world.topic("__consumer_offsets", [1, 1, 1])
    versions = VERSIONS[api_key]
    client = await world.client()
    client.send(*(request_for(api_key, version, "orders", topic_id) for version in versions))
    await leader.received(len(versions))
    await leader.kill()
    for version in versions:
        response = (await client.receive())[1]
        assert error_of(api_key, version, response) is ErrorCode.not_coordinator


@each_api
async def test_what_the_leader_of_the_groups_partition_is_told(world: Any, api_key: int) -> None:
    leaders = [await world.leader(number, unanswered) for number in (1, 2, 3)]
    topic_id = await world.topic("orders", [1])
    await world.topic("__consumer_offsets", [1, 2, 3])
    versions = VERSIONS[api_key]
    client = await world.client()
    client.send(*(request_for(api_key, version, "orders", topic_id) for version in versions))
    leader = leaders[group_partition(GROUP, 3)]
    await leader.received(len(versions))
    assert {(head.api_key, head.api_version) for head in leader.heads} == {
        (api_key, internal.INTERNAL_VERSIONS[api_key])
    }
    told = {ClientContext.unpacked(head.client_id) for head in leader.heads}
    assert told == {
        ClientContext(client_id="tester", host="127.0.0.1", api_version=version, partition_count=3)
        for version in versions
    }
    if api_key in (internal.OFFSET_COMMIT, internal.OFFSET_FETCH):
        for request in leader.requests:
            topics = request.topics if api_key == internal.OFFSET_COMMIT else request.groups[0].topics
            assert topics[0].name == f"{topic_id.hex}:orders"


async def test_no_groups_are_listed_before_there_are_any(world: Any) -> None:
    client = await world.client()
    request = request_types(internal.LIST_GROUPS, 5).ListGroupsRequest()
    response = await client.ask(request)
    assert (response.error_code, response.groups) == (ErrorCode.none, ())
