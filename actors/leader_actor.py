"""A partition leader as a Ray actor: named, detached, restarted for ever. The work is in raylog/leader; this wraps its life.

Each start of the process is a new open of the leader's log, one epoch up, so a restart is a fail-over and needs nobody's help.
An incarnation that finds a newer one of its leader ends for good instead (docs/decisions/0003).
"""

import asyncio
import os

import ray
from ray.util import list_named_actors

from actors.controller_client import RayControllerClient
from actors.loop_thread import LoopThread, keep_what_is_here
from actors.main_thread import let_main_thread_sleep
from actors.role import set_up_role
from actors.settings import CALL_DELAY_S, newest_incarnation
from actors.this_node import this_node
from raylog.model.config import ClusterConfig
from raylog.model.ids import LeaderId


class LeaderActor:
    """Runs one ``raylog.leader.Leader`` from the actor's start to its fence or close."""

    def __init__(self, config: ClusterConfig, leader_id: int, wal_class: str, incarnation: int) -> None:
        self._incarnation = incarnation
        self._thread = LoopThread("leader")
        self._node = this_node()
        self._setup = set_up_role(config, "leader", self._node.name, leader=leader_id)
        self._leader_id = LeaderId(leader_id)
        self._wal_class = wal_class
        self._thread.run_role(self._live(), self._setup.run_dir, self._setup.log)
        let_main_thread_sleep(CALL_DELAY_S)

    async def _live(self) -> None:
        from actors.compaction import RayCompactor
        from raylog.leader.leader import Leader
        from raylog.storage.wal_class import open_wal, parse_wal_class

        setup = self._setup
        if await asyncio.to_thread(self._is_superseded):
            setup.log.info("a newer incarnation leads: ending for good")
            ray.kill(ray.get_runtime_context().current_actor, no_restart=True)
            return
        wal_class = parse_wal_class(self._wal_class, setup.config.wal[self._wal_class])
        store = await setup.open_store()
        controller = RayControllerClient(setup.clock)
        finding = asyncio.create_task(controller.find())  # while the log is read
        self._leader = Leader(
            leader_id=self._leader_id,
            node_id=setup.node_id,
            store=store,
            wal=open_wal(wal_class, self._leader_id, clock=setup.clock),
            controller=controller,
            clock=setup.clock,
            rng=setup.rng,
            limits=setup.limits,
            run_dir=setup.run_dir,
            registry=setup.registry,
            tcp_host=self._node.address,
            compactor=RayCompactor(setup.config, self._leader_id),
        )
        await self._leader.start()
        await finding
        keep_what_is_here()
        await self._leader.closed

    def _is_superseded(self) -> bool:
        return newest_incarnation(list_named_actors(), self._leader_id) > self._incarnation

    async def ready(self) -> int:
        """The process id, once the actor's process is up (the leader may still be recovering)."""
        return os.getpid()

    async def close(self) -> None:
        """Stop serving, flush to the bucket, close the WAL."""
        await self._thread.call(self._leader.close())
