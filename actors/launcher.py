"""Starts the roles' actors through Ray: the controller's hands. Ray chooses the node and restarts them.

A leader's actor is named by its incarnation: ``ensure_leader`` keeps the newest, ``replace_leader`` starts the next beside it.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import ray
from ray.util import list_named_actors

from actors.gateway_actor import GatewayActor
from actors.leader_actor import LeaderActor
from actors.settings import NAMESPACE, gateway_name, leader_incarnations, leader_name
from raylog.model.config import ClusterConfig
from raylog.model.ids import LeaderId

_MAX_CONCURRENCY = 1000  # Ray's default for async actors: the controller's long polls, two for each gateway and leader


class RayLauncher:
    """The controller's launcher port over Ray's named, detached actors. Every call may be repeated."""

    def __init__(self, config: ClusterConfig) -> None:
        self._config = config

    async def ensure_leader(self, leader_id: LeaderId, wal_class: str) -> None:
        """Have leader ``leader_id`` of ``wal_class`` running; Ray restarts it for ever from then on."""
        await asyncio.to_thread(self._start_leader, leader_id, wal_class, 0)

    async def replace_leader(self, leader_id: LeaderId, wal_class: str) -> None:
        """Start a successor beside a leader that no longer answers; the bucket fences the old one, which then ends for good."""
        await asyncio.to_thread(self._start_leader, leader_id, wal_class, 1)

    def _start_leader(self, leader_id: LeaderId, wal_class: str, step: int) -> None:
        newest = max(leader_incarnations(list_named_actors(), leader_id), default=0)
        incarnation = max(newest + step, 1)
        name = leader_name(leader_id, incarnation)
        start_actor(LeaderActor, name, self._config, leader_id, wal_class, incarnation)

    async def ensure_gateway(self, node_id: str, index: int) -> None:
        """Have gateway ``index`` of the node running."""
        await asyncio.to_thread(self._start_gateway, node_id, index)

    def _start_gateway(self, node_id: str, index: int) -> None:
        start_actor(GatewayActor, gateway_name(node_id, index), self._config, index)


def start_actor(actor_class: type, name: str, *args: object) -> Any:
    """A handle to the named actor, which is started unless it exists. It outlives its creator and is restarted for ever.

    No CPUs are reserved, as the roles share them; calls run at once (long polls wait inside) and are never repeated by Ray.
    """
    remote_class: Any = ray.remote(actor_class)
    return remote_class.options(
        name=name,
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        num_cpus=0,
        max_restarts=-1,
        max_task_retries=0,
        max_concurrency=_MAX_CONCURRENCY,
    ).remote(*args)


def close_actors(names: Sequence[str], timeout_s: float) -> None:
    """Ask named actors to close gracefully, all at once, then end them for good; those that are not there are passed over."""
    actors = [actor for name in names if (actor := _find(name)) is not None]
    closing = [actor.close.remote() for actor in actors]
    if closing:
        ray.wait(closing, num_returns=len(closing), timeout=timeout_s)
    end_for_good: Any = ray.kill
    for actor in actors:
        end_for_good(actor, no_restart=True)


def _find(name: str) -> Any:
    try:
        return ray.get_actor(name, NAMESPACE)
    except ValueError:
        return None
