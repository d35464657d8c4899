"""Which leaders share their partitions: those of one WAL class, and of all classes that some leader serves together."""

from dataclasses import dataclass

from controller.balance.desk import Desk, is_shared


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    wal_classes: tuple[str, ...]
    members: tuple[int, ...]
    """Leaders that may get partitions and be asked for them, by their places at the desk."""
    capacity: float

    def mean_use(self, desk: Desk) -> float:
        return sum(desk.loads[leader] for leader in self.members) / self.capacity

    def partitions_per_capacity(self, desk: Desk) -> float:
        return sum(desk.counts[leader] for leader in self.members) / self.capacity


def pools_of(desk: Desk) -> list[Pool]:
    """In the order of their WAL classes' names."""
    joined: dict[str, str] = {}

    def root(wal_class: str) -> str:
        while joined[wal_class] != wal_class:
            wal_class = joined[wal_class]
        return wal_class

    members = [place for place, leader in enumerate(desk.leaders) if is_shared(leader)]
    for place in members:
        first, *others = sorted(desk.leaders[place].wal_classes)
        joined.setdefault(first, first)
        for other in others:
            joined.setdefault(other, other)
            joined[max(root(first), root(other))] = min(root(first), root(other))
    by_root: dict[str, list[int]] = {}
    for place in members:
        by_root.setdefault(root(min(desk.leaders[place].wal_classes)), []).append(place)
    return [
        Pool(
            wal_classes=tuple(sorted(wal_class for wal_class in joined if root(wal_class) == name)),
            members=tuple(places),
            capacity=sum(desk.leaders[place].capacity for place in places),
        )
        for name, places in sorted(by_root.items())
    ]
