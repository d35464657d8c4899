"""Which leader leads which partition: a pure choice. Balanced per topic first, so that a hot topic uses all, then overall."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

from controller.nodes import Node, missing_leaders, pool, shared_leaders, spread
from controller.records import LeaderAdded, LeaderPlaced
from controller.state import MetadataState
from raylog.model.ids import LeaderId


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    leaders: tuple[LeaderId, ...]
    """Of the new partitions, in their order."""
    added: tuple[LeaderAdded | LeaderPlaced, ...] = field(default=())
    """Leaders that must come into being for it, or be placed anew; they go before the partitions in the log."""


def place(
    state: MetadataState,
    *,
    wal_class: str,
    dedicated: bool,
    partition_count: int,
    leaders_per_class: int,
    nodes: Sequence[Node] = (),
    own_counts: dict[LeaderId, int] | None = None,
) -> Placement:
    """Leaders for ``partition_count`` new partitions of a topic.

    ``own_counts``: partitions that the topic has already, by leader. The class's pool of shared leaders is filled up: on each of
    ``nodes`` that takes the class to what the node is to have, and where there is no such node to ``leaders_per_class`` in all. A
    dedicated topic gets for each partition a dedicated leader that leads nothing, or a new one.
    """
    if dedicated:
        return _dedicated(state, nodes, wal_class, partition_count)
    chosen_from, added = _pool(state, nodes, wal_class, leaders_per_class)
    own = own_counts or {}
    heap = [(own.get(leader_id, 0), state.partition_count(leader_id), leader_id) for leader_id in chosen_from]
    heapq.heapify(heap)
    chosen = []
    for _ in range(partition_count):
        of_topic, of_all, leader_id = heap[0]
        heapq.heapreplace(heap, (of_topic + 1, of_all + 1, leader_id))
        chosen.append(leader_id)
    return Placement(leaders=tuple(chosen), added=added)


def _pool(
    state: MetadataState, nodes: Sequence[Node], wal_class: str, leaders_per_class: int
) -> tuple[list[LeaderId], tuple[LeaderAdded | LeaderPlaced, ...]]:
    """The shared leaders to choose from, those that come into being for it among them."""
    missing = missing_leaders(state, nodes, wal_class, state.next_leader_id())
    present = pool(state, nodes, wal_class)
    if present or missing:
        return present + [leader.leader_id for leader in missing], tuple(missing)
    # No node takes the class, or nobody tells of nodes: they run, or wait, wherever they were.
    anywhere = [leader.leader_id for leader in shared_leaders(state, wal_class)]
    added = new_leaders(state, nodes, wal_class, max(0, leaders_per_class - len(anywhere)), dedicated=False)
    return anywhere + [leader.leader_id for leader in added], added


def _dedicated(state: MetadataState, nodes: Sequence[Node], wal_class: str, partition_count: int) -> Placement:
    idle = free_dedicated(state, nodes, wal_class)[:partition_count]
    added = new_leaders(state, nodes, wal_class, partition_count - len(idle), dedicated=True)
    return Placement(leaders=(*idle, *(leader.leader_id for leader in added)), added=added)


def free_dedicated(state: MetadataState, nodes: Sequence[Node], wal_class: str) -> list[LeaderId]:
    """Dedicated leaders of a class that lead nothing, and are not on a node that drains."""
    leaving = {node.name for node in nodes if node.is_draining}
    return [
        leader.leader_id
        for leader in state.leaders.values()
        if leader.dedicated
        and leader.wal_class == wal_class
        and leader.node not in leaving
        and not state.is_needed(leader.leader_id)
    ]


def new_leaders(
    state: MetadataState, nodes: Sequence[Node], wal_class: str, count: int, *, dedicated: bool
) -> tuple[LeaderAdded, ...]:
    """Leaders that there were never any of, with ids that nobody had, spread over the nodes that take their class."""
    homes = spread(state, nodes, wal_class)
    first = state.next_leader_id()
    return tuple(
        LeaderAdded(
            leader_id=LeaderId(first + i),
            wal_class=wal_class,
            dedicated=dedicated,
            node=home.name if home else "",
            mount=home.mounts[wal_class] if home else "",
        )
        for i in range(count)
        for home in (next(homes, None),)
    )
