"""The planner's working state: loads and counts of leaders as they become with each planned move. Internal to the planner.

Leaders and partitions are meant by their places in the view's tuples, which is quick and gives every tie one outcome.
"""

import heapq
from collections.abc import Iterable

from controller.balance.plan import PlannedMove, Reason
from controller.balance.views import ClusterView, Goals, LeaderView, PartitionView, Standing


class Desk:
    def __init__(self, view: ClusterView, goals: Goals) -> None:
        self.goals = goals
        self.leaders = view.leaders
        self.partitions = view.partitions
        self.loads = [0.0] * len(view.leaders)
        self.counts = [0] * len(view.leaders)
        self.own: list[list[int]] = [[] for _ in view.leaders]
        """Partitions by their present leader: planned moves change it not."""
        self.room = max(0, goals.moves_max - view.moving)
        """Moves that may still be planned."""
        self.moves: list[PlannedMove] = []
        self._moved: set[int] = set()
        index = {leader.leader_id: place for place, leader in enumerate(view.leaders)}
        for place, partition in enumerate(view.partitions):
            leader = index[partition.leader_id]
            self.own[leader].append(place)
            self.loads[leader] += partition.load
            self.counts[leader] += 1
        self._shared = _Takers(self, (i for i, leader in enumerate(view.leaders) if is_shared(leader)))

    def use(self, leader: int) -> float:
        return self.loads[leader] / self.leaders[leader].capacity

    def may_move(self, place: int) -> bool:
        """Whether a partition may be moved for balance, rather than because it must leave."""
        partition = self.partitions[place]
        return (
            partition.is_settled
            and not partition.pinned
            and not partition.dedicated
            and not partition.rests_s
            and place not in self._moved
        )

    def least_used(self, wal_class: str) -> int | None:
        """Of the shared leaders that may get a partition of that class."""
        return self._shared.first(wal_class)

    def move(self, place: int, source: int, target: int, reason: Reason) -> None:
        partition = self.partitions[place]
        source_use = self.use(source)
        self.loads[source] -= partition.load
        self.counts[source] -= 1
        self.loads[target] += partition.load
        self.counts[target] += 1
        self.room -= 1
        self._moved.add(place)
        for leader in (source, target):
            self._shared.changed(leader)
        self.moves.append(
            PlannedMove(
                name=partition.name,
                source=self.leaders[source].leader_id,
                target=self.leaders[target].leader_id,
                reason=reason,
                load=partition.load,
                source_use=source_use,
                target_use=self.use(target),
            )
        )


def is_shared(leader: LeaderView) -> bool:
    """Whether it takes partitions beside others."""
    return not leader.dedicated and leader.standing is Standing.OPEN


def by_load(partitions: tuple[PartitionView, ...], places: Iterable[int]) -> dict[str, list[int]]:
    """The places by WAL class, the lightest first."""
    found: dict[str, list[int]] = {}
    for place in sorted(places, key=lambda place: (partitions[place].load, place)):
        found.setdefault(partitions[place].wal_class, []).append(place)
    return found


class _Takers:
    """The least used leader of each WAL class, found by heaps whose outdated entries are thrown away when they come up."""

    def __init__(self, desk: Desk, leaders: Iterable[int]) -> None:
        self._desk = desk
        self._members = frozenset(leaders)
        self._heaps: dict[str, list[tuple[float, int, int]]] = {}
        for leader in sorted(self._members):
            self._push(leader)

    def first(self, wal_class: str) -> int | None:
        heap = self._heaps.get(wal_class, [])
        while heap:
            use, count, leader = heap[0]
            if (use, count) == (self._desk.use(leader), self._desk.counts[leader]):
                return leader
            heapq.heappop(heap)
        return None

    def changed(self, leader: int) -> None:
        if leader in self._members:
            self._push(leader)

    def _push(self, leader: int) -> None:
        desk = self._desk
        for wal_class in desk.leaders[leader].wal_classes:
            heap = self._heaps.setdefault(wal_class, [])
            heapq.heappush(heap, (desk.use(leader), desk.counts[leader], leader))
