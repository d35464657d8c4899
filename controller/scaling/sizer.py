"""The planner of the cluster's size: from what the nodes have to do to how many there should be, and the next step there. Pure
but for its memory of what was needed a while ago; the same looks give the same plans.

- It grows fast and shrinks slowly (``window``), one node at a time, and never while a leader or a node's gateways
  have not told what they do.
- A node that was to go, and is still there, is taken back before others are asked for.
- What is asked for is never less than what is there, but for nodes that have been emptied (``rooms``).
"""

from dataclasses import dataclass
from enum import Enum

from controller.scaling.leaving import Stays, next_to_leave, why_it_stays
from controller.scaling.need import Need, need_of
from controller.scaling.rooms import Request, request_for
from controller.scaling.views import ClusterSight, NodeView, SizeGoals, Standing
from controller.scaling.window import Window


class Verdict(Enum):
    """Why the cluster is as large as it is, and what comes next."""

    ENOUGH = "enough"
    """As many nodes serve as are needed."""
    GROWS = "grows"
    """More are wanted, and asked for."""
    TAKES_BACK = "takes_back"
    """More are wanted, and one that was to go serves again."""
    SHRINKS = "shrinks"
    """Fewer do, and one is emptied."""
    EMPTIES = "empties"
    """Fewer do; the next one goes when that which goes now is empty."""
    GROWS_SOON = "grows_soon"
    """More would be needed, but have not been for long enough."""
    SHRINKS_LATER = "shrinks_later"
    """Fewer would do, but more were needed a while ago."""
    AT_MOST = "at_most"
    """More would be needed than there may be."""
    AT_LEAST = "at_least"
    """Fewer would do than there must be."""
    ALL_STAY = "all_stay"
    """Fewer do, but each node must stay: see ``staying``."""
    UNMEASURED = "unmeasured"
    """Fewer may do, but a leader, or a node's gateways, have not told what they do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SizePlan:
    verdict: Verdict
    node: str = ""
    """That which is to be emptied, or to serve again."""
    wanted: int
    """Nodes that should serve."""
    serving: int
    need: Need
    staying: dict[str, Stays]
    """Nodes that could not be given back, and why."""
    request: Request | None
    """What to ask for; None: nothing new, as nobody knows yet what is needed."""


class Sizer:
    def __init__(self) -> None:
        self._window: Window | None = None
        self._wanted = 0
        self._was_measured = False

    def look(self, now_s: float, sight: ClusterSight, goals: SizeGoals) -> SizePlan:
        """``now_s`` never goes back."""
        serving = [node for node in sight.nodes if node.standing is Standing.SERVES]
        need = need_of(sight, goals)
        if self._window is None:
            self._wanted = len(serving)
            self._window = Window(self._wanted)
        # What is not measured may need what there is.
        needed = need.nodes if sight.is_measured else max(need.nodes, self._wanted)
        self._wanted = self._window.settle(now_s, self._wanted, needed, up_s=goals.up_s, down_s=goals.down_s)
        self._was_measured |= sight.is_measured
        verdict, node = self._next(sight, need, goals)
        is_known = self._was_measured or self._wanted > len(serving)
        return SizePlan(
            verdict=verdict,
            node="" if node is None else node.name,
            wanted=self._wanted,
            serving=len(serving),
            need=need,
            staying={each.name: why for each in serving if (why := why_it_stays(sight, need, each)) is not None},
            request=request_for(sight, need, self._wanted) if is_known else None,
        )

    def _next(self, sight: ClusterSight, need: Need, goals: SizeGoals) -> tuple[Verdict, NodeView | None]:
        serving = sum(node.standing is Standing.SERVES for node in sight.nodes)
        if self._wanted > serving:
            again = _to_take_back(sight)
            return (Verdict.GROWS if again is None else Verdict.TAKES_BACK), again
        if self._wanted < serving:
            return self._next_to_shrink(sight, need)
        if need.nodes > self._wanted:
            return Verdict.GROWS_SOON, None
        if need.unbounded > goals.nodes_max:
            return Verdict.AT_MOST, None
        if not sight.is_measured:
            return Verdict.UNMEASURED, None
        if need.nodes < self._wanted:
            return Verdict.SHRINKS_LATER, None
        return (Verdict.AT_LEAST if need.unbounded < goals.nodes_min else Verdict.ENOUGH), None

    def _next_to_shrink(self, sight: ClusterSight, need: Need) -> tuple[Verdict, NodeView | None]:
        if not sight.is_measured:
            return Verdict.UNMEASURED, None
        if any(node.standing is Standing.LEAVING for node in sight.nodes):
            return Verdict.EMPTIES, None
        leaving = next_to_leave(sight, need)
        return (Verdict.ALL_STAY if leaving is None else Verdict.SHRINKS), leaving


def _to_take_back(sight: ClusterSight) -> NodeView | None:
    """One that still runs something before one that Ray may be taking."""
    went = [node for node in sight.nodes if node.standing in (Standing.LEAVING, Standing.LEFT)]
    return min(went, key=lambda node: (node.standing is Standing.LEFT, -node.partitions, node.name), default=None)
