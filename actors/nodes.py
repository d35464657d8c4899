"""Ray's nodes as Raylog sees them: those that are alive, by name, and which WAL classes they have mounted."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import ray

from actors.asking import ask_ray
from actors.this_node import NODE_LABEL, WILDCARDS, listen_address, zone_of
from controller.nodes import Node
from raylog.model.config import ClusterConfig, HostPort
from raylog.storage.wal_class import parse_wal_class

_HEAD_RESOURCE = "node:__internal_head__"
"""Ray's own, of the node that has its GCS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RayNode:
    """One that is alive."""

    ray_id: str
    """Ray's own id, another one after each start of the node."""
    gateways: int
    node: Node


class RayNodes:
    """The nodes of this Ray cluster, as last looked at."""

    def __init__(self, config: ClusterConfig) -> None:
        self._config = config
        self.present: tuple[RayNode, ...] = ()

    async def look(self) -> bool:
        """Whether anything has changed. Raises RetryError while Ray's GCS does not answer."""
        table, draining = await ask_ray(_ask)
        known = {node.ray_id for node in self.present}
        present = read_nodes(table, draining, self._config, known)
        changed = present != self.present
        self.present = present
        return changed

    def named(self, name: str) -> RayNode | None:
        return next((node for node in self.present if node.node.name == name), None)


def _ask() -> tuple[list[dict[str, Any]], Collection[str]]:
    return ray.nodes(), ray._private.state.state.get_draining_nodes()


def read_nodes(
    table: Iterable[Mapping[str, Any]], draining: Collection[str], config: ClusterConfig, known: Collection[str] = ()
) -> tuple[RayNode, ...]:
    """From Ray's own table: nodes that are alive, by name. Of two of one name (a node that has come back before Ray has seen it
    go) that which is ``known`` by its Ray id is meant, until it is gone."""
    found: dict[str, RayNode] = {}
    for row in table:
        if row["Alive"]:
            node = _read_node(row, config)
            if node.node.name not in found or node.ray_id in known:
                found[node.node.name] = _draining(node) if node.ray_id in draining else node
    return tuple(found[name] for name in sorted(found))


def _draining(node: RayNode) -> RayNode:
    return replace(node, node=replace(node.node, is_draining=True))


def _read_node(row: Mapping[str, Any], config: ClusterConfig) -> RayNode:
    labels: Mapping[str, str] = row["Labels"]
    resources: Mapping[str, float] = row["Resources"]
    cpus = int(resources.get("CPU", 0))
    address = str(row["NodeManagerAddress"])
    listen = listen_address(config, labels)
    reached_at = HostPort(host=address if listen.host in WILDCARDS else listen.host, port=listen.port)
    node = Node(
        name=labels.get(NODE_LABEL) or str(row["NodeName"]) or address,
        address=str(reached_at),
        zone=zone_of(labels, config),
        mounts=_mounts(labels, resources, config),
        leaders=config.leaders_on(cpus),
        cpus=resources.get("CPU", 0.0),
        is_head=_HEAD_RESOURCE in resources,
        start_id=str(row["NodeID"]),
    )
    return RayNode(ray_id=str(row["NodeID"]), gateways=config.gateways_on(cpus), node=node)


def _mounts(labels: Mapping[str, str], resources: Mapping[str, float], config: ClusterConfig) -> dict[str, str]:
    mounts: dict[str, str] = {}
    for name, url in config.wal.items():
        wal_class = parse_wal_class(name, url)
        if wal_class.resource and not resources.get(wal_class.resource):
            continue
        if wal_class.label and not labels.get(wal_class.label):
            continue
        mounts[name] = labels[wal_class.label] if wal_class.label else ""
    return mounts
