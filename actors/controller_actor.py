"""The controller as a Ray actor: one, named and detached. The work is in controller/; this wraps its life, starts the pools, and
has garbage collected now and then.

It restarts like every role: the metadata log gives it its state back, and ``get_if_exists`` finds the cluster running.
"""

import asyncio
import os
from typing import Any

from actors.calls import Outcome
from actors.garbage import RayCollection
from actors.launcher import RayLauncher
from actors.loop_thread import LoopThread, keep_what_is_here
from actors.main_thread import let_main_thread_sleep
from actors.node_follower import LOOK_EVERY_S, follow_nodes
from actors.nodes import RayNodes
from actors.role import set_up_role
from actors.room import RayRoom
from actors.this_node import this_node
from raylog.model.config import ClusterConfig
from raylog.model.errors import RaylogError, RetryError
from raylog.model.logs import fields

_PORT = frozenset(
    {
        "watch_routes",
        "register_leader",
        "watch_assignments",
        "wake_leader",
        "report_gateway",
        "report_adopted",
        "report_released",
        "offer_handover",
        "watch_offers",
        "deleted_of",
        "move_partitions",
        "balance",
        "balance_now",
        "register_broker",
        "create_topics",
        "delete_topics",
        "create_partitions",
        "alter_configs",
        "allocate_producer_ids",
        "status",
        "drain_node",
    }
)
"""The methods of raylog.model.admin.ControllerClient, and what the command line asks besides: nothing else may be called."""


class ControllerActor:
    """Runs one ``controller.controller.Controller`` from the actor's start to its fence or close."""

    def __init__(self, config: ClusterConfig, deployment_id: str, is_alone: bool) -> None:
        """``is_alone``: this Ray has one node and never another."""
        self._setup = set_up_role(config, "controller", this_node().name)
        self._deployment_id = deployment_id
        self._is_alone = is_alone
        self._controller: Any = None
        self._thread = LoopThread("controller")
        self._thread.run_role(self._live(), self._setup.run_dir, self._setup.log)
        let_main_thread_sleep(0.0)  # others wait for its answers

    async def _live(self) -> None:
        from controller.controller import Controller
        from controller.garbage_rounds import collect_in_rounds

        setup = self._setup
        nodes = RayNodes(setup.config)
        launcher = RayLauncher(setup.config, nodes, is_alone=self._is_alone)
        await self._first_nodes(nodes)
        if self._is_alone:
            # They start while the metadata is replayed; of other nodes that says which are to have any.
            await launcher.ensure_gateways(setup.node_id)
        controller = Controller(
            store=await setup.open_store(),
            deployment_id=self._deployment_id,
            launcher=launcher,
            clock=setup.clock,
            rng=setup.rng,
            limits=setup.limits,
            wal_classes=tuple(setup.config.wal),
            default_wal=setup.config.default_wal,
            leaders_per_class=setup.config.leaders,
            broker_configs=setup.config.broker,
            registry=setup.registry,
            nodes=[each.node for each in nodes.present],
            node_launcher=None if self._is_alone else launcher,
            leader_ender=launcher,
            room_asker=None if self._is_alone else RayRoom(setup.config, nodes),
            own_node=setup.node_id,
        )
        await controller.start()
        keep_what_is_here()
        self._controller = controller
        rounds = asyncio.ensure_future(
            collect_in_rounds(
                RayCollection(setup.config).collect,
                controller.led_partitions,
                clock=setup.clock,
                interval_s=setup.limits.garbage.interval_s,
                log=setup.log,
            )
        )
        parts: list[asyncio.Future[None]] = [controller.closed, rounds]
        if not self._is_alone:
            parts.append(asyncio.ensure_future(follow_nodes(controller, nodes, setup.clock, setup.log)))
        try:
            ended, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            await next(part for part in parts if part in ended)
        finally:
            for part in parts[1:]:
                part.cancel()

    async def _first_nodes(self, nodes: RayNodes) -> None:
        while True:
            try:
                await nodes.look()
                return
            except RetryError as error:
                self._setup.log.warning("Ray's nodes are not known yet", extra=fields(error=error))
                await self._setup.clock.sleep(LOOK_EVERY_S)

    async def call(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Outcome:
        """One call of the ControllerClient port, with its value or its error as an Outcome."""
        if method not in _PORT:
            return Outcome.of_error(RaylogError(f"The controller has no method '{method}'."))
        if self._controller is None:
            return Outcome.of_error(RetryError("The controller is replaying its metadata log."))
        try:
            return Outcome(value=await self._thread.call(getattr(self._controller, method)(*args, **kwargs)))
        except RaylogError as error:
            return Outcome.of_error(error)

    async def ready(self) -> int:
        """The process id, once the actor's process is up (the log may still be replaying)."""
        return os.getpid()

    async def close(self) -> None:
        if self._controller is not None:
            await self._thread.call(self._controller.close())
