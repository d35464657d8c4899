"""Asks Ray's autoscaler for nodes: the controller's port to whoever has them.

Raylog's processes reserve nothing, so that Ray would not start a node for them. What keeps a node is that they run there: to Ray
a node with any actor is at work, and one that has been emptied is idle. What starts one is this request, of which Ray has one at
a time for the whole cluster: another program that asks in the same way would replace it.
"""

from collections.abc import Mapping
from typing import Any

from actors.asking import ask_ray
from actors.launcher import RAY_ID_LABEL, SOME_RESOURCE
from actors.nodes import RayNodes
from controller.scaling.rooms import Request, Room
from raylog.model.config import ClusterConfig
from raylog.storage.wal_class import parse_wal_class

Bundles = list[tuple[dict[str, float], dict[str, str]]]
"""Resources and labels of each node that is to be there, as ``request_resources`` takes them."""


class RayRoom:
    """The controller's port for room over ``ray.autoscaler.sdk.request_resources``."""

    def __init__(self, config: ClusterConfig, nodes: RayNodes) -> None:
        self._config = config
        self._nodes = nodes

    async def ask(self, request: Request) -> None:
        ids = {name: node.ray_id for name in request.without if (node := self._nodes.named(name)) is not None}
        await ask_ray(_request, bundles(request, self._config, ids))


def bundles(request: Request, config: ClusterConfig, ids: Mapping[str, str]) -> Bundles:
    """``ids`` are Ray's ids of nodes by name. Labels are for the autoscaler of version 2; that of version 1 passes them over, and
    takes by itself the nodes that have been idle for longest."""
    avoid = {RAY_ID_LABEL: f"!in({','.join(ids[name] for name in request.without if name in ids)})"} if ids else {}
    return [_bundle(room, config, avoid) for room in request.rooms]


def _bundle(room: Room, config: ClusterConfig, avoid: Mapping[str, str]) -> tuple[dict[str, float], dict[str, str]]:
    resources, labels = {"CPU": room.cpus}, dict(avoid)
    for name, mount in room.mounts.items():
        wal_class = parse_wal_class(name, config.wal[name])
        if wal_class.resource:
            resources[wal_class.resource] = SOME_RESOURCE
        if wal_class.label and mount:
            labels[wal_class.label] = mount
    return resources, labels


def _request(wanted: Bundles) -> None:
    from ray.autoscaler.sdk import request_resources

    ask: Any = request_resources
    ask(bundles=[resources for resources, _ in wanted], bundle_label_selectors=[labels for _, labels in wanted])
