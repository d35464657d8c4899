"""Levelling a pool's counts, the last goal: idle partitions cost memory, and time when their leader fails over.

Only partitions that are not worth a move by their load are moved for their number, and none to a leader that has its share of
load, nor from one that has less than that: so this never works against ``loads``.
"""

import heapq
from dataclasses import dataclass

from controller.balance.desk import Desk
from controller.balance.plan import Reason, Verdict
from controller.balance.pools import Pool


def level_counts(desk: Desk, pool: Pool) -> Verdict:
    """To be asked of a pool of at least two, all measured, after its loads. BOUND, or BALANCED: what could not be levelled
    without harm to the loads is as it should be."""
    even = _Even(desk, pool, pool.partitions_per_capacity(desk), pool.mean_use(desk))
    givers = [leader for leader in pool.members if even.excess(leader) > 0]
    takers = [leader for leader in pool.members if even.excess(leader) < 0 and even.has_room_for(leader, 0.0)]
    if not takers or not any(even.is_out(leader) for leader in (*givers, *takers)):
        return Verdict.BALANCED
    return even.run(givers, takers)


@dataclass(frozen=True, slots=True)
class _Even:
    desk: Desk
    pool: Pool
    share: float
    """Partitions for each unit of capacity."""
    mean_use: float

    def excess(self, leader: int) -> float:
        return self.desk.counts[leader] - self.share * self.desk.leaders[leader].capacity

    def is_out(self, leader: int, part: float = 1.0) -> bool:
        """Out of the band, or of ``part`` of it."""
        goals, excess = self.desk.goals, abs(self.excess(leader))
        mean = self.share * self.desk.leaders[leader].capacity
        return excess > goals.counts_min * part and excess > goals.band * part * mean

    def has_room_for(self, leader: int, load: float) -> bool:
        desk = self.desk
        most = self.mean_use * (1 + desk.goals.band / 2) * desk.leaders[leader].capacity + desk.goals.load_min
        return desk.loads[leader] + load <= most

    def can_spare(self, leader: int, load: float) -> bool:
        desk = self.desk
        least = self.mean_use * (1 - desk.goals.band / 2) * desk.leaders[leader].capacity - desk.goals.load_min
        return desk.loads[leader] - load >= least

    def run(self, givers: list[int], takers: list[int]) -> Verdict:
        desk = self.desk
        sources = [(-self._ratio(leader), leader) for leader in givers]
        heapq.heapify(sources)
        targets = _Targets(self, takers)
        while sources:
            _, source = heapq.heappop(sources)
            places = self._light(source)
            while places and self.excess(source) > 0.5:
                place = places.pop()
                target = targets.first(desk.partitions[place].wal_class)
                if target is None or not (self.is_out(source, 0.5) or self.is_out(target, 0.5)):
                    break
                if not desk.room:
                    return Verdict.BOUND
                load = desk.partitions[place].load
                if not self.can_spare(source, load) or not self.has_room_for(target, load):
                    break  # the next ones are heavier
                desk.move(place, source, target, Reason.COUNT)
                targets.changed(target)
        return Verdict.BALANCED

    def _ratio(self, leader: int) -> float:
        return self.desk.counts[leader] / self.desk.leaders[leader].capacity

    def _light(self, source: int) -> list[int]:
        """What may be moved for its number, the lightest last."""
        desk = self.desk
        light = [
            place
            for place in desk.own[source]
            if desk.partitions[place].load < desk.goals.load_min and desk.may_move(place)
        ]
        return sorted(light, key=lambda place: (desk.partitions[place].load, place), reverse=True)


class _Targets:
    """The leader that lacks most, of each WAL class."""

    def __init__(self, even: _Even, leaders: list[int]) -> None:
        self._even = even
        self._heaps: dict[str, list[tuple[float, int]]] = {}
        for leader in leaders:
            self.changed(leader)

    def first(self, wal_class: str) -> int | None:
        heap = self._heaps.get(wal_class, [])
        while heap and heap[0][0] != self._even.excess(heap[0][1]):
            heapq.heappop(heap)
        return heap[0][1] if heap else None

    def changed(self, leader: int) -> None:
        """It goes on being one as long as it lacks a whole partition."""
        excess = self._even.excess(leader)
        if excess > -0.5:
            return
        for wal_class in self._even.desk.leaders[leader].wal_classes:
            heapq.heappush(self._heaps.setdefault(wal_class, []), (excess, leader))
