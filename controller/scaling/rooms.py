"""What is asked of whoever has nodes (Ray's autoscaler): a room for each node that is to be there. Pure.

Nodes that are there are asked for as they are, each with its own size, so that they fill their own rooms. Those that are to go
are asked for until nothing runs there any more: only then may they be taken.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from controller.scaling.need import Need
from controller.scaling.views import ClusterSight, NodeView, Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A node that is to be there."""

    cpus: float
    mounts: Mapping[str, str] = field(default_factory=dict)
    """WAL classes that it must take, each with what must be mounted for that; "" where a class has no mount of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    rooms: tuple[Room, ...] = ()
    without: tuple[str, ...] = ()
    """Nodes that are no rooms, though they are there: they may be taken."""


def request_for(sight: ClusterSight, need: Need, wanted: int) -> Request:
    serving = [node for node in sight.nodes if node.standing is Standing.SERVES]
    some = _some_classes(serving)
    staying = [node for node in sight.nodes if node.standing is not Standing.LEFT]
    rooms = [Room(cpus=node.cpus, mounts=_only(node.mounts, some)) for node in staying if node.cpus]
    further = max(0, wanted - len(serving))
    cpus = _usual_cpus(serving)
    kinds = _kinds_wanted(serving, need)
    rooms += [Room(cpus=cpus, mounts=next(kinds, {})) for _ in range(further)]
    return Request(rooms=tuple(rooms), without=tuple(n.name for n in sight.nodes if n.standing is Standing.LEFT))


def _some_classes(serving: list[NodeView]) -> set[str]:
    """Those that not every node has, or not all with the same mount."""
    every = {name for node in serving for name in node.mounts}
    return {name for name in every if len({node.mounts.get(name) for node in serving}) > 1}


def _only(mounts: Mapping[str, str], names: set[str]) -> dict[str, str]:
    return {name: mount for name, mount in mounts.items() if name in names}


def _usual_cpus(serving: list[NodeView]) -> float:
    """Of a further node: what most have, but for the head, of which there is but one."""
    sizes = Counter(node.cpus for node in serving if node.cpus and not node.is_head)
    sizes = sizes or Counter(node.cpus for node in serving if node.cpus)
    return max(sizes, key=lambda size: (sizes[size], size), default=1.0)


def _kinds_wanted(serving: list[NodeView], need: Need) -> Iterator[dict[str, str]]:
    """For each further node with a WAL class that only some have: what it must have. A mount that only one node has is that
    node's own, so that nobody can be asked for another one."""
    for wal_class, needed in sorted(need.by_class.items()):
        mounts = Counter(node.mounts[wal_class] for node in serving if wal_class in node.mounts)
        shared = max(mounts, key=lambda mount: (mounts[mount], mount), default="")
        for _ in range(needed - mounts.total()):
            yield {wal_class: shared} if not shared or mounts[shared] > 1 else {}
