"""The first goal: every partition is where it may be. A move for this is planned whatever it costs, within the bound."""

from collections import Counter, deque

from controller.balance.desk import Desk
from controller.balance.plan import Reason, Shortage
from controller.balance.views import LeaderView, PartitionView, Standing


def keep_constraints(desk: Desk) -> tuple[Shortage, ...]:
    """Plan the moves of partitions that must leave, the heaviest first; answers with those that nobody may take."""
    leaving = [
        (place, leader, reason)
        for leader, view in enumerate(desk.leaders)
        if view.standing is not Standing.AWAY
        for place, reason in _leaving(desk, leader)
    ]
    leaving.sort(key=lambda one: (-desk.partitions[one[0]].load, one[0]))
    free = _FreeLeaders(desk)
    short: Counter[tuple[str, bool]] = Counter()
    for place, leader, reason in leaving:
        partition = desk.partitions[place]
        wal_class = partition.wal_class
        target = free.first(wal_class) if partition.dedicated else desk.least_used(wal_class)
        if target is None:
            short[wal_class, partition.dedicated] += 1
        elif desk.room:
            if partition.dedicated:
                free.take(wal_class)
            desk.move(place, leader, target, reason)
    return tuple(
        Shortage(wal_class=wal_class, dedicated=dedicated, partitions=count)
        for (wal_class, dedicated), count in sorted(short.items())
    )


def must_leave(partition: PartitionView, leader: LeaderView) -> Reason | None:
    """Why a partition may not stay with its leader, whatever else is there."""
    if leader.standing is Standing.DRAINING:
        return Reason.DRAINED
    if leader.standing is Standing.SURPLUS:
        return Reason.SURPLUS
    if partition.wal_class not in leader.wal_classes:
        return Reason.WAL
    if partition.dedicated and not leader.dedicated:
        return Reason.OWN_LEADER
    if leader.dedicated and not partition.dedicated:
        return Reason.NOT_FOR_ITSELF
    return None


def _leaving(desk: Desk, leader: int) -> list[tuple[int, Reason]]:
    view = desk.leaders[leader]
    found: list[tuple[int, Reason]] = []
    has_one = False
    for place in desk.own[leader]:
        partition = desk.partitions[place]
        reason = must_leave(partition, view)
        if reason is None and view.dedicated:
            reason = Reason.OWN_LEADER if has_one else None
            has_one = True
        if reason is not None and partition.is_settled:
            found.append((place, reason))
    return found


class _FreeLeaders:
    """Dedicated leaders that lead nothing, and that nothing is on its way to."""

    def __init__(self, desk: Desk) -> None:
        self._by_class: dict[str, deque[int]] = {}
        self._taken: set[int] = set()
        for place, leader in enumerate(desk.leaders):
            if leader.dedicated and leader.standing is Standing.OPEN and not desk.counts[place]:
                for wal_class in leader.wal_classes:
                    self._by_class.setdefault(wal_class, deque()).append(place)

    def first(self, wal_class: str) -> int | None:
        free = self._by_class.get(wal_class, deque())
        while free and free[0] in self._taken:
            free.popleft()
        return free[0] if free else None

    def take(self, wal_class: str) -> None:
        self._taken.add(self._by_class[wal_class].popleft())
