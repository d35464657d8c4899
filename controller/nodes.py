"""The nodes that roles may run on, and which leaders each is to have. Pure; who knows the nodes (Ray does) tells the controller.

A leader has a node where it is to run, which follows it when it is started elsewhere. Its WAL may lie on something that only some
nodes have mounted, a *mount*: then it goes only where the same one is.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from controller.brokers import retire_brokers_except
from controller.records import LeaderAdded, LeaderPlaced, Record
from controller.state import LeaderState, MetadataState
from raylog.model.ids import LeaderId


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    name: str
    """The same for ever: a node that comes back has its broker id and its leaders again."""
    address: str = ""
    """Where its gateways listen, as other nodes reach them: host:port."""
    zone: str | None = None
    mounts: dict[str, str] = field(default_factory=dict)
    """The WAL classes whose leaders may run here, each with its mount; "" for a class that every node has."""
    leaders: int = 1
    """Shared leaders that a WAL class is to have here."""
    cpus: float = 0.0
    """Those that Ray counts; 0 where it counts none, as on a head that takes no other work."""
    is_head: bool = False
    """Ray cannot do without it."""
    start_id: str = ""
    """Another one after each start of the node, with which its gateways end."""
    is_draining: bool = False
    """It is to lose what it has, and gets nothing more."""

    def takes(self, wal_class: str) -> bool:
        """Whether new leaders of the class may be placed here."""
        return wal_class in self.mounts and not self.is_draining

    def can_run(self, leader: LeaderState) -> bool:
        """Whether the leader would find its WAL here."""
        mount = self.mounts.get(leader.wal_class)
        return mount is not None and (not mount or leader.mount in ("", mount))


def settle(state: MetadataState, nodes: Sequence[Node]) -> tuple[Record, ...]:
    """What follows when these nodes are there, and no others: brokers of the others are retired, and each WAL class in use has
    its leaders on every node that takes it."""
    used = dict.fromkeys(leader.wal_class for leader in state.leaders.values() if not leader.dedicated)
    records = list(retire_brokers_except(state, {node.name for node in nodes}))
    first = state.next_leader_id()
    for wal_class in used:
        missing = missing_leaders(state, nodes, wal_class, first)
        records += missing
        first = LeaderId(first + sum(isinstance(record, LeaderAdded) for record in missing))
    return tuple(records)


def on_gone_nodes(state: MetadataState, before: Iterable[Node], now: Iterable[Node]) -> list[LeaderId]:
    """The leaders that were last known on a node that was there before, and is not now, or has started anew."""
    gone = {(node.name, node.start_id) for node in before} - {(node.name, node.start_id) for node in now}
    names = {name for name, _ in gone}
    return [
        leader.leader_id for leader in state.leaders.values() if leader.endpoint and leader.endpoint.node_id in names
    ]


def missing_leaders(
    state: MetadataState, nodes: Sequence[Node], wal_class: str, first: LeaderId
) -> list[LeaderAdded | LeaderPlaced]:
    """The shared leaders of a class that its nodes are short of. New ones have the numbers from ``first`` on, but before that
    those of nodes that are gone, who lead nothing, are placed anew: a cluster whose nodes come and go would gather leaders.
    """
    present = {node.name for node in nodes}
    shared = shared_leaders(state, wal_class)
    counts = Counter(leader.node for leader in shared)
    idle = [leader for leader in shared if leader.node not in present and not state.is_needed(leader.leader_id)]
    missing: list[LeaderAdded | LeaderPlaced] = []
    for node in _taking(nodes, wal_class):
        for _ in range(node.leaders - counts[node.name]):
            mount = node.mounts[wal_class]
            again = next((leader for leader in idle if node.can_run(leader)), None)
            if again is None:
                missing.append(LeaderAdded(leader_id=first, wal_class=wal_class, node=node.name, mount=mount))
                first = LeaderId(first + 1)
            else:
                idle.remove(again)
                missing.append(LeaderPlaced(leader_id=again.leader_id, node=node.name, mount=mount))
    return missing


def surplus(state: MetadataState, nodes: Sequence[Node]) -> frozenset[LeaderId]:
    """The shared leaders beyond what their node is to have of a class, as those of nodes that died are started on others: those
    that lead least, of equals the youngest. They are to be emptied, or a node that survives others would gather leaders, and
    with each of them another share of the load."""
    classes = {leader.wal_class for leader in state.leaders.values()}
    return frozenset().union(*(_surplus_of(state, nodes, shared_leaders(state, name)) for name in classes))


def _surplus_of(state: MetadataState, nodes: Sequence[Node], shared: Sequence[LeaderState]) -> set[LeaderId]:
    """Those among all the shared leaders of one class."""
    kept = {node.name: node.leaders for node in nodes}
    by_node: dict[str, list[LeaderId]] = {}
    for leader in shared:
        if leader.node in kept:
            by_node.setdefault(leader.node, []).append(leader.leader_id)
    found: set[LeaderId] = set()
    for name, leaders in by_node.items():
        leaders.sort(key=lambda leader_id: (-state.partition_count(leader_id), leader_id))
        found.update(leaders[kept[name] :])
    return found


def pool(state: MetadataState, nodes: Sequence[Node], wal_class: str) -> list[LeaderId]:
    """The shared leaders of a class on nodes that take it, without those that are too many there."""
    taking = {node.name for node in _taking(nodes, wal_class)}
    shared = shared_leaders(state, wal_class)
    left_out = _surplus_of(state, nodes, shared)
    return [leader.leader_id for leader in shared if leader.node in taking and leader.leader_id not in left_out]


def shared_leaders(state: MetadataState, wal_class: str) -> list[LeaderState]:
    """All of a class, wherever they are to run."""
    return [leader for leader in state.leaders.values() if leader.wal_class == wal_class and not leader.dedicated]


def spread(state: MetadataState, nodes: Sequence[Node], wal_class: str) -> Iterator[Node]:
    """Nodes for further leaders of a class: again and again that which has the fewest leaders. Empty if none takes it."""
    counts = Counter(leader.node for leader in state.leaders.values())
    taking = list(_taking(nodes, wal_class))
    while taking:
        node = min(taking, key=lambda one: (counts[one.name], one.name))
        counts[node.name] += 1
        yield node


def can_be_placed(wal_class: str, nodes: Sequence[Node]) -> bool:
    """Whether a further leader of the class has somewhere to go. Where nobody tells of nodes, it has."""
    return not nodes or any(_taking(nodes, wal_class))


def waits_for_a_node(leader: LeaderState, nodes: Iterable[Node]) -> bool:
    """Whether no node there is has its WAL. Where nobody tells of nodes, none is waited for."""
    known = list(nodes)
    return bool(known) and not any(node.can_run(leader) for node in known)


def _taking(nodes: Iterable[Node], wal_class: str) -> Iterator[Node]:
    return (node for node in nodes if node.takes(wal_class))
