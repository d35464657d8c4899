"""Client connections end to end through sockets: order, limits, and what bad bytes do."""

import asyncio
import os
import struct

import pytest
from kio.schema.api_versions.v0.request import ApiVersionsRequest as ApiVersionsV0
from kio.schema.errors import ErrorCode
from kio.schema.list_offsets.v7.request import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from kio.schema.list_offsets.v7.response import (
    ListOffsetsPartitionResponse,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)

from raylog.protocol.wire import decode_response, encode_request, ms


def list_offsets(topic: str, timestamp: int = -1, partition: int = 0) -> ListOffsetsRequest:
    return ListOffsetsRequest(
        replica_id=-1,
        isolation_level=0,
        topics=(
            ListOffsetsTopic(
                name=topic, partitions=(ListOffsetsPartition(partition_index=partition, timestamp=timestamp),)
            ),
        ),
    )


def offset_answer(request, offset: int) -> ListOffsetsResponse:
    return ListOffsetsResponse(
        throttle_time=ms(0),
        topics=tuple(
            ListOffsetsTopicResponse(
                name=topic.name,
                partitions=tuple(
                    ListOffsetsPartitionResponse(
                        partition_index=p.partition_index, error_code=ErrorCode.none, offset=offset
                    )
                    for p in topic.partitions
                ),
            )
            for topic in request.topics
        ),
    )


def offset_of(response) -> int:
    return response.topics[0].partitions[0].offset


async def test_answers_leave_in_the_order_of_requests_whatever_order_the_leader_answers_in(world):
    gates = {timestamp: asyncio.Event() for timestamp in range(10)}

    async def script(head, request):
        timestamp = request.topics[0].partitions[0].timestamp
        await gates[timestamp].wait()
        return offset_answer(request, 100 + timestamp)

    leader = await world.leader(1, script)
    await world.topic("t", [1])
    client = await world.client()
    ids = client.send(*(list_offsets("t", timestamp) for timestamp in range(10)))
    await leader.received(10)
    for timestamp in (3, 9, 0, 1, 8, 2, 4, 7, 6, 5):
        gates[timestamp].set()
    answers = [await client.receive() for _ in range(10)]
    assert [correlation_id for correlation_id, _ in answers] == ids
    assert [offset_of(answer) for _, answer in answers] == [100 + timestamp for timestamp in range(10)]


async def test_a_slow_request_of_one_client_does_not_hold_up_another(world):
    never = asyncio.Event()

    async def script(head, request):
        if request.topics[0].partitions[0].timestamp == 1:
            await never.wait()
        return offset_answer(request, 5)

    leader = await world.leader(1, script)
    await world.topic("t", [1])
    slow, quick = await world.client(), await world.client()
    slow.send(list_offsets("t", 1))
    await leader.received(1)
    assert offset_of(await quick.ask(list_offsets("t", 2))) == 5


async def test_requests_in_flight_are_limited_by_not_reading_the_client(make_world):
    world = await make_world(connection_requests_max=4)
    gate = asyncio.Event()

    async def script(head, request):
        await gate.wait()
        return offset_answer(request, 1)

    leader = await world.leader(1, script)
    await world.topic("t", [1])
    client = await world.client()
    ids = client.send(*(list_offsets("t", timestamp) for timestamp in range(50)))
    await leader.received(4)
    other = await world.client()
    other.send(list_offsets("t", 999))
    await leader.received(5)
    assert [request.topics[0].partitions[0].timestamp for request in leader.requests] == [0, 1, 2, 3, 999]
    gate.set()
    assert [(await client.receive())[0] for _ in range(50)] == ids


async def test_bytes_in_flight_of_all_clients_are_limited(make_world):
    world = await make_world(total_bytes_max=1000)
    gate = asyncio.Event()

    async def script(head, request):
        await gate.wait()
        return offset_answer(request, 1)

    leader = await world.leader(1, script)
    await world.topic("t", [1])
    clients = [await world.client() for _ in range(3)]
    for client in clients:
        client.send(*(list_offsets("t", 1) for _ in range(100)))
        await client.writer.drain()
    server = world.gateway._server
    await leader.received(15)
    assert server.in_flight.taken_bytes < 1000 + 3 * 200
    gate.set()
    for client in clients:
        for _ in range(100):
            await client.receive()
    assert server.in_flight.taken_bytes == 0


async def test_a_client_that_does_not_read_is_not_read(make_world):
    world = await make_world(answer_bytes_max=64 * 1024)
    world_topics = "t" * 200

    async def script(head, request):
        return offset_answer(request, 1)

    await world.leader(1, script)
    await world.topic(world_topics, [1])
    client = await world.client()
    (connection,) = world.gateway._server._connections
    while connection.is_reading:
        client.send(*(list_offsets(world_topics) for _ in range(100)))
        await asyncio.sleep(0)
    good = await world.client()
    assert offset_of(await good.ask(list_offsets(world_topics))) == 1
    for _ in range(100):
        await client.receive()


async def test_an_unknown_api_or_version_closes_the_connection(world):
    for api_key, version in ((9999, 0), (2, 99), (-1, 0), (3, -5)):
        client = await world.client()
        body = struct.pack(">hhih", api_key, version, 7, -1)
        client.writer.write(struct.pack(">i", len(body)) + body)
        assert await client.is_closed()


async def test_an_unknown_version_of_api_versions_is_answered_in_version_0(world):
    client = await world.client()
    body = struct.pack(">hhih", 18, 99, 7, 1) + b"x" + b"\0rest that nobody can read"
    client.writer.write(struct.pack(">i", len(body)) + body)
    correlation_id, answer = decode_response(18, 0, await client.receive_frame())
    assert correlation_id == 7
    assert answer.error_code is ErrorCode.unsupported_version
    client.send(ApiVersionsV0())
    assert (await client.receive())[1].error_code is ErrorCode.none


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        struct.pack(">i", -1),
        struct.pack(">i", 2**31 - 1),
        struct.pack(">i", 0),
        struct.pack(">i", 3) + b"abc",
        struct.pack(">i", 60) + struct.pack(">hhih", 0, 9, 1, 30_000) + bytes(50),
        struct.pack(">i", 60) + struct.pack(">hhih", 0, 9, 1, -1) + b"\xff" * 50,
    ],
)
async def test_broken_frames_end_their_connection_alone(world, garbage):
    async def script(head, request):
        return offset_answer(request, 3)

    await world.leader(1, script)
    await world.topic("t", [1])
    good, bad = await world.client(), await world.client()
    bad.writer.write(garbage)
    assert await bad.is_closed()
    assert offset_of(await good.ask(list_offsets("t"))) == 3


async def test_random_bytes_never_do_more_than_close(world):
    async def script(head, request):
        return offset_answer(request, 3)

    await world.leader(1, script)
    await world.topic("t", [1])
    good = await world.client()
    for _ in range(50):
        bad = await world.client()
        noise = os.urandom(200)
        bad.writer.write(struct.pack(">i", 200) + noise)
        bad.writer.write_eof()
        await bad.is_closed()
    assert offset_of(await good.ask(list_offsets("t"))) == 3


async def test_connections_beyond_the_limit_are_closed(make_world):
    world = await make_world(connections_max=2)
    kept = [await world.client() for _ in range(2)]
    for client in kept:
        assert (await client.ask(ApiVersionsV0())).error_code is ErrorCode.none
    assert await (await world.client()).is_closed()
    await kept[0].close()
    await world.until(lambda: len(world.gateway._server._connections) == 1)
    assert (await (await world.client()).ask(ApiVersionsV0())).error_code is ErrorCode.none


async def test_closing_answers_what_is_in_flight_first(world):
    gate = asyncio.Event()

    async def script(head, request):
        await gate.wait()
        return offset_answer(request, 9)

    leader = await world.leader(1, script)
    await world.topic("t", [1])
    client = await world.client()
    client.send(list_offsets("t"))
    await leader.received(1)
    closing = asyncio.create_task(world.gateway.close())
    gate.set()
    assert offset_of((await client.receive())[1]) == 9
    assert await client.is_closed()
    await closing
    with pytest.raises(ConnectionRefusedError):
        await world.client()


async def test_a_client_that_leaves_takes_its_bytes_with_it(world):
    never = asyncio.Event()

    async def script(head, request):
        await never.wait()

    leader = await world.leader(1, script)
    await world.topic("t", [1])
    client = await world.client()
    client.writer.writelines(encode_request(list_offsets("t"), correlation_id=1, client_id="x"))
    await leader.received(1)
    server = world.gateway._server
    assert server.in_flight.taken_bytes > 0
    await client.close()
    await world.until(lambda: not server._connections)
    assert server.in_flight.taken_bytes == 0
