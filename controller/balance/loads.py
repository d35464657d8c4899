"""Levelling a pool's loads: from the most used leader to the least used one, as long as that pays.

A pool is touched when a leader is out of the band by more than a move is worth, or has more than it can take while others have
less. Then leaders are brought within half of the band, so that noise does not soon bring them out of it again. A partition is
worth a move by its own load, and after it both leaders have less use than its source had: so a chain of moves has an end.
"""

import heapq
from bisect import bisect_right
from dataclasses import dataclass, field

from controller.balance.desk import Desk, by_load
from controller.balance.plan import Reason, Verdict
from controller.balance.pools import Pool


def level_loads(desk: Desk, pool: Pool) -> Verdict:
    if len(pool.members) < 2:
        return Verdict.ONE_LEADER
    if not all(desk.leaders[leader].is_measured for leader in pool.members):
        return Verdict.UNMEASURED
    level = _Level(desk, pool, pool.mean_use(desk))
    if not any(level.is_out(leader) for leader in pool.members):
        return Verdict.BALANCED
    return level.run()


@dataclass(slots=True)
class _Level:
    desk: Desk
    pool: Pool
    mean: float
    _candidates: dict[int, dict[str, list[int]]] = field(default_factory=dict)

    def is_out(self, leader: int) -> bool:
        """Whether the leader is a reason to do something."""
        use, band = self.desk.use(leader), self.desk.goals.band * self.mean
        excess = (use - self.mean) * self.desk.leaders[leader].capacity
        if abs(excess) <= self.desk.goals.load_min:
            return False
        return abs(use - self.mean) > band or (use > 1 and excess > 0)

    def run(self) -> Verdict:
        desk, pool = self.desk, self.pool
        sources = [(-desk.use(leader), leader) for leader in pool.members if desk.use(leader) > self.mean]
        heapq.heapify(sources)
        while sources:
            use, source = heapq.heappop(sources)
            if -use != desk.use(source):
                continue
            if not self._has_too_much(source) and not self._somebody_has_too_little():
                break
            if not desk.room:
                return Verdict.BOUND
            found = self._best(source)
            if found is None:
                continue
            place, target = found
            self._forget(source, place)
            desk.move(place, source, target, Reason.CAPACITY if -use > 1 else Reason.LOAD)
            for leader in (source, target):
                if desk.use(leader) > self.mean:
                    heapq.heappush(sources, (-desk.use(leader), leader))
        is_out = any(self.is_out(leader) for leader in pool.members)
        return Verdict.NO_MOVE_PAYS if is_out else Verdict.BALANCED

    def _has_too_much(self, leader: int) -> bool:
        desk = self.desk
        use = desk.use(leader)
        excess = (use - self.mean) * desk.leaders[leader].capacity
        return excess > desk.goals.load_min and (use > self.mean * (1 + desk.goals.band / 2) or use > 1)

    def _somebody_has_too_little(self) -> bool:
        desk = self.desk
        for wal_class in self.pool.wal_classes:
            leader = desk.least_used(wal_class)
            if leader is None:
                continue
            use = desk.use(leader)
            lack = (self.mean - use) * desk.leaders[leader].capacity
            if lack > desk.goals.load_min and use < self.mean * (1 - desk.goals.band / 2):
                return True
        return False

    def _best(self, source: int) -> tuple[int, int] | None:
        """The partition of the source that brings most, and who is to get it."""
        best: tuple[float, int, int] | None = None
        for wal_class, places in self._movable(source).items():
            target = self.desk.least_used(wal_class)
            if target is None or target == source or not places:
                continue
            place = self._fitting(source, target, places)
            if place is not None:
                load = self.desk.partitions[place].load
                if best is None or load > best[0]:
                    best = load, place, target
        return None if best is None else best[1:]

    def _fitting(self, source: int, target: int, places: list[int]) -> int | None:
        """The heaviest that leaves both near the mean; if the source has too much, else the lightest that makes it better."""
        desk, mean = self.desk, self.mean
        own, other = desk.leaders[source].capacity, desk.leaders[target].capacity
        equal = (desk.use(source) - desk.use(target)) * own * other / (own + other)
        slack = mean * desk.goals.band / 4
        limit = min(
            equal,
            desk.loads[source] - (mean - slack) * own,
            (mean + slack) * other - desk.loads[target],
        )
        at = bisect_right(places, limit, key=lambda place: desk.partitions[place].load)
        if at > 0:
            return places[at - 1]
        lightest = places[0]
        target_use = (desk.loads[target] + desk.partitions[lightest].load) / other
        is_better = target_use <= desk.use(source) - mean * desk.goals.band / 2
        return lightest if is_better and self._has_too_much(source) else None

    def _movable(self, source: int) -> dict[str, list[int]]:
        desk = self.desk
        if source not in self._candidates:
            worth_it = [
                place
                for place in desk.own[source]
                if desk.partitions[place].load >= desk.goals.load_min and desk.may_move(place)
            ]
            self._candidates[source] = by_load(desk.partitions, worth_it)
        return self._candidates[source]

    def _forget(self, source: int, place: int) -> None:
        self._candidates[source][self.desk.partitions[place].wal_class].remove(place)
