"""Which node goes when fewer do: the least loaded, and of equals the youngest; and why others may not. Pure."""

from enum import Enum

from controller.scaling.need import Need
from controller.scaling.views import ClusterSight, NodeView, Standing


class Stays(Enum):
    """Why a node is not given back."""

    HEAD = "head"
    """Ray cannot do without it."""
    CONTROLLER = "controller"
    """The controller runs there, which Ray would see as work."""
    ONLY_TAKER = "only_taker"
    """No other node that serves takes one of its WAL classes."""
    CLASS_NEEDED = "class_needed"
    """As many nodes with one of its WAL classes are needed as there are."""


def next_to_leave(sight: ClusterSight, need: Need) -> NodeView | None:
    """None if all must stay."""
    free = [node for node in _serving(sight) if why_it_stays(sight, need, node) is None]
    return min(free, key=lambda node: (node.use, node.partitions, node.age_s, node.name), default=None)


def why_it_stays(sight: ClusterSight, need: Need, node: NodeView) -> Stays | None:
    """Of a node that serves; None if it may go."""
    others = [other for other in _serving(sight) if other.name != node.name]
    if node.is_head:
        return Stays.HEAD
    if node.has_controller:
        return Stays.CONTROLLER
    # Whose volume it is makes no difference: a leader that has been emptied has left nothing in its WAL.
    if any(all(wal_class not in other.mounts for other in others) for wal_class in node.mounts):
        return Stays.ONLY_TAKER
    for wal_class, needed in need.by_class.items():
        if wal_class in node.mounts and sum(wal_class in other.mounts for other in others) < needed:
            return Stays.CLASS_NEEDED
    return None


def _serving(sight: ClusterSight) -> list[NodeView]:
    return [node for node in sight.nodes if node.standing is Standing.SERVES]
