"""What the planner of the cluster's size is given: nodes, what they have to do, and goals, as plain values. It knows neither the
metadata log nor Ray.

A *use* is what is done over what can be done; see ``controller.balance.views`` for a leader's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Standing(Enum):
    """Whether a node takes part."""

    SERVES = "serves"
    LEAVING = "leaving"
    """It is being emptied, because fewer nodes do."""
    LEFT = "left"
    """It has been emptied so, and nothing runs there: Ray may take it."""
    DRAINED = "drained"
    """An operator or Ray has it emptied, which is none of the planner's business."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    name: str
    standing: Standing = Standing.SERVES
    cpus: float = 1.0
    """As Ray counts them."""
    mounts: Mapping[str, str] = field(default_factory=dict)
    """WAL classes that it takes, each with what it has mounted for that; "" where a class needs nothing of its own."""
    use: float = 0.0
    """Of its leaders together."""
    partitions: int = 0
    age_s: float = 0.0
    """For how long it has been known."""
    is_head: bool = False
    has_controller: bool = False


class Kind(Enum):
    LOAD = "load"
    """What a WAL class's shared leaders have to do."""
    GATEWAYS = "gateways"
    """What clients have gateways do."""
    CPU = "cpu"
    """What all leaders and gateways take of the nodes' CPUs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """One thing that the nodes have to do together."""

    kind: Kind
    wal_class: str = ""
    """Of a load."""
    use: float
    """The mean of all nodes that serve and can take part in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSight:
    nodes: tuple[NodeView, ...]
    demands: tuple[Demand, ...]
    is_measured: bool = True
    """Whether all leaders and each node's gateways have told what they do; if not, there may be more to do than is said here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeGoals:
    """How large the cluster should be, and how fast it changes its mind."""

    nodes_min: int
    nodes_max: int
    use: float = 0.5
    """The use that is aimed at."""
    band: float = 0.1
    """A use that is off by no more than this share is left alone."""
    up_s: float = 15.0
    """More nodes are wanted once they would have been needed for so long,"""
    down_s: float = 300.0
    """and fewer once they would have done for so long."""
