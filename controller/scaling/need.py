"""How many nodes are needed, by the rule of Kubernetes' HorizontalPodAutoscaler: as many more, or fewer, as the use is above or
below the aim. Pure.
"""

from dataclasses import dataclass, field
from math import ceil

from controller.scaling.views import ClusterSight, Demand, NodeView, SizeGoals, Standing

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    nodes: int
    """Within the bounds."""
    unbounded: int
    """Without them."""
    demand: Demand | None
    """That which needs most; None where nothing is to be done."""
    by_class: dict[str, int] = field(default_factory=dict)
    """Nodes that must have a WAL class which not every node has."""


def need_of(sight: ClusterSight, goals: SizeGoals) -> Need:
    serving = [node for node in sight.nodes if node.standing is Standing.SERVES]
    most: Demand | None = None
    nodes, further, by_class = 0, 0, {}
    for demand in sight.demands:
        takers = sum(_takes(node, demand) for node in serving)
        needed = _nodes_for(demand.use, max(1, takers), goals)
        if takers < len(serving):
            # More of this kind do not come about by more of any kind.
            by_class[demand.wal_class] = needed
            further += max(0, needed - takers)
        nodes = max(nodes, needed)
        if most is None or demand.use > most.use:
            most = demand
    if further:
        nodes = max(nodes, len(serving) + further)
    bounded = min(max(nodes, goals.nodes_min), goals.nodes_max)
    return Need(nodes=bounded, unbounded=nodes, demand=most, by_class=by_class)


def _takes(node: NodeView, demand: Demand) -> bool:
    return not demand.wal_class or demand.wal_class in node.mounts


def _nodes_for(use: float, nodes: int, goals: SizeGoals) -> int:
    off = use / goals.use
    return nodes if abs(off - 1) <= goals.band else max(1, ceil(nodes * off - _ROUNDING))
