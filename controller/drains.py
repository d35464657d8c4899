"""How a node is emptied that is to go: its partitions move to leaders elsewhere, then it loses its broker and its roles. Pure.

A node drains because Ray says so (a preemption, a node that is taken away) or because an operator does, which is in the metadata
until the node is gone.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import replace

from controller.nodes import Node, pool, spread
from controller.records import BrokerRetired, Destination, LeaderAdded, PartitionsMoving, Record
from controller.state import LeaderState, MetadataState
from raylog.model.ids import LeaderId, TopicPartition


def with_drains(state: MetadataState, nodes: Sequence[Node]) -> tuple[Node, ...]:
    """The nodes, of which those that an operator drains are draining as well."""
    return tuple(replace(node, is_draining=True) if node.name in state.draining else node for node in nodes)


def evacuate(state: MetadataState, nodes: Sequence[Node]) -> tuple[Record, ...]:
    """Moves for all that is led on draining nodes or is to go there. What cannot move yet (it is being taken over) is left for a
    later look, and what no other node can lead stays."""
    leaving = {node.name for node in nodes if node.is_draining}
    leavers = [leader for leader in state.leaders.values() if leader.node in leaving]
    targets = _Targets(state, nodes)
    moves: list[Destination] = []
    for leader in leavers:
        moves += (
            Destination(*partition, target)
            for partition in state.led_by(leader.leader_id)
            if _is_to_move(state, partition, leaving) and (target := targets.next(leader)) is not None
        )
        for partition in state.expected(leader.leader_id):
            present = state.present_leader(partition)
            if state.leaders[present].node not in leaving:
                moves.append(Destination(*partition, present))
    return (*targets.added, PartitionsMoving(moves=tuple(moves))) if moves else ()


def _is_to_move(state: MetadataState, partition: TopicPartition, leaving: set[str]) -> bool:
    found = state.partition(partition)
    assert found is not None, partition
    goes_to = found.leader_id if found.moving_to is None else found.moving_to
    return found.epoch_base is not None and state.leaders[goes_to].node in leaving


class _Targets:
    """Where to: for shared leaders' partitions those of the class that lead least, for a dedicated leader's one of its own."""

    def __init__(self, state: MetadataState, nodes: Sequence[Node]) -> None:
        self._state = state
        self._nodes = nodes
        self._shared: dict[str, list[tuple[int, LeaderId]]] = {}
        self._homes: dict[str, Iterator[Node]] = {}
        self._next_id = state.next_leader_id()
        self.added: list[LeaderAdded] = []

    def next(self, leaver: LeaderState) -> LeaderId | None:
        """None where no node takes the class."""
        return self._next_dedicated(leaver.wal_class) if leaver.dedicated else self._next_shared(leaver.wal_class)

    def _next_shared(self, wal_class: str) -> LeaderId | None:
        state = self._state
        if wal_class not in self._shared:
            leaders = pool(state, self._nodes, wal_class)
            heap = [(state.partition_count(id_) + len(state.expected(id_)), id_) for id_ in leaders]
            heapq.heapify(heap)
            self._shared[wal_class] = heap
        heap = self._shared[wal_class]
        if not heap:
            return None
        load, leader_id = heap[0]
        heapq.heapreplace(heap, (load + 1, leader_id))
        return leader_id

    def _next_dedicated(self, wal_class: str) -> LeaderId | None:
        homes = self._homes.setdefault(wal_class, spread(self._state, self._nodes, wal_class))
        home = next(homes, None)
        if home is None:
            return None
        added = LeaderAdded(
            leader_id=self._next_id, wal_class=wal_class, dedicated=True, node=home.name, mount=home.mounts[wal_class]
        )
        self._next_id = LeaderId(self._next_id + 1)
        self.added.append(added)
        return added.leader_id


def emptied(state: MetadataState, nodes: Sequence[Node]) -> list[Node]:
    """The draining nodes on which nobody leads anything, or is to."""
    busy = {leader.node for leader in state.leaders.values() if state.is_needed(leader.leader_id)}
    return [node for node in nodes if node.is_draining and node.name not in busy]


def retire(state: MetadataState, node: Node) -> tuple[Record, ...]:
    """Send clients no more to the node."""
    broker = state.brokers.get(node.name)
    return (BrokerRetired(node_id=node.name),) if broker is not None and not broker.retired else ()
