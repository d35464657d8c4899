"""One gateway process's worth of a Kafka broker: composes the listening socket, the routes, the channels and the handlers.

It holds no state that matters: whatever gateway a client reaches, it is served the same.
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import Any, Final

from prometheus_client import CollectorRegistry

from gateway.context import GatewayServices
from gateway.cpu_report import report_cpu
from gateway.leader_channel import Connect, LeaderChannels
from gateway.metrics import GatewayMetrics
from gateway.plan_cache import PlanCache
from gateway.producer_ids import ProducerIds
from gateway.registry import served_apis
from gateway.router import Router
from gateway.routing import RouteFollower
from gateway.server import ClientServer, bound_socket
from gateway.uploader import Uploader
from gateway.zone_traffic import ZoneBytes, ZoneTraffic
from raylog.model.admin import ControllerClient
from raylog.model.clock import Clock, Random
from raylog.model.errors import RetryError
from raylog.model.limits import Limits
from raylog.model.load import ProcessUsage, process_usage
from raylog.model.logs import fields, role_logger
from raylog.model.routing import BrokerEndpoint
from raylog.storage.block_cache import BlockCache
from raylog.storage.object_store import ObjectStore
from raylog.storage.wal import FlushPolicy
from raylog.storage.wal_class import DEFAULT_OBJECT_POLICY

_PUBLISH_S: Final = 1.0


class Gateway:
    """``start`` returns when clients can connect; ``closed`` resolves when they cannot any more."""

    closed: asyncio.Future[None]
    """None after ``close``; the error, when a part of the gateway ended in one: its process is to exit then."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        controller: ControllerClient,
        clock: Clock,
        rng: Random,
        limits: Limits,
        host: str,
        port: int,
        reuse_port: bool,
        advertised_host: str,
        advertised_port: int,
        node_id: str,
        index: int = 0,
        rack: str | None,
        registry: CollectorRegistry,
        object_wals: Mapping[str, FlushPolicy] = MappingProxyType({}),
        connect: Connect | None = None,
        bind: Callable[..., socket.socket] = bound_socket,
        usage: Callable[[], ProcessUsage] = process_usage,
    ) -> None:
        """Port 0 takes a free one; advertised port 0 is the port taken. ``index`` is its own among the node's gateways.
        ``object_wals``: the WAL classes that are the bucket, '' for the default one if it is, with how long each gathers.
        ``connect`` replaces sockets to leaders, ``bind`` the one for clients (simulation); ``usage`` is what its process uses.

        Made and used on one event loop. The store stays the caller's.
        """
        self._block_cache = BlockCache(store, capacity_bytes=limits.gateway.block_cache_bytes, registry=registry)
        self._store = store
        self._object_wals = object_wals
        self._controller = controller
        self._clock = clock
        self._rng = rng
        self._limits = limits.gateway
        self._balance_limits = limits.balance
        self._usage = usage
        self._address = (host, port)
        self._reuse_port = reuse_port
        self._bind = bind
        self._advertised = (advertised_host, advertised_port)
        self._node_id = node_id
        self._index = index
        self._rack = rack
        self._log = role_logger("gateway", node=node_id)
        self._apis = served_apis()
        self._metrics = GatewayMetrics(registry, self._apis)
        self._zones = ZoneTraffic(rack, self._metrics.zone_bytes)
        self._routes = RouteFollower(controller, clock, rng, self._log)
        self._channels = LeaderChannels(
            routes=self._routes,
            node_id=node_id,
            clock=clock,
            rng=rng,
            limits=limits.gateway,
            log=self._log,
            wake=controller.wake_leader,
            zones=self._zones,
            connect=connect,
        )
        self._uploader: Uploader | None = None
        self._server: ClientServer | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.closed = asyncio.get_running_loop().create_future()
        self.port = 0
        """The port taken, once started."""

    async def start(self) -> None:
        """Bind, register the broker, get the first routing table, listen. Waits for a controller that is away.

        Raises OSError when the address cannot be had.
        """
        listener = self._bind(*self._address, reuse_port=self._reuse_port)
        try:
            self.port = listener.getsockname()[1]
            broker = await self._register()
            self._own(self._routes.run())  # only now: clients are not to be sent to where an earlier life listened
            await self._first_routes()
            router = Router(self._routes, self._channels, zone=self._rack, object_wals=self._object_wals)
            self._uploader = Uploader(
                store=self._store,
                router=router,
                policy=min(
                    self._object_wals.values(), key=lambda policy: policy.interval_ms, default=DEFAULT_OBJECT_POLICY
                ),
                clock=self._clock,
                rng=self._rng,
                log=self._log,
                on_put=self._block_cache.keep,  # consumers in this zone need not read it again
                on_fatal=self._part_failed,
            )
            services = GatewayServices(
                controller=self._controller,
                routes=self._routes,
                router=router,
                block_cache=self._block_cache,
                plan_cache=PlanCache(
                    self._clock,
                    plan_s_max=self._limits.plan_s_max,
                    ahead_bytes=0 if self._store.has_files else self._block_cache.read_ahead_bytes_max,
                ),
                clock=self._clock,
                rng=self._rng,
                limits=self._limits,
                log=self._log,
                apis=self._apis,
                broker=broker,
                producer_ids=ProducerIds(self._controller),
                uploader=self._uploader,
            )
            self._server = ClientServer(services=services, metrics=self._metrics, zones=self._zones, log=self._log)
            for part in (
                self._channels.run(),
                self._channels.run_wakes(),
                self._server.run(),
                self._publish_metrics(),
                report_cpu(
                    self._controller,
                    self._node_id,
                    self._index,
                    usage=self._usage,
                    clock=self._clock,
                    limits=self._balance_limits,
                ),
            ):
                self._own(part)
            await self._server.start(listener)
        except BaseException:
            listener.close()
            await self._end_tasks()
            raise
        self._log.info("the gateway serves", extra=fields(broker=broker.broker_id, port=self.port))

    def zone_bytes(self) -> list[ZoneBytes]:
        """What went over its connections, by zones."""
        return self._zones.totals()

    async def close(self) -> None:
        """Stop accepting, answer what is in flight, close the connections. Idempotent."""
        if self._server is not None:
            await self._server.close()
        await self._end_tasks()
        self._publish()
        await self._block_cache.close()
        if not self.closed.done():
            self.closed.set_result(None)

    async def abort(self) -> None:
        """Drop everything at once, as if the process were killed."""
        if self._server is not None:
            await self._server.abort()
        await self._end_tasks()
        await self._block_cache.close()
        if not self.closed.done():
            self.closed.set_result(None)

    async def _register(self) -> BrokerEndpoint:
        host, port = self._advertised
        failures = 0
        while True:
            try:
                return await self._controller.register_broker(self._node_id, host, port or self.port, self._rack)
            except RetryError as error:
                failures += 1
                if failures % 10 == 1:
                    self._log.warning("the controller is away; waiting to register", extra=fields(error=error))
                await self._clock.sleep(0.1 + 0.4 * self._rng.random())

    async def _first_routes(self) -> None:
        while self._routes.table.version == 0:
            await self._routes.newer_than(0, timeout_s=10.0)

    async def _publish_metrics(self) -> None:
        while True:
            asked = self._clock.monotonic()
            await self._clock.sleep(_PUBLISH_S)
            self._metrics.loop_lag_s.observe(max(0.0, self._clock.monotonic() - asked - _PUBLISH_S))
            self._publish()

    def _publish(self) -> None:
        self._metrics.publish()
        self._zones.publish()

    def _own(self, part: Coroutine[Any, Any, None]) -> None:
        """Run a part of the gateway; if it ends in an error, so does the gateway."""
        task = asyncio.get_running_loop().create_task(part)
        task.add_done_callback(self._part_ended)
        self._tasks.append(task)

    def _part_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._part_failed(error)

    def _part_failed(self, error: BaseException) -> None:
        self._log.error("a part of the gateway failed; it ends", exc_info=error)
        if not self.closed.done():
            self.closed.set_exception(error)

    async def _end_tasks(self) -> None:
        if self._uploader is not None:
            await self._uploader.close()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
