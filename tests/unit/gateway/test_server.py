"""How connections end that do nothing, take too long, or take no answers; and gateways that share a port."""

import asyncio
import socket
import struct
from contextlib import AsyncExitStack

import pytest
from kio.schema.api_versions.v0.request import ApiVersionsRequest
from kio.schema.errors import ErrorCode

from gateway.connection import ClientConnection
from gateway.messages import request_types, response_types
from gateway.server import bound_socket
from raylog.model.errors import RetryError
from raylog.model.limits import GatewayLimits
from raylog.protocol.wire import NO_THROTTLE, ms


@pytest.fixture
def server(world):
    return world.gateway._server


async def works(client):
    return (await client.ask(ApiVersionsRequest())).error_code is ErrorCode.none


async def test_an_idle_connection_is_closed_and_a_busy_one_is_not(world, server):
    idle, busy = await world.client(), await world.client()
    assert await works(idle)
    world.clock.added_s += 400
    assert await works(busy)
    world.clock.added_s += 300
    server._sweep()
    assert await idle.is_closed()
    assert await works(busy)


async def test_a_request_that_takes_too_long_to_arrive_closes_its_connection(world, server):
    client = await world.client()
    client.writer.write(struct.pack(">i", 1 << 20) + bytes(100_000))
    await world.until(lambda: server.arriving.taken_bytes == 1 << 20)
    world.clock.added_s += 30
    server._sweep()
    assert server.arriving.taken_bytes == 1 << 20
    world.clock.added_s += 31
    server._sweep()
    assert await client.is_closed()
    await world.until(lambda: server.arriving.taken_bytes == 0)


async def test_large_requests_wait_for_each_other_beyond_the_limit(make_world):
    world = await make_world(total_bytes_max=1_000_000)
    server = world.gateway._server
    first, second = await world.client(), await world.client()
    first.writer.write(struct.pack(">i", 2_000_000) + bytes(100_000))
    await world.until(lambda: server.arriving.taken_bytes == 2_000_000)
    second.writer.write(struct.pack(">i", 2_000_000) + bytes(100_000))
    small = await world.client()
    assert await works(small)
    held = max(server._connections, key=lambda connection: connection._holds)
    await world.until(lambda: held._holds == 1 or max(c._holds for c in server._connections) == 1)
    assert server.arriving.taken_bytes == 2_000_000
    first.writer.close()
    await world.until(lambda: all(c._holds == 0 for c in server._connections))
    await world.until(lambda: server.arriving.taken_bytes == 2_000_000)


def fetch():
    types = request_types(1, 12)
    part = types.FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=30 << 20)
    return types.FetchRequest(
        replica_id=-1,
        max_wait=ms(1000),
        min_bytes=1,
        max_bytes=30 << 20,
        isolation_level=0,
        topics=(types.FetchTopic(topic="t", partitions=(part,)),),
        forgotten_topics_data=(),
    )


def fetched(size_bytes):
    types = response_types(1, 12)
    part = types.PartitionData(
        partition_index=0,
        error_code=ErrorCode.none,
        high_watermark=1,
        aborted_transactions=None,
        records=bytes(size_bytes),
    )
    return types.FetchResponse(
        throttle_time=NO_THROTTLE,
        error_code=ErrorCode.none,
        responses=(types.FetchableTopicResponse(topic="t", partitions=(part,)),),
    )


async def test_who_takes_no_answers_is_closed_when_the_memory_for_them_is_used_up(make_world):
    world = await make_world(fetch_total_bytes_max=1 << 20)
    server = world.gateway._server
    await world.leader(1, lambda head, request: fetched(min(20 << 20, request.max_bytes)))
    await world.topic("t", [1])
    stuck, other = await world.client(), await world.client()
    stuck.send(fetch())
    await world.until(lambda: server.services.answers.is_over)
    server._sweep()
    assert await works(other)
    assert len(server._connections) == 2
    world.clock.added_s += 11
    assert await works(other)
    server._sweep()
    await world.until(lambda: len(server._connections) == 1)
    assert await works(other)
    assert server.services.answers.taken_bytes == 0


async def test_who_takes_its_answers_goes_on_in_small_bites_while_others_use_the_memory_up(make_world):
    world = await make_world(fetch_total_bytes_max=1 << 20, answer_bytes_max=100_000)
    leader = await world.leader(1, lambda head, request: fetched(min(20 << 20, request.max_bytes)))
    await world.topic("t", [1])
    stuck, other = await world.client(), await world.client()
    stuck.send(fetch())
    await world.until(lambda: world.gateway._server.services.answers.is_over)
    for _ in range(3):
        assert len((await other.ask(fetch())).responses[0].partitions[0].records) == 100_000
    await stuck.close()
    await world.until(lambda: len(world.gateway._server._connections) == 1)
    assert len((await other.ask(fetch())).responses[0].partitions[0].records) == 20 << 20
    assert [request.max_bytes for request in leader.requests] == [30 << 20, *[100_000] * 3, 30 << 20]


async def test_any_number_of_clients_that_ask_for_much_and_read_nothing_hold_a_bounded_memory(make_world):
    """All ask before any answer is there, as consumers at a log's end do when a burst of records comes."""
    world = await make_world(fetch_total_bytes_max=8 << 20, answer_bytes_max=100_000)
    server = world.gateway._server
    burst = asyncio.Event()

    async def script(head, request):
        await burst.wait()
        return fetched(min(20 << 20, request.max_bytes))

    leader = await world.leader(1, script)
    await world.topic("t", [1])
    stuck = [await world.client() for _ in range(12)]
    for client in stuck:
        client.send(fetch())
    await leader.received(len(stuck))
    burst.set()
    await world.until(lambda: len(leader.requests) > len(stuck))
    held_max = 0

    def all_are_served() -> bool:
        nonlocal held_max
        held_max = max(held_max, sum(c._transport.get_write_buffer_size() for c in server._connections if c._transport))
        return all(connection.is_idle for connection in server._connections)

    await world.until(all_are_served)
    assert held_max < (8 << 20) + (20 << 20) + 12 * 2 * 100_000 < 12 * (20 << 20) // 4
    for client in stuck:
        await client.close()
    await world.until(lambda: not server._connections)
    assert server.services.answers.taken_bytes == 0


async def test_a_refused_client_that_takes_nothing_is_dropped_in_the_end(world, server):
    await world.leader(1, lambda head, request: fetched(20 << 20))
    await world.topic("t", [1])
    client = await world.client()
    client.send(fetch())
    await world.until(lambda: server.services.answers.taken_bytes > 0)
    world.clock.added_s += 700
    server._sweep()
    assert len(server._connections) == 1
    world.clock.added_s += 11
    server._sweep()
    await world.until(lambda: not server._connections)
    assert server.services.answers.taken_bytes == 0


async def test_gateways_share_a_port(make_world):
    first = await make_world()
    with pytest.raises(OSError, match="in use"):
        bound_socket("127.0.0.1", first.gateway.port, reuse_port=False)
    listener = bound_socket("127.0.0.1", 0, reuse_port=True)
    port = listener.getsockname()[1]
    async with AsyncExitStack() as stack:
        stack.callback(listener.close)
        other = bound_socket("127.0.0.1", port, reuse_port=True)
        stack.callback(other.close)
        assert other.getsockname() == listener.getsockname()


async def test_a_gateway_of_which_a_part_fails_says_so_and_can_be_closed(world):
    async def broken(version):
        raise LookupError("a bug")

    world.controller.watch_routes = broken
    world.controller.publish()
    with pytest.raises(LookupError):
        await world.gateway.closed
    await world.gateway.close()


async def test_a_gateway_waits_for_a_controller_that_is_away(make_world, tmp_path):
    async with AsyncExitStack() as stack:
        started = asyncio.Event()
        world = type(await make_world())(tmp_path, stack, GatewayLimits())
        register, refusals = world.controller.register_broker, [RetryError("away")] * 2

        async def sometimes(*place):
            if refusals:
                raise refusals.pop()
            started.set()
            return await register(*place)

        world.controller.register_broker = sometimes
        await world.start()
        assert started.is_set()
        assert await works(await world.client())


class Remote(asyncio.Transport):
    """A connection with another machine."""

    def __init__(self) -> None:
        super().__init__({"peername": ("10.0.0.7", 1), "sockname": ("10.0.0.1", 2)})
        self.socket_asked = False

    def get_extra_info(self, name, default=None):
        self.socket_asked |= name == "socket"
        return super().get_extra_info(name, default)

    def set_write_buffer_limits(self, high=None, low=None):
        pass


async def test_little_is_kept_in_flight_to_a_client_on_this_machine_and_what_the_system_likes_to_another(world, server):
    await works(await world.client())
    (connection,) = server._connections
    send_bytes = connection._transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    assert send_bytes in (208 * 1024, 2 * 208 * 1024), "Linux counts what it needs itself"
    remote, other = Remote(), ClientConnection(server)
    other.connection_made(remote)
    assert not remote.socket_asked
    other.connection_lost(None)
