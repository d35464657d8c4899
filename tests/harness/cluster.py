"""A whole cluster in this process, without Ray: controller, leaders and gateways on one event loop in a thread of its own.

The shells are the real ones, and clients reach them over real sockets; a test may block, as the loop is not on its thread. What
Ray does in a cluster (start roles, start them again when they end) is done here by ``_Supervisor``.
"""

import asyncio
import contextlib
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import uvloop
from prometheus_client import CollectorRegistry

from controller.controller import Controller
from controller.launcher import LeaderSite
from gateway.gateway import Gateway
from raylog.leader.leader import Leader
from raylog.model.admin import Move
from raylog.model.clock import SystemClock
from raylog.model.errors import RetryError
from raylog.model.ids import LeaderId
from raylog.model.limits import Limits
from raylog.model.load import ProcessUsage
from raylog.storage.object_store import ObjectStore
from raylog.storage.store_url import open_store
from raylog.storage.wal_class import object_wals, open_wal, parse_wal_class
from tests.harness.travel import as_it_travels

T = TypeVar("T")

PATIENCE_S = 30.0
"""Longer than any step here takes when it works."""

FAST_COORDINATORS = {
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "100",
    "offsets.topic.num.partitions": "4",
}
"""So that tests of groups need not wait for what only spares large groups a rebalance."""


class Killed(Exception):
    """Ends a role as abruptly as can be done within a process: connections drop, nothing more is answered or flushed."""


class InProcessCluster:
    """``start`` first; then any Kafka client can talk to ``bootstrap``. ``stop`` closes everything and raises what went wrong."""

    def __init__(
        self,
        folder: Path,
        *,
        store_url: str | None = None,
        wal: Mapping[str, str] | None = None,
        default_wal: str = "file",
        leaders_per_class: int = 2,
        gateways: int = 1,
        zones: Sequence[str] = (),
        broker_configs: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        seed: int = 1,
        registry: CollectorRegistry | None = None,
    ) -> None:
        """``folder`` keeps the bucket (unless ``store_url``) and the file WAL: a second cluster on it continues the first.

        ``registry`` gets the counts of all requests to the bucket. ``zones`` has the zone of each gateway, and so of its node;
        the leaders are spread over the nodes then, by number, and reached by TCP from the others.
        """
        self.store_url = store_url or f"file://{folder / 'bucket'}"
        self.wal = dict(
            wal or {"file": f"file://{folder / 'wal'}?capacity=1GiB&segment=16MiB", "object": "object:?interval_ms=20"}
        )
        self.default_wal = default_wal
        self.leaders_per_class = leaders_per_class
        self.broker_configs = {**FAST_COORDINATORS, **(broker_configs or {})}
        self.limits = limits or Limits()
        self.clock = SystemClock()
        self.rng = Random(seed)
        self.registry = registry
        self.zones = tuple(zones)
        self._gateway_count = len(zones) or gateways
        (folder / "wal").mkdir(parents=True, exist_ok=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._roles: _Supervisor | None = None

    @property
    def bootstrap(self) -> str:
        """The address of the first gateway; clients learn the others."""
        return self.addresses[0]

    @property
    def addresses(self) -> list[str]:
        return [f"127.0.0.1:{port}" for port in self._running.ports]

    @property
    def leader_ids(self) -> list[int]:
        """Of the leaders that run."""
        return sorted(self._running.leaders)

    def start(self) -> "InProcessCluster":
        """Returns once clients can connect."""
        loop = self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run_loop, args=(loop,), name="cluster", daemon=True)
        self._thread.start()
        self._roles = _Supervisor(self)
        self.run(self._roles.start(self._gateway_count))
        return self

    def stop(self) -> None:
        """Close gateways, leaders, controller, in this order. Raises the first error that any role ended in by itself."""
        if self._loop is None:
            return
        try:
            self.run(self._running.stop())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            assert self._thread is not None
            self._thread.join(PATIENCE_S)
            self._loop = None

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float = PATIENCE_S) -> T:
        """Run something on the cluster's loop, from any other thread."""
        assert self._loop is not None, "the cluster is not running"
        outcome: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return outcome.result(timeout_s)

    def gateway(self, index: int = 0) -> Gateway:
        """For looking at, from the test's thread."""
        return self._running.gateways[index]

    def leader(self, leader_id: int) -> Leader:
        """For looking at, from the test's thread."""
        return self._running.leaders[LeaderId(leader_id)]

    def kill_leader(self, leader_id: int) -> None:
        """It ends as if its process were killed, and is started again."""
        self.run(self._running.kill_leader(LeaderId(leader_id)))

    def restart_leader(self, leader_id: int) -> None:
        """It closes in good order, and is started again."""
        self.run(self._running.restart_leader(LeaderId(leader_id)))

    def kill_gateway(self, index: int = 0) -> None:
        """All of its connections drop; it is started again on its port."""
        self.run(self._running.kill_gateway(index))

    def stop_controller(self) -> None:
        """Its callers get RetryError until ``start_controller``."""
        self.run(self._running.controller.stop())

    def start_controller(self) -> None:
        self.run(self._running.controller.start())

    def restart_controller(self) -> None:
        self.stop_controller()
        self.start_controller()

    def leader_of(self, topic: str, partition: int) -> int:
        """The leader of a partition, as the controller's routing table has it."""
        return self.leaders_of(topic)[partition]

    def leaders_of(self, topic: str) -> list[int]:
        """The leaders of a topic's partitions, by number."""
        table = self.run(self._running.controller.watch_routes(0))
        return [route.leader_id for route in table.topics[topic].partitions]

    def move(self, destinations: Mapping[tuple[str, int], int]) -> None:
        """Have partitions, by topic and number, led by these leaders; returns once they are."""
        self.order_move(destinations)
        self.run(self._running.arrived(destinations))

    def order_move(self, destinations: Mapping[tuple[str, int], int]) -> None:
        """The same without waiting for it."""
        self.run(self._running.order_move(destinations))

    @property
    def _running(self) -> "_Supervisor":
        assert self._roles is not None, "the cluster is not running"
        return self._roles

    @staticmethod
    def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.run_forever()
        loop.close()


class ControllerSeat:
    """Where the roles find the controller: calls go to whoever sits there, and are RetryError while nobody does."""

    def __init__(self, make: Callable[[], Coroutine[Any, Any, Controller]]) -> None:
        self._make = make
        self._controller: Controller | None = None

    async def start(self) -> None:
        self._controller = await self._make()

    async def stop(self) -> None:
        controller, self._controller = self._controller, None
        if controller is not None:
            await controller.close()

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            if self._controller is None:
                raise RetryError("The controller is away.")
            answer = await getattr(self._controller, name)(*as_it_travels(args), **as_it_travels(kwargs))
            return as_it_travels(answer)

        return call


class _Supervisor:
    """Starts the roles, and starts them again when they end. Lives on the cluster's loop."""

    def __init__(self, cluster: InProcessCluster) -> None:
        self._cluster = cluster
        self._run_dir = Path(tempfile.mkdtemp(prefix="rl-"))
        self._deployment_id = uuid.uuid4().hex
        self._store: ObjectStore | None = None
        self._errors: list[BaseException] = []
        self._keepers: dict[LeaderId, asyncio.Task[None]] = {}
        self._is_stopping = False
        self.controller = ControllerSeat(self._make_controller)
        self.leaders: dict[LeaderId, Leader] = {}
        self.gateways: list[Gateway] = []
        self.ports: list[int] = []

    async def start(self, gateways: int) -> None:
        cluster = self._cluster
        self._store = await open_store(
            cluster.store_url, clock=cluster.clock, rng=cluster.rng, limits=cluster.limits, registry=cluster.registry
        )
        await self.controller.start()
        for index in range(gateways):
            gateway = self._make_gateway(index, 0)
            await gateway.start()
            self.gateways.append(gateway)
            self.ports.append(gateway.port)

    async def stop(self) -> None:
        self._is_stopping = True
        for gateway in self.gateways:
            await gateway.close()
        for leader in list(self.leaders.values()):
            await leader.close()
        for keeper in self._keepers.values():
            keeper.cancel()
        await asyncio.gather(*self._keepers.values(), return_exceptions=True)
        await self.controller.stop()
        assert self._store is not None
        await self._store.close()
        shutil.rmtree(self._run_dir, ignore_errors=True)
        for error in self._errors:
            raise error

    async def ensure_leader(self, leader_id: LeaderId, site: LeaderSite) -> None:
        if leader_id not in self._keepers:
            keep = self._keep_leader(leader_id, site.wal_class)
            self._keepers[leader_id] = asyncio.get_running_loop().create_task(keep)

    async def replace_leader(self, leader_id: LeaderId, site: LeaderSite) -> None:
        """A leader of this process is never left hanging: what is silent is on its way up."""

    async def is_starting(self, leader_id: LeaderId) -> bool:
        return False

    async def end_leader(self, leader_id: LeaderId) -> None:
        if (keeper := self._keepers.pop(leader_id, None)) is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        self.leaders.pop(leader_id, None)

    async def order_move(self, destinations: Mapping[tuple[str, int], int]) -> None:
        moves = [
            Move(topic=topic, partition=number, to_leader=LeaderId(leader_id))
            for (topic, number), leader_id in destinations.items()
        ]
        refused = [result for result in await self.controller.move_partitions(moves) if result.error_code]
        assert not refused, refused

    async def arrived(self, destinations: Mapping[tuple[str, int], int]) -> None:
        version = 0
        while True:
            try:
                table = await self.controller.watch_routes(version)
            except RetryError:
                await asyncio.sleep(0.005)
                continue
            routes = {(topic, n): table.topics[topic].partitions[n] for topic, n in destinations}
            if all(route.adopted and route.leader_id == destinations[key] for key, route in routes.items()):
                return
            version = table.version

    async def kill_leader(self, leader_id: LeaderId) -> None:
        leader = self.leaders[leader_id]
        leader.fail(Killed())
        await self._successor_of(leader_id, leader)

    async def restart_leader(self, leader_id: LeaderId) -> None:
        leader = self.leaders[leader_id]
        await leader.close()
        await self._successor_of(leader_id, leader)

    async def kill_gateway(self, index: int) -> None:
        await self.gateways[index].abort()
        self.gateways[index] = self._make_gateway(index, self.ports[index])
        await self.gateways[index].start()

    async def _successor_of(self, leader_id: LeaderId, leader: Leader) -> None:
        """Wait until another one serves."""
        while self.leaders.get(leader_id) in (None, leader):  # noqa: ASYNC110  (nobody tells)
            await asyncio.sleep(0.005)

    async def _keep_leader(self, leader_id: LeaderId, wal_class: str) -> None:
        while not self._is_stopping:
            leader = self._make_leader(leader_id, wal_class)
            try:
                await leader.start()
                self.leaders[leader_id] = leader
                await asyncio.shield(leader.closed)
            except Killed:
                pass
            except Exception as error:  # noqa: BLE001  (told by stop)
                self._errors.append(error)
                return
            finally:
                await leader.close()

    async def _make_controller(self) -> Controller:
        cluster = self._cluster
        assert self._store is not None
        controller = Controller(
            store=self._store,
            deployment_id=self._deployment_id,
            launcher=self,
            clock=cluster.clock,
            rng=cluster.rng,
            limits=cluster.limits,
            wal_classes=tuple(cluster.wal),
            default_wal=cluster.default_wal,
            leaders_per_class=cluster.leaders_per_class,
            broker_configs=cluster.broker_configs,
            registry=CollectorRegistry(),
            leader_ender=self,
        )
        await controller.start()
        return controller

    def _make_leader(self, leader_id: LeaderId, wal_class: str) -> Leader:
        cluster = self._cluster
        assert self._store is not None
        return Leader(
            leader_id=leader_id,
            node_id=f"node-{leader_id % len(cluster.zones) if cluster.zones else 0}",
            store=self._store,
            wal=open_wal(parse_wal_class(wal_class, cluster.wal[wal_class]), leader_id, clock=cluster.clock),
            controller=self.controller,
            clock=cluster.clock,
            rng=cluster.rng,
            limits=cluster.limits,
            run_dir=self._run_dir,
            registry=CollectorRegistry(),
            usage=lambda: ProcessUsage(0.0, 0),  # of this process, which is everybody's
        )

    def _make_gateway(self, index: int, port: int) -> Gateway:
        """Each is a node, and so a broker, of its own; without zones the leaders are on the first one's."""
        cluster = self._cluster
        assert self._store is not None
        return Gateway(
            store=self._store,
            controller=self.controller,
            clock=cluster.clock,
            rng=cluster.rng,
            limits=cluster.limits,
            host="127.0.0.1",
            port=port,
            reuse_port=True,
            advertised_host="127.0.0.1",
            advertised_port=0,
            node_id=f"node-{index}",
            rack=cluster.zones[index] if cluster.zones else None,
            registry=CollectorRegistry(),
            object_wals=object_wals(cluster.wal, cluster.default_wal),
            usage=lambda: ProcessUsage(0.0, 0),
        )


@contextlib.contextmanager
def running(folder: Path, **options: Any) -> Iterator[InProcessCluster]:
    """A started cluster, stopped in the end."""
    cluster = InProcessCluster(folder, **options).start()
    try:
        yield cluster
    finally:
        cluster.stop()
