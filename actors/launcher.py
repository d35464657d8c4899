"""Starts the roles' actors through Ray: the controller's hands. Ray restarts them, within the bounds that are said here.

A leader's actor is named by its incarnation: ``ensure_leader`` keeps the newest, ``replace_leader`` starts the next beside it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import ray
from ray.util import list_named_actors
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.asking import ask_ray
from actors.gateway_actor import GatewayActor
from actors.leader_actor import LeaderActor
from actors.nodes import RayNode, RayNodes
from actors.settings import NAMESPACE, gateway_name, leader_incarnations, leader_name, newest_incarnation
from controller.launcher import LeaderSite
from raylog.model.config import ClusterConfig
from raylog.model.errors import RetryError
from raylog.model.ids import LeaderId
from raylog.storage.wal_class import parse_wal_class

Placement = dict[str, Any]
"""Options of a Ray actor that say where it may run."""

RAY_ID_LABEL = "ray.io/node-id"
_ANY_NODE = {RAY_ID_LABEL: "!in(none)"}
_STARTING = frozenset({"DEPENDENCIES_UNREADY", "PENDING_CREATION", "RESTARTING"})
"""Ray's states of an actor whose process is not up: it is neither ALIVE nor DEAD."""
_RAY_ID_SHOWN = 8
_CLOSE_S_MAX = 20.0
SOME_RESOURCE = 0.0001  # Ray's smallest part: a leader needs the resource to be there, and uses none of it up
_MAX_CONCURRENCY = 1000  # Ray's default for async actors: the controller's long polls, two for each gateway and leader


class RayLauncher:
    """The controller's launcher ports over Ray's named, detached actors. Every call may be repeated."""

    def __init__(self, config: ClusterConfig, nodes: RayNodes, *, is_alone: bool) -> None:
        """``is_alone``: there is but one node, so that nobody need say where roles are to run."""
        self._config = config
        self._nodes = nodes
        self._is_alone = is_alone

    async def ensure_leader(self, leader_id: LeaderId, site: LeaderSite) -> None:
        """Have the leader running; Ray restarts it for ever from then on."""
        await ask_ray(self._start_leader, leader_id, site, 0)

    async def replace_leader(self, leader_id: LeaderId, site: LeaderSite) -> None:
        """Start a successor beside a leader that no longer answers; the bucket fences the old one, which then ends for good."""
        await ask_ray(self._start_leader, leader_id, site, 1)

    async def is_starting(self, leader_id: LeaderId) -> bool:
        """Whether Ray has the newest incarnation to start, for the first time or again: after its death, or its node's."""
        return await ask_ray(self._is_starting, leader_id)

    async def end_leader(self, leader_id: LeaderId) -> None:
        """Close the leader, which brings what only its WAL has to the bucket; it is not started again by itself."""
        await ask_ray(self._close, [], [leader_id])

    def _start_leader(self, leader_id: LeaderId, site: LeaderSite, step: int) -> None:
        placement = self._leader_placement(site)
        incarnation = max(newest_incarnation(list_named_actors(), leader_id) + step, 1)
        name = leader_name(leader_id, incarnation)
        start_actor(LeaderActor, name, self._config, leader_id, site.wal_class, incarnation, placement=placement)

    def _is_starting(self, leader_id: LeaderId) -> bool:
        actor = _find(leader_name(leader_id, newest_incarnation(list_named_actors(), leader_id)))
        return actor is not None and ray._private.state.actors(actor._actor_id.hex()).get("State") in _STARTING

    def _leader_placement(self, site: LeaderSite) -> Placement:
        if self._is_alone:
            return {}
        wal_class = parse_wal_class(site.wal_class, self._config.wal[site.wal_class])
        home = self._nodes.named(site.node)
        mount = site.mount or (home.node.mounts.get(site.wal_class, "") if home else "")
        if wal_class.label and not mount:
            raise RetryError(f"No node with the label {wal_class.label} of WAL class '{wal_class.name}' is there.")
        return leader_placement(
            {wal_class.label: mount} if wal_class.label else {}, wal_class.resource, home.ray_id if home else None
        )

    async def ensure_gateways(self, node: str) -> None:
        """Have the gateways of the node running, until the node ends; of one that is not there any more, nothing."""
        if (found := self._nodes.named(node)) is not None:
            await ask_ray(self._start_gateways, found)

    def _start_gateways(self, node: RayNode) -> None:
        placement: Placement = {}
        if not self._is_alone:
            placement = {"scheduling_strategy": NodeAffinitySchedulingStrategy(node.ray_id, soft=False)}
        for name, index in self._gateways(node):
            start_actor(GatewayActor, name, self._config, index, placement=placement)

    def _gateways(self, node: RayNode) -> list[tuple[str, int]]:
        """Names and indexes. Those of an earlier start of the node end with that, so these must be named otherwise."""
        name = node.node.name if self._is_alone else f"{node.node.name}.{node.ray_id[:_RAY_ID_SHOWN]}"
        return [(gateway_name(name, index), index) for index in range(node.gateways)]

    async def clear(self, node: str, leaders: Sequence[LeaderId]) -> None:
        """Close the node's gateways, and these leaders, who lead nothing; they are not started again."""
        found = self._nodes.named(node)
        await ask_ray(self._close, [name for name, _ in self._gateways(found)] if found else [], leaders)

    def _close(self, gateways: Sequence[str], leaders: Sequence[LeaderId]) -> None:
        close_actors(gateways, _CLOSE_S_MAX)
        names = list_named_actors()
        close_actors(
            [leader_name(id_, number) for id_ in leaders for number in leader_incarnations(names, id_)], _CLOSE_S_MAX
        )


def leader_placement(labels: Mapping[str, str], resource: str, home: str | None) -> Placement:
    """Ray's options for a leader that needs nodes with these labels and this resource (empty: none), and belongs on ``home``, by
    Ray's id. Ray holds to the first also when it restarts the actor, and waits for such a node; to the second if it can."""
    placement: Placement = {"resources": {resource: SOME_RESOURCE}} if resource else {}
    if home is not None:
        placement["label_selector"] = {**labels, RAY_ID_LABEL: home}
        placement["fallback_strategy"] = [{"label_selector": dict(labels) or _ANY_NODE}]
    elif labels:
        placement["label_selector"] = dict(labels)
    return placement


def start_actor(actor_class: type, name: str, *args: object, placement: Placement | None = None) -> Any:
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
        **(placement or {}),
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
