"""Which leader leads which partition: a pure choice. Balanced per topic first, so that a hot topic uses all, then overall."""

import heapq
from dataclasses import dataclass, field

from controller.records import LeaderAdded
from controller.state import MetadataState
from raylog.model.ids import LeaderId


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    leaders: tuple[LeaderId, ...]
    """Of the new partitions, in their order."""
    added: tuple[LeaderAdded, ...] = field(default=())
    """Leaders that must come into being for it; they go before the partitions in the log."""


def place(
    state: MetadataState,
    *,
    wal_class: str,
    dedicated: bool,
    partition_count: int,
    leaders_per_class: int,
    own_counts: dict[LeaderId, int] | None = None,
) -> Placement:
    """Leaders for ``partition_count`` new partitions of a topic.

    ``own_counts``: partitions that the topic has already, by leader. The class's pool of shared leaders is filled up to
    ``leaders_per_class``; a dedicated topic gets for each partition a dedicated leader that leads nothing, or a new one.
    """
    if dedicated:
        return _dedicated(state, wal_class, partition_count)
    pool = [
        leader.leader_id for leader in state.leaders.values() if leader.wal_class == wal_class and not leader.dedicated
    ]
    added = new_leaders(state, wal_class, max(0, leaders_per_class - len(pool)), dedicated=False)
    pool += [leader.leader_id for leader in added]
    own = own_counts or {}
    heap = [(own.get(leader_id, 0), state.partition_count(leader_id), leader_id) for leader_id in pool]
    heapq.heapify(heap)
    chosen = []
    for _ in range(partition_count):
        of_topic, of_all, leader_id = heap[0]
        heapq.heapreplace(heap, (of_topic + 1, of_all + 1, leader_id))
        chosen.append(leader_id)
    return Placement(leaders=tuple(chosen), added=added)


def _dedicated(state: MetadataState, wal_class: str, partition_count: int) -> Placement:
    idle = [
        leader.leader_id
        for leader in state.leaders.values()
        if leader.dedicated and leader.wal_class == wal_class and not state.is_needed(leader.leader_id)
    ][:partition_count]
    added = new_leaders(state, wal_class, partition_count - len(idle), dedicated=True)
    return Placement(leaders=(*idle, *(leader.leader_id for leader in added)), added=added)


def new_leaders(state: MetadataState, wal_class: str, count: int, *, dedicated: bool) -> tuple[LeaderAdded, ...]:
    """Leaders that there were never any of, with ids that nobody had."""
    first = state.next_leader_id()
    return tuple(
        LeaderAdded(leader_id=LeaderId(first + i), wal_class=wal_class, dedicated=dedicated) for i in range(count)
    )
