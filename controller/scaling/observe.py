"""From the metadata, the nodes and the books of loads to the size planner's view of the cluster. A plain read, O(leaders)."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping

from controller.balance.book import LeaderLoad, LoadBook
from controller.nodes import Node, waits_for_a_node
from controller.rules import ClusterRules
from controller.scaling.gateways import GatewayBook
from controller.scaling.views import ClusterSight, Demand, Kind, NodeView, Standing
from controller.state import LeaderState, MetadataState
from raylog.model.ids import LeaderId


class Observer:
    """Remembers since when each start of a node is known."""

    def __init__(
        self,
        book: LoadBook,
        gateways: GatewayBook,
        is_cleared: Callable[[Node], bool],
        is_resting: Callable[[LeaderId], bool],
        own_node: str,
        *,
        capacity: float,
    ) -> None:
        """``capacity`` is that of a leader on a usual node. Leaders that rest have nothing to do."""
        self._book = book
        self._gateways = gateways
        self._is_cleared = is_cleared
        self._is_resting = is_resting
        self._own_node = own_node
        self._capacity = capacity
        self._known_since_s: dict[str, float] = {}

    def look(self, state: MetadataState, rules: ClusterRules, now_s: float) -> ClusterSight:
        self._known_since_s = {node.start_id: self._known_since_s.get(node.start_id, now_s) for node in rules.nodes}
        standings = {node.name: self._standing(state, node) for node in rules.nodes}
        serving = [node for node in rules.nodes if standings[node.name] is Standing.SERVES]
        at_work = [
            leader
            for leader in state.leaders.values()
            if state.is_needed(leader.leader_id)
            and not self._is_resting(leader.leader_id)
            and not waits_for_a_node(leader, rules.nodes)
        ]
        reports = {leader.leader_id: self._report(leader) for leader in at_work}
        told = [(leader, report) for leader in at_work if (report := reports[leader.leader_id]) is not None]
        capacities = self._capacities(state, serving)
        loads: dict[str, float] = defaultdict(float)
        by_node: dict[str, float] = defaultdict(float)
        for leader, report in told:
            by_node[leader.node] += report.weight
            if not leader.dedicated:
                loads[leader.wal_class] += report.weight
        self._gateways.forget_all_but(standings)
        gateways = {node.name: self._gateways.on(node.name) for node in rules.nodes}
        gateways_cpu = sum(sum(cpus) for cpus in gateways.values())
        cpu = gateways_cpu + sum(report.cpu for _, report in told)
        partitions: Counter[str] = Counter()
        for leader in state.leaders.values():
            partitions[leader.node] += state.partition_count(leader.leader_id)
        return ClusterSight(
            nodes=tuple(
                NodeView(
                    name=node.name,
                    standing=standings[node.name],
                    cpus=node.cpus,
                    mounts=node.mounts,
                    use=by_node[node.name] / (node.leaders * self._capacity),
                    partitions=partitions[node.name],
                    age_s=now_s - self._known_since_s[node.start_id],
                    is_head=node.is_head,
                    has_controller=node.name == self._own_node,
                )
                for node in rules.nodes
            ),
            demands=(
                *self._load_demands(loads, capacities),
                *_gateway_demand(gateways_cpu, sum(len(gateways[node.name]) for node in serving)),
                *_cpu_demand(cpu, sum(node.cpus for node in serving)),
            ),
            is_measured=len(told) == len(at_work) and all(gateways[node.name] for node in serving),
        )

    def _standing(self, state: MetadataState, node: Node) -> Standing:
        if not node.is_draining:
            return Standing.SERVES
        if node.name not in state.given_back:
            return Standing.DRAINED
        return Standing.LEFT if self._is_cleared(node) else Standing.LEAVING

    def _report(self, leader: LeaderState) -> LeaderLoad | None:
        at = leader.endpoint
        return None if at is None else self._book.leader(leader.leader_id, at.log_epoch)

    def _capacities(self, state: MetadataState, serving: list[Node]) -> Mapping[tuple[str, str], float]:
        """By node and WAL class, of its shared leaders: those that a node is yet to get count as usual ones."""
        there: dict[tuple[str, str], list[float]] = defaultdict(list)
        for leader in state.leaders.values():
            if not leader.dedicated:
                there[leader.node, leader.wal_class].append(self._capacity * self._book.speed(leader.leader_id))
        capacities = {}
        for node in serving:
            for wal_class in node.mounts:
                speeds = there[node.name, wal_class]
                mean = sum(speeds) / len(speeds) if speeds else self._capacity
                capacities[node.name, wal_class] = mean * node.leaders
        return capacities

    def _load_demands(self, loads: Mapping[str, float], capacities: Mapping[tuple[str, str], float]) -> list[Demand]:
        by_class: dict[str, float] = defaultdict(float)
        for (_, wal_class), capacity in capacities.items():
            by_class[wal_class] += capacity
        return [
            Demand(kind=Kind.LOAD, wal_class=wal_class, use=load / by_class[wal_class])
            for wal_class, load in sorted(loads.items())
            if by_class[wal_class]
        ]


def _gateway_demand(used: float, gateways: int) -> list[Demand]:
    """A gateway is a process of one event loop: it can use one processor, however many its node has."""
    return [Demand(kind=Kind.GATEWAYS, use=used / gateways)] if gateways else []


def _cpu_demand(used: float, cpus: float) -> list[Demand]:
    """None where Ray counts no CPUs."""
    return [Demand(kind=Kind.CPU, use=used / cpus)] if cpus else []
