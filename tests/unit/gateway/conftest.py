"""A gateway between a client that speaks frames and leaders scripted at the wire: what lies between is the real thing."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from gateway.gateway import Gateway
from raylog.model.clock import SystemClock
from raylog.model.errors import RetryError
from raylog.model.ids import BrokerId, LeaderId, LogEpoch, TopicId
from raylog.model.limits import GatewayLimits, Limits
from raylog.model.routing import (
    EMPTY_ROUTING_TABLE,
    BrokerEndpoint,
    LeaderEndpoint,
    PartitionRoute,
    RoutingTable,
    TopicRoute,
)
from raylog.protocol.framing import FrameProtocol
from raylog.protocol.internal import ERROR_BIT, has_error
from raylog.protocol.wire import decode_request, decode_response, encode_request, encode_response
from raylog.storage.memory_store import MemoryStore
from raylog.storage.object_store import ObjectStore
from raylog.storage.wal import FlushPolicy

from .old_log import old  # noqa: F401  (a fixture)

NODE = "node-a"
OBJECT_POLICY = FlushPolicy(interval_ms=5, max_bytes=1 << 20, immediate=True)


class SteppedClock(SystemClock):
    """The machine's time, and what a test adds to it."""

    def __init__(self) -> None:
        self.added_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.added_s


@dataclass
class Controller:
    """The controller's port, as far as gateways use it: a table that tests replace."""

    table: RoutingTable = EMPTY_ROUTING_TABLE
    is_away: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    woken: list[LeaderId] = field(default_factory=list)

    def publish(self, **changes: Any) -> None:
        self.table = replace(self.table, version=self.table.version + 1, **changes)
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    async def watch_routes(self, version: int) -> RoutingTable:
        while self.table.version <= version:
            if self.is_away:
                raise RetryError("The controller is away.")
            await self.changed.wait()
        if self.is_away:
            raise RetryError("The controller is away.")
        return self.table

    async def wake_leader(self, leader_id: LeaderId) -> None:
        if self.is_away:
            raise RetryError("The controller is away.")
        self.woken.append(leader_id)

    async def report_gateway(self, node_id: str, index: int, cpu: float) -> None:
        if self.is_away:
            raise RetryError("The controller is away.")

    async def register_broker(self, node_id: str, host: str, port: int, rack: str | None) -> BrokerEndpoint:
        broker = BrokerEndpoint(broker_id=BrokerId(1), node_id=node_id, host=host, port=port, rack=rack)
        self.publish(brokers=(broker,), controller_broker=broker.broker_id, cluster_id="test-cluster")
        return broker


Script = Callable[[Any, Any], Any | Awaitable[Any]]
"""(head, request) -> response entity, None for no answer; or an awaitable of it."""


class ScriptedLeader:
    """A leader's internal listener that answers as its script says, out of order when the script waits."""

    def __init__(self, leader_id: int, script: Script, unix_path: Path) -> None:
        self.script = script
        self.requests: list[Any] = []
        self.heads: list[Any] = []
        self.endpoint = LeaderEndpoint(
            leader_id=LeaderId(leader_id),
            log_epoch=LogEpoch(1),
            node_id=NODE,
            unix_path=str(unix_path),
            host="127.0.0.1",
            port=1,
        )
        self.connections: set[_LeaderConnection] = set()
        self.plan_bit = 0
        self._server: asyncio.Server | None = None
        self._arrived = asyncio.Event()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _LeaderConnection(self), self.endpoint.unix_path)

    async def kill(self) -> None:
        if self._server is not None:
            self._server.close()
        self._remove_socket()
        for connection in tuple(self.connections):
            connection.abort()
            await asyncio.gather(*connection.tasks, return_exceptions=True)

    def _remove_socket(self) -> None:
        Path(self.endpoint.unix_path).unlink(missing_ok=True)

    async def received(self, count: int) -> None:
        """Wait until ``count`` requests have arrived in all."""
        while len(self.requests) < count:
            self._arrived.clear()
            await self._arrived.wait()

    def note(self, head: Any, request: Any) -> None:
        self.heads.append(head)
        self.requests.append(request)
        self._arrived.set()


class _LeaderConnection(FrameProtocol):
    def __init__(self, leader: ScriptedLeader) -> None:
        super().__init__(max_frame_bytes=1 << 28)
        self.leader = leader
        self.tasks: set[asyncio.Task[None]] = set()

    def connection_opened(self) -> None:
        self.leader.connections.add(self)

    def connection_closed(self, error: Exception | None) -> None:
        self.leader.connections.discard(self)
        for task in self.tasks:
            task.cancel()

    def frame_received(self, frame: bytes | memoryview) -> None:
        head, request = decode_request(frame)
        self.leader.note(head, request)
        task = asyncio.get_running_loop().create_task(self._answer(head, self.leader.script(head, request)))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _answer(self, head: Any, answer: Any) -> None:
        if isinstance(answer, Awaitable):
            answer = await answer
        if answer is not None:
            correlation_id = head.correlation_id | (ERROR_BIT if has_error(answer) else 0)
            if head.api_key == 1:
                correlation_id |= self.leader.plan_bit
            self.write(encode_response(correlation_id, answer))


class Client:
    """A client's end of a connection: frames in, frames out."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.client_id = "tester"
        self._ids = itertools.count(1)
        self._sent: dict[int, tuple[int, int]] = {}

    def send(self, *requests: Any) -> list[int]:
        """Write requests in one go; their correlation ids."""
        ids = []
        for request in requests:
            correlation_id = next(self._ids)
            ids.append(correlation_id)
            self._sent[correlation_id] = (type(request).__api_key__, type(request).__version__)
            self.writer.writelines(encode_request(request, correlation_id=correlation_id, client_id=self.client_id))
        return ids

    async def receive(self) -> tuple[int, Any]:
        """The next answer, as correlation id and entity."""
        frame = await self.receive_frame()
        correlation_id = int.from_bytes(frame[:4], "big")
        return decode_response(*self._sent.pop(correlation_id), frame)

    async def receive_frame(self) -> bytes:
        size = int.from_bytes(await self.reader.readexactly(4), "big")
        return await self.reader.readexactly(size)

    async def ask(self, request: Any) -> Any:
        self.send(request)
        return (await self.receive())[1]

    async def is_closed(self) -> bool:
        """Whether the other side closes (waits for it), with nothing more sent."""
        try:
            return await self.reader.read(1) == b""
        except ConnectionResetError:
            return True

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionResetError, BrokenPipeError):
            await self.writer.wait_closed()


def topic_id(name: str) -> TopicId:
    return TopicId(UUID(bytes=name.encode().ljust(16, b"\1")[:16]))


class World:
    """A started gateway, its controller, its leaders and its clients."""

    def __init__(
        self,
        folder: Path,
        stack: AsyncExitStack,
        limits: GatewayLimits,
        store: ObjectStore | None = None,
        zone: str | None = None,
    ) -> None:
        self.folder = folder
        self.stack = stack
        self.limits = limits
        self.zone = zone
        self.clock = SteppedClock()
        self.store = store or MemoryStore(self.clock)
        self.controller = Controller()
        self.registry = CollectorRegistry()
        self.gateway: Gateway = None  # type: ignore[assignment]
        self.leaders: dict[int, ScriptedLeader] = {}

    async def start(self) -> "World":
        self.gateway = Gateway(
            store=self.store,
            controller=self.controller,  # type: ignore[arg-type]
            clock=self.clock,
            rng=Random(7),
            limits=Limits(gateway=self.limits),
            host="127.0.0.1",
            port=0,
            reuse_port=False,
            advertised_host="127.0.0.1",
            advertised_port=0,
            node_id=NODE,
            rack=self.zone,
            registry=self.registry,
            object_wals={"": OBJECT_POLICY, "cheap": OBJECT_POLICY},
        )
        await self.gateway.start()
        self.stack.push_async_callback(self.gateway.close)
        return self

    async def leader(self, leader_id: int, script: Script) -> ScriptedLeader:
        """A leader that listens and is in the table."""
        leader = ScriptedLeader(leader_id, script, self.folder / f"leader-{leader_id}.sock")
        await leader.start()
        self.stack.push_async_callback(leader.kill)
        self.leaders[leader_id] = leader
        self.controller.publish(leaders={**self.controller.table.leaders, LeaderId(leader_id): leader.endpoint})
        return leader

    async def topic(self, name: str, leaders: Sequence[int], **configs: str) -> TopicId:
        """A topic whose partitions are led by these; returns once the gateway knows it."""
        route = TopicRoute(
            topic_id=topic_id(name),
            name=name,
            partitions=tuple(
                PartitionRoute(leader_id=LeaderId(leader), epoch_base=0, adopted=True) for leader in leaders
            ),
            configs={key.replace("_", "."): value for key, value in configs.items()},
        )
        self.controller.publish(topics={**self.controller.table.topics, name: route})
        await self.settled()
        return route.topic_id

    async def settled(self) -> None:
        """Wait until the gateway has the controller's table."""
        routes = self.gateway._routes
        while routes.table.version < self.controller.table.version:
            await routes.newer_than(routes.table.version, 10)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Let the loop run until something is so that nobody tells of."""
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0)

    async def client(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.gateway.port))
        self.stack.push_async_callback(client.close)
        return client


@pytest.fixture
async def make_world(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[World]]]:
    async with AsyncExitStack() as stack:

        async def make(*, store: ObjectStore | None = None, zone: str | None = None, **limits: Any) -> World:
            return await World(tmp_path, stack, GatewayLimits(**limits), store, zone).start()

        yield make


@pytest.fixture
async def world(make_world: Callable[..., Awaitable[World]]) -> World:
    return await make_world()
