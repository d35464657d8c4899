"""A node's own part of what Ray's labels say of it: its name, its zone, and where its gateways are.

A node says all of it by Ray labels (``ray start --labels``), every one optional:

- ``raylog.io/node``: its name, for ever; else ``--node-name``, which is its address where nothing is said
- ``raylog.io/zone``: its zone, which is its broker's rack; else ``ray.io/availability-zone``
- ``raylog.io/host`` and ``raylog.io/port``: what clients connect to; else the node's address, and the port of ``listen``
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raylog.model.config import ClusterConfig, HostPort

NODE_LABEL = "raylog.io/node"
ZONE_LABELS = ("raylog.io/zone", "ray.io/availability-zone")
HOST_LABEL = "raylog.io/host"
PORT_LABEL = "raylog.io/port"

WILDCARDS = ("0.0.0.0", "::")
_LOOPBACKS = ("127.", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ThisNode:
    """The node that this process runs on."""

    name: str
    address: str
    labels: Mapping[str, str]


def this_node() -> ThisNode:
    """For a role: where it is. To be called in a process of Ray."""
    import ray

    labels: Any = ray.get_runtime_context().get_node_labels()  # texts by text, whatever its annotation says
    address = str(ray.util.get_node_ip_address())
    return ThisNode(name=labels.get(NODE_LABEL) or _named_at_start() or address, address=address, labels=labels)


def _named_at_start() -> str | None:
    import ray

    own = ray.get_runtime_context().get_node_id()
    return next((str(row["NodeName"]) for row in ray.nodes() if row["NodeID"] == own), None)


def zone_of(labels: Mapping[str, str], config: ClusterConfig) -> str | None:
    return next((labels[key] for key in ZONE_LABELS if labels.get(key)), None) or config.rack or None


def listen_address(config: ClusterConfig, labels: Mapping[str, str]) -> HostPort:
    """Where a node's gateways listen."""
    listen = HostPort.parse(config.listen)
    return HostPort(host=listen.host, port=int(labels.get(PORT_LABEL, listen.port)))


def advertised_address(
    config: ClusterConfig, labels: Mapping[str, str] | None = None, node_address: str = "127.0.0.1"
) -> HostPort:
    """What clients of a node connect to: as labelled, else as configured, else where it listens, with the node's address, or this
    host's name where that is a loopback, in place of a wildcard."""
    labels = labels or {}
    listen = listen_address(config, labels)
    if labels.get(HOST_LABEL):
        return HostPort(host=labels[HOST_LABEL], port=listen.port)
    if config.advertise:
        advertised = HostPort.parse(config.advertise)
        return HostPort(host=advertised.host, port=int(labels.get(PORT_LABEL, advertised.port)))
    if listen.host not in WILDCARDS:
        return listen
    host = socket.getfqdn() if node_address.startswith(_LOOPBACKS) else node_address
    return HostPort(host=host, port=listen.port)
