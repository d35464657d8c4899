"""A partition leader as a Ray actor: named, detached, restarted for ever. The work is in raylog/leader; this wraps its life.

Each start of the process is a new open of the leader's log, one epoch up, so a restart is a fail-over and needs nobody's help.
"""

import ray

from actors.controller_client import RayControllerClient
from actors.loop_thread import LoopThread
from actors.role import set_up_role
from actors.settings import this_node_id
from raylog.model.config import ClusterConfig
from raylog.model.ids import LeaderId


class LeaderActor:
    """Runs one ``raylog.leader.Leader`` from the actor's start to its fence or close."""

    def __init__(self, config: ClusterConfig, leader_id: int, wal_class: str) -> None:
        self._thread = LoopThread("leader")
        self._setup = set_up_role(config, "leader", this_node_id(), leader=leader_id)
        self._leader_id = LeaderId(leader_id)
        self._wal_class = wal_class
        self._thread.run_role(self._live(), self._setup.log)

    async def _live(self) -> None:
        from raylog.leader.leader import Leader
        from raylog.storage.wal_class import open_wal

        setup = self._setup
        store = await setup.open_store()
        self._leader = Leader(
            leader_id=self._leader_id,
            node_id=setup.node_id,
            store=store,
            wal=open_wal(setup.config.wal, self._wal_class, self._leader_id),
            controller=RayControllerClient(setup.clock),
            clock=setup.clock,
            rng=setup.rng,
            limits=setup.limits,
            run_dir=setup.run_dir,
            registry=setup.registry,
        )
        await self._leader.start()
        await self._leader.closed

    async def ready(self) -> int:
        """The process id, once the actor's process is up (the leader may still be recovering)."""
        import os

        return os.getpid()

    async def close(self) -> None:
        """Stop serving, flush to the bucket, close the WAL."""
        await self._thread.call(self._leader.close())


LeaderActorClass = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=0, max_concurrency=16)(LeaderActor)
