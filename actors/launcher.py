"""Starts the roles' actors through Ray: the controller's hands. Ray chooses the node and restarts them."""

import asyncio
from typing import Any

import ray

from actors.settings import NAMESPACE, gateway_name, leader_name
from raylog.model.config import ClusterConfig
from raylog.model.ids import LeaderId


class RayLauncher:
    """The controller's LeaderLauncher port over Ray's named, detached actors. Every call may be repeated."""

    def __init__(self, config: ClusterConfig) -> None:
        self._config = config

    async def ensure_leader(self, leader_id: LeaderId, wal_class: str) -> None:
        """Have leader ``leader_id`` of ``wal_class`` running; Ray restarts it for ever from then on."""
        await asyncio.to_thread(self._ensure_leader, leader_id, wal_class)

    def _ensure_leader(self, leader_id: LeaderId, wal_class: str) -> None:
        from actors.leader_actor import LeaderActorClass

        self._actor_options(LeaderActorClass, leader_name(leader_id)).remote(self._config, leader_id, wal_class)

    async def ensure_gateway(self, node_id: str, index: int) -> None:
        """Have gateway ``index`` of the node running."""
        await asyncio.to_thread(self._ensure_gateway, node_id, index)

    def _ensure_gateway(self, node_id: str, index: int) -> None:
        from actors.gateway_actor import GatewayActorClass

        self._actor_options(GatewayActorClass, gateway_name(node_id, index)).remote(self._config, index)

    @staticmethod
    def _actor_options(actor_class: Any, name: str) -> Any:
        return actor_class.options(name=name, namespace=NAMESPACE, lifetime="detached", get_if_exists=True)


def close_actor(name: str, timeout_s: float) -> bool:
    """Ask a named actor to close gracefully, then end it for good. False if it was not there or did not close in time."""
    try:
        actor = ray.get_actor(name, NAMESPACE)
    except ValueError:
        return False
    try:
        ray.get(actor.close.remote(), timeout=timeout_s)
        closed = True
    except ray.exceptions.RayError:
        closed = False
    ray.kill(actor, no_restart=True)
    return closed
