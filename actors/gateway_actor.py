"""A gateway as a Ray actor: named, detached, restarted for ever. The work is in gateway/; this wraps its life.

The gateways of a node share its port (SO_REUSEPORT); the first of them also serves the node's ``/metrics`` and keeps its spare
workers.
"""

import asyncio
import os
from typing import TYPE_CHECKING

from actors.controller_client import RayControllerClient
from actors.loop_thread import LoopThread, keep_what_is_here
from actors.main_thread import let_main_thread_sleep
from actors.metrics_server import serve_metrics
from actors.open_files import allow_open_files
from actors.role import metrics_dir, set_up_role
from actors.settings import CALL_DELAY_S
from actors.spares import keep_spares
from actors.this_node import advertised_address, listen_address, this_node, zone_of
from raylog.model.config import ClusterConfig, HostPort
from raylog.storage.wal_class import object_wals

if TYPE_CHECKING:
    from gateway.gateway import Gateway
    from gateway.zone_traffic import ZoneBytes


class GatewayActor:
    """Runs one ``gateway.gateway.Gateway`` from the actor's start to its close."""

    def __init__(self, config: ClusterConfig, index: int) -> None:
        self._index = index
        self._node = this_node()
        self._gateway: Gateway | None = None
        self._setup = set_up_role(config, "gateway", self._node.name, index=index)
        self._thread = LoopThread("gateway")
        self._thread.run_role(self._live(), self._setup.run_dir, self._setup.log)
        let_main_thread_sleep(CALL_DELAY_S)

    async def _live(self) -> None:
        from gateway.gateway import Gateway

        setup, node = self._setup, self._node
        allow_open_files(setup.limits.gateway.connections_max, setup.log)
        listen = listen_address(setup.config, node.labels)
        advertised = advertised_address(setup.config, node.labels, node.address)
        self._gateway = Gateway(
            store=await setup.open_store(),
            controller=RayControllerClient(setup.clock),
            clock=setup.clock,
            rng=setup.rng,
            limits=setup.limits,
            host=listen.host,
            port=listen.port,
            reuse_port=True,
            advertised_host=advertised.host,
            advertised_port=advertised.port,
            node_id=setup.node_id,
            index=self._index,
            rack=zone_of(node.labels, setup.config),
            registry=setup.registry,
            object_wals=object_wals(setup.config.wal, setup.config.default_wal),
        )
        if self._index == 0 and setup.config.metrics:
            serve_metrics(HostPort.parse(setup.config.metrics), metrics_dir(setup.config))
        await self._gateway.start()
        keep_what_is_here()
        spares = asyncio.ensure_future(
            keep_spares(setup.config.spares_on(os.cpu_count() or 1) if self._index == 0 else 0, setup.clock, setup.log)
        )
        try:
            await self._gateway.closed
        finally:
            spares.cancel()

    async def ready(self) -> int:
        """The process id, once the actor's process is up (the port may not listen yet)."""
        return os.getpid()

    async def zone_bytes(self) -> "list[ZoneBytes]":
        """What went over its connections, by zones, since its process started."""
        return [] if self._gateway is None else self._gateway.zone_bytes()

    async def close(self) -> None:
        """Stop accepting, answer what is in flight, close the connections."""
        if self._gateway is not None:
            await self._thread.call(self._gateway.close())
