"""How a node is emptied that is to go: its partitions move to leaders elsewhere, then it loses its broker and its roles. Pure.

A node drains because Ray says so (a preemption, a node that is taken away), because an operator does, or because fewer nodes do
(``controller.scaling``). Each is in the metadata until that start of the node is gone, or whoever wanted it takes it back. So
long the node gets nothing new, and clients are sent to the brokers of other nodes (``controller.brokers.shown_brokers``).
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from controller.brokers import shown_brokers
from controller.nodes import Node, can_be_placed, pool, spread
from controller.placement import free_dedicated
from controller.records import BrokerRetired, Destination, LeaderAdded, NodeDraining, PartitionsMoving, Record
from controller.state import LeaderState, MetadataState
from raylog.model.errors import InvalidError
from raylog.model.ids import LeaderId, TopicPartition


def with_drains(state: MetadataState, nodes: Sequence[Node]) -> tuple[Node, ...]:
    """The nodes, with what operators drain among those that drain."""
    return tuple(replace(node, is_draining=True) if _is_drained(state, node) else node for node in nodes)


def keep_drains(state: MetadataState, nodes: Sequence[Node]) -> tuple[Record, ...]:
    """What follows for the drains in the metadata when these nodes are there, and no others, of which those are draining that Ray
    drains: they are recorded, and drains of starts that are gone are over. So are those of operators that would leave no node
    to serve clients, as the others have gone meanwhile."""
    present = {(node.name, node.start_id) for node in nodes}
    gone = [
        _drain(name, start_id, False) for name, start_id in state.draining.items() if (name, start_id) not in present
    ]
    new = [
        _drain(node.name, node.start_id, True) for node in nodes if node.is_draining and not _is_drained(state, node)
    ]
    if all(node.is_draining or _is_drained(state, node) for node in nodes):
        gone += [_drain(node.name, node.start_id, False) for node in nodes if not node.is_draining]
    return (*gone, *new)


def order_drain(state: MetadataState, nodes: Sequence[Node], name: str, *, drain: bool) -> tuple[Record, ...]:
    """An operator has a node emptied, or takes that back; what was drained for scaling is the operator's from then on. Raises
    InvalidError where that cannot be."""
    node = next((node for node in nodes if node.name == name), None)
    if node is None:
        names = ", ".join(node.name for node in nodes)
        raise InvalidError(
            f"There is no node '{name}': 'raylog status --address' shows those that are there ({names})."
        )
    if node.is_draining and not drain:
        raise InvalidError(
            f"It is Ray that takes node '{name}' away, which nobody can take back: start another node instead."
        )
    if _is_drained(state, node) == drain and name not in state.given_back:
        return ()
    if drain and all(other.is_draining for other in with_drains(state, nodes) if other.name != name):
        raise InvalidError(
            f"Node '{name}' is the last one that is not drained, and what it leads has nowhere to go: start another node first, "
            "or end Raylog with 'raylog stop'."
        )
    return (_drain(name, node.start_id, drain),)


def give_back(state: MetadataState, nodes: Sequence[Node], name: str) -> tuple[Record, ...]:
    """Have a node emptied because fewer do; none if it drains already, or is gone."""
    found = next((node for node in with_drains(state, nodes) if node.name == name and not node.is_draining), None)
    return () if found is None else (_drain(name, found.start_id, True, for_scaling=True),)


def take_back(state: MetadataState, name: str) -> tuple[Record, ...]:
    """Have a node serve again that was drained because fewer did; none if somebody else drains it, or it is gone."""
    return (_drain(name, state.draining[name], False),) if name in state.given_back else ()


def evacuate(state: MetadataState, nodes: Sequence[Node], is_there: Callable[[LeaderId], bool]) -> tuple[Record, ...]:
    """Moves for all that is led on draining nodes or is to go there. What cannot move yet (it is being taken over) is left for a
    later look, and what no other node can lead stays.

    A move begins when its target is there, and the node may have but seconds: so leaders of which ``is_there`` says that they
    are come before those that still start, and what waits for one of these goes to one that is there instead. The balance levels
    what that leaves uneven."""
    leaving = {node.name for node in nodes if node.is_draining}
    leavers = [leader for leader in state.leaders.values() if leader.node in leaving]
    targets = _Targets(state, nodes, is_there)
    moves: list[Destination] = []
    for leader in leavers:
        moves += (
            Destination(*partition, target)
            for partition in state.led_by(leader.leader_id)
            if (target := _next_leader(state, leader, partition, leaving, targets)) is not None
        )
        for partition in state.expected(leader.leader_id):
            present = state.present_leader(partition)
            if state.leaders[present].node not in leaving:
                moves.append(Destination(*partition, present))
    return (*targets.added, PartitionsMoving(moves=tuple(moves))) if moves else ()


def emptied(state: MetadataState, nodes: Sequence[Node]) -> list[Node]:
    """The draining nodes on which nobody leads anything, or is to, as soon as clients have another broker."""
    busy = {leader.node for leader in state.leaders.values() if state.is_needed(leader.leader_id)}
    leaving = {node.name for node in nodes if node.is_draining}
    if all(broker.node_id in leaving for broker in shown_brokers(state)):
        return []
    return [node for node in nodes if node.name in leaving - busy]


def retire(state: MetadataState, node: Node) -> tuple[Record, ...]:
    """The node's broker is no more."""
    broker = state.brokers.get(node.name)
    return (BrokerRetired(node_id=node.name),) if broker is not None and not broker.retired else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What a draining node still has."""

    partitions: int
    """Led there, or on their way there."""
    staying: dict[str, int]
    """Those of them that no node can take which does not drain, by WAL class."""


def left_on(state: MetadataState, nodes: Sequence[Node], name: str) -> Left:
    counts: Counter[str] = Counter()
    for leader in state.leaders.values():
        if leader.node == name:
            counts[leader.wal_class] += state.partition_count(leader.leader_id) + len(state.expected(leader.leader_id))
    staying = {
        wal_class: count for wal_class, count in sorted(counts.items()) if count and not can_be_placed(wal_class, nodes)
    }
    return Left(partitions=counts.total(), staying=staying)


def _is_drained(state: MetadataState, node: Node) -> bool:
    return state.draining.get(node.name) == node.start_id


def _drain(name: str, start_id: str, is_draining: bool, *, for_scaling: bool = False) -> NodeDraining:
    return NodeDraining(node=name, start_id=start_id, is_draining=is_draining, for_scaling=for_scaling)


def _next_leader(
    state: MetadataState, leaver: LeaderState, partition: TopicPartition, leaving: set[str], targets: "_Targets"
) -> LeaderId | None:
    """Who is to lead the partition instead of who does, or was to; None: it stays as it is."""
    found = state.partition(partition)
    assert found is not None, partition
    if found.epoch_base is None:
        return None
    if found.moving_to is None or state.leaders[found.moving_to].node in leaving:
        return targets.next(leaver)
    return None if targets.is_there(found.moving_to) else targets.next_there(leaver)


class _Targets:
    """Where to: for shared leaders' partitions those of the class that are there, of these those that lead least, for a
    dedicated leader's one of its own."""

    def __init__(self, state: MetadataState, nodes: Sequence[Node], is_there: Callable[[LeaderId], bool]) -> None:
        self._state = state
        self._nodes = nodes
        self.is_there = is_there
        self._shared: dict[str, list[tuple[bool, int, LeaderId]]] = {}
        self._free: dict[str, Iterator[LeaderId]] = {}
        self._homes: dict[str, Iterator[Node]] = {}
        self._next_id = state.next_leader_id()
        self.added: list[LeaderAdded] = []

    def next(self, leaver: LeaderState) -> LeaderId | None:
        """None where no node takes the class, or has not got its leaders yet."""
        if not can_be_placed(leaver.wal_class, self._nodes):
            return None
        return self._next_dedicated(leaver.wal_class) if leaver.dedicated else self._next_shared(leaver.wal_class)

    def next_there(self, leaver: LeaderState) -> LeaderId | None:
        """The same if that is there; a dedicated leader is started for what it gets, so none is."""
        if leaver.dedicated:
            return None
        heap = self._heap(leaver.wal_class)
        return None if not heap or heap[0][0] else _take(heap)

    def _next_shared(self, wal_class: str) -> LeaderId | None:
        heap = self._heap(wal_class)
        return _take(heap) if heap else None

    def _heap(self, wal_class: str) -> list[tuple[bool, int, LeaderId]]:
        """Those to choose from, each with whether it is yet to start, and its partitions, as they will be."""
        state = self._state
        if wal_class not in self._shared:
            leaders = pool(state, self._nodes, wal_class)
            heap = [
                (not self.is_there(id_), state.partition_count(id_) + len(state.expected(id_)), id_) for id_ in leaders
            ]
            heapq.heapify(heap)
            self._shared[wal_class] = heap
        return self._shared[wal_class]

    def _next_dedicated(self, wal_class: str) -> LeaderId:
        free = self._free.setdefault(wal_class, iter(free_dedicated(self._state, self._nodes, wal_class)))
        found = next(free, None)
        return self._add_dedicated(wal_class) if found is None else found

    def _add_dedicated(self, wal_class: str) -> LeaderId:
        home = next(self._homes.setdefault(wal_class, spread(self._state, self._nodes, wal_class)))
        leader_id, self._next_id = self._next_id, LeaderId(self._next_id + 1)
        self.added.append(
            LeaderAdded(
                leader_id=leader_id, wal_class=wal_class, dedicated=True, node=home.name, mount=home.mounts[wal_class]
            )
        )
        return leader_id


def _take(heap: list[tuple[bool, int, LeaderId]]) -> LeaderId:
    """The first one, which has one partition more from now on."""
    is_down, load, leader_id = heap[0]
    heapq.heapreplace(heap, (is_down, load + 1, leader_id))
    return leader_id
