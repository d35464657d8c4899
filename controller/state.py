"""The cluster's metadata as a pure state machine: records in, state out. Nothing here awaits, draws or reads a clock.

``apply`` never refuses: a record in the log has happened. What may become a record is decided beforehand (``controller.topics``,
``controller.configs``), on the state that the record will meet.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from controller.records import (
    Adoption,
    BrokerRegistered,
    BrokerRetired,
    BrokersConfigured,
    ClusterCreated,
    Departure,
    DeploymentStarted,
    Destination,
    LeaderAdded,
    LeaderPlaced,
    LeaderRegistered,
    NodeDraining,
    PartitionsAdded,
    PartitionsAdopted,
    PartitionsMoving,
    PartitionsReleased,
    ProducerIdsAllocated,
    Record,
    TopicConfigured,
    TopicCreated,
    TopicDeleted,
)
from raylog.model.admin import Assignment, TakenFrom
from raylog.model.ids import BrokerId, LeaderId, TopicId, TopicPartition
from raylog.model.routing import BrokerEndpoint, LeaderEndpoint

_NOBODY: frozenset[LeaderId] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionState:
    leader_id: LeaderId
    epoch_base: int | None = None
    """None until the leader's adoption is durable."""
    moving_to: LeaderId | None = None
    """Who is to lead it next; the present leader has not released it yet."""
    taken_from: TakenFrom | None = None
    """How it goes on, until that is adopted; None: it is new, or adopted."""

    @property
    def was_led(self) -> bool:
        """Whether records may be in it."""
        return self.epoch_base is not None or self.taken_from is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicState:
    topic_id: TopicId
    name: str
    configs: dict[str, str]
    internal: bool
    partitions: tuple[PartitionState, ...]

    @property
    def leaders(self) -> frozenset[LeaderId]:
        return frozenset(partition.leader_id for partition in self.partitions)

    @property
    def adopted(self) -> bool:
        """Whether every partition is."""
        return all(partition.epoch_base is not None for partition in self.partitions)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderState:
    leader_id: LeaderId
    wal_class: str
    dedicated: bool = False
    endpoint: LeaderEndpoint | None = None
    """Of its last open in this deployment; None before the first."""
    node: str = ""
    """Where it runs, or is to run; empty: anywhere."""
    mount: str = ""
    """What its WAL lies on; empty: every node has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerState:
    endpoint: BrokerEndpoint
    retired: bool = False


@dataclass(slots=True)
class MetadataState:
    """All that the metadata log says. Its values are immutable; they are replaced, never changed."""

    cluster_id: str = ""
    deployment_id: str = ""
    brokers: dict[str, BrokerState] = field(default_factory=dict)
    """By node id."""
    draining: dict[str, str] = field(default_factory=dict)
    """Nodes that are to be emptied, by name, each with the start that is meant."""
    given_back: set[str] = field(default_factory=set)
    """Those of them that are drained because fewer nodes do."""
    leaders: dict[LeaderId, LeaderState] = field(default_factory=dict)
    topics: dict[TopicId, TopicState] = field(default_factory=dict)
    topic_ids: dict[str, TopicId] = field(default_factory=dict)
    """By topic name."""
    broker_configs: dict[str, str] = field(default_factory=dict)
    next_producer_id: int = 0
    _led: dict[LeaderId, dict[TopicPartition, None]] = field(default_factory=dict)
    """Partitions by leader, in the order in which they came."""
    _expected: dict[LeaderId, dict[TopicPartition, None]] = field(default_factory=dict)
    """Partitions that are to move, by the leader that they are to go to."""

    def topic(self, name: str) -> TopicState | None:
        topic_id = self.topic_ids.get(name)
        return None if topic_id is None else self.topics[topic_id]

    def partition_count(self, leader_id: LeaderId) -> int:
        return len(self._led.get(leader_id, ()))

    def led_by(self, leader_id: LeaderId) -> tuple[TopicPartition, ...]:
        return tuple(self._led.get(leader_id, ()))

    def expected(self, leader_id: LeaderId) -> tuple[TopicPartition, ...]:
        """What is to go to the leader, and has not been released yet by the one that has it."""
        return tuple(self._expected.get(leader_id, ()))

    def is_needed(self, leader_id: LeaderId) -> bool:
        """Whether it leads anything, or is to."""
        return bool(self._led.get(leader_id) or self._expected.get(leader_id))

    def assignments(
        self, leader_id: LeaderId, has_successor: Callable[[LeaderId], bool]
    ) -> tuple[tuple[Assignment, ...], tuple[TopicPartition, ...]]:
        """What the leader must lead, and what it must hand over: what is to go to a leader of whom ``has_successor`` says that
        it is there."""
        kept: list[Assignment] = []
        handing_over: list[TopicPartition] = []
        for partition in self._led.get(leader_id, ()):
            topic = self.topics[partition.topic_id]
            state = topic.partitions[partition.partition]
            if state.moving_to is not None and has_successor(state.moving_to):
                handing_over.append(partition)
                continue
            kept.append(
                Assignment(
                    partition=partition,
                    topic_name=topic.name,
                    configs=topic.configs,
                    adopted=state.epoch_base is not None,
                    taken_from=state.taken_from,
                )
            )
        return tuple(kept), tuple(handing_over)

    def partition(self, partition: TopicPartition) -> PartitionState | None:
        topic = self.topics.get(partition.topic_id)
        if topic is None or not 0 <= partition.partition < len(topic.partitions):
            return None
        return topic.partitions[partition.partition]

    def present_leader(self, partition: TopicPartition) -> LeaderId:
        """Of a partition that exists."""
        return self._state(partition).leader_id

    def leads(self, leader_id: LeaderId, partition: TopicPartition) -> bool:
        return partition in self._led.get(leader_id, ())

    def pending(self) -> Iterator[tuple[TopicPartition, TakenFrom]]:
        """The partitions that were released and not yet adopted again, and how they go on."""
        for topic in self.topics.values():
            for number, state in enumerate(topic.partitions):
                if state.taken_from is not None:
                    yield TopicPartition(topic.topic_id, number), state.taken_from

    def is_newer(self, partition: TopicPartition, epoch_base: int) -> bool:
        """Whether an adoption is later than all that are known of the partition: their bases rise."""
        state = self._state(partition)
        known = state.taken_from.epoch_base if state.taken_from is not None else state.epoch_base
        return known is None or epoch_base > known

    def next_broker_id(self) -> BrokerId:
        return BrokerId(max((broker.endpoint.broker_id for broker in self.brokers.values()), default=0) + 1)

    def next_leader_id(self) -> LeaderId:
        return LeaderId(max(self.leaders, default=0) + 1)

    def apply(self, record: Record) -> frozenset[LeaderId]:
        """Take a record in; returns the leaders whose assignments it changes."""
        match record:
            case ClusterCreated():
                self.cluster_id = record.cluster_id
            case DeploymentStarted():
                self._start_deployment(record.deployment_id)
            case BrokerRegistered():
                endpoint = BrokerEndpoint(
                    broker_id=record.broker_id,
                    host=record.host,
                    port=record.port,
                    rack=record.rack,
                    node_id=record.node_id,
                )
                self.brokers[record.node_id] = BrokerState(endpoint=endpoint)
            case BrokerRetired():
                self.brokers[record.node_id] = replace(self.brokers[record.node_id], retired=True)
            case NodeDraining():
                self.draining.pop(record.node, None)
                self.given_back.discard(record.node)
                if record.is_draining:
                    self.draining[record.node] = record.start_id
                if record.is_draining and record.for_scaling:
                    self.given_back.add(record.node)
            case LeaderAdded():
                self.leaders[record.leader_id] = LeaderState(
                    leader_id=record.leader_id,
                    wal_class=record.wal_class,
                    dedicated=record.dedicated,
                    node=record.node,
                    mount=record.mount,
                )
            case LeaderPlaced():
                placed = replace(self.leaders[record.leader_id], node=record.node, mount=record.mount)
                self.leaders[record.leader_id] = placed
            case LeaderRegistered():
                self._register_leader(record)
                # Those who wait for it to be there hear that it is.
                return frozenset(
                    self.present_leader(partition) for partition in self._expected.get(record.leader_id, ())
                )
            case TopicCreated():
                topic = TopicState(
                    topic_id=record.topic_id,
                    name=record.name,
                    configs=record.configs,
                    internal=record.internal,
                    partitions=(),
                )
                self.topic_ids[record.name] = record.topic_id
                return self._add_partitions(topic, record.leaders)
            case PartitionsAdded():
                return self._add_partitions(self.topics[record.topic_id], record.leaders)
            case PartitionsAdopted():
                self._adopt(record)
            case PartitionsMoving():
                return self._move(record.moves)
            case PartitionsReleased():
                return self._release(record)
            case TopicConfigured():
                topic = replace(self.topics[record.topic_id], configs=record.configs)
                self.topics[record.topic_id] = topic
                return topic.leaders
            case TopicDeleted():
                return self._delete_topic(record.topic_id)
            case BrokersConfigured():
                self.broker_configs = record.configs
                return frozenset(self.leaders)
            case ProducerIdsAllocated():
                self.next_producer_id = record.next_id
        return _NOBODY

    def _start_deployment(self, deployment_id: str) -> None:
        self.deployment_id = deployment_id
        self.brokers = {node_id: replace(broker, retired=True) for node_id, broker in self.brokers.items()}
        self.leaders = {leader_id: replace(leader, endpoint=None) for leader_id, leader in self.leaders.items()}

    def _register_leader(self, record: LeaderRegistered) -> None:
        endpoint = LeaderEndpoint(
            leader_id=record.leader_id,
            log_epoch=record.log_epoch,
            node_id=record.node_id,
            unix_path=record.unix_path,
            host=record.host,
            port=record.port,
        )
        self.leaders[record.leader_id] = replace(self.leaders[record.leader_id], endpoint=endpoint, node=record.node_id)

    def _add_partitions(self, topic: TopicState, leaders: tuple[LeaderId, ...]) -> frozenset[LeaderId]:
        added = tuple(PartitionState(leader_id=leader_id) for leader_id in leaders)
        for number, leader_id in enumerate(leaders, start=len(topic.partitions)):
            self._led.setdefault(leader_id, {})[TopicPartition(topic.topic_id, number)] = None
        self.topics[topic.topic_id] = replace(topic, partitions=topic.partitions + added)
        return frozenset(leaders)

    def _adopt(self, record: PartitionsAdopted) -> None:
        # A partition deleted between the report and its commit is passed over.
        adopted = {
            TopicPartition(adoption.topic_id, adoption.partition): adoption.epoch_base
            for adoption in record.adopted
            if self.leads(record.leader_id, TopicPartition(adoption.topic_id, adoption.partition))
        }
        self._replace(
            (partition, replace(self._state(partition), epoch_base=base, taken_from=None))
            for partition, base in adopted.items()
        )

    def _move(self, moves: Iterable[Destination]) -> frozenset[LeaderId]:
        changed: dict[TopicPartition, PartitionState] = {}
        for topic_id, number, leader_id in moves:
            partition = TopicPartition(topic_id, number)
            state = self.partition(partition)
            if state is None:
                continue
            self._expect_no_more(partition, state)
            moving_to = None if leader_id == state.leader_id else leader_id
            if moving_to is not None:
                self._expected.setdefault(moving_to, {})[partition] = None
            changed[partition] = replace(state, moving_to=moving_to)
        self._replace(changed.items())
        return frozenset(state.leader_id for state in changed.values())

    def _release(self, record: PartitionsReleased) -> frozenset[LeaderId]:
        changed: dict[TopicPartition, PartitionState] = {}
        for left in record.released:
            partition = TopicPartition(left.topic_id, left.partition)
            if not self.leads(record.leader_id, partition):
                continue
            state = self._state(partition)
            assert state.epoch_base is not None, partition
            self._expect_no_more(partition, state)
            _take_out(self._led, record.leader_id, partition)
            # Called off meanwhile: it goes back to the one that has released it.
            leader_id = state.leader_id if state.moving_to is None else state.moving_to
            self._led.setdefault(leader_id, {})[partition] = None
            source = TakenFrom(
                leader_id=record.leader_id,
                handover=left.handover,
                leader_epoch=left.leader_epoch,
                epoch_base=state.epoch_base,
                changes=left.changes,
            )
            changed[partition] = PartitionState(leader_id=leader_id, taken_from=source)
        self._replace(changed.items())
        return frozenset((record.leader_id, *(state.leader_id for state in changed.values())))

    def _state(self, partition: TopicPartition) -> PartitionState:
        return self.topics[partition.topic_id].partitions[partition.partition]

    def _expect_no_more(self, partition: TopicPartition, state: PartitionState) -> None:
        if state.moving_to is not None:
            _take_out(self._expected, state.moving_to, partition)

    def _replace(self, changed: Iterable[tuple[TopicPartition, PartitionState]]) -> None:
        """A topic's value is made anew once, however many of its partitions change."""
        by_topic: dict[TopicId, list[tuple[int, PartitionState]]] = {}
        for partition, state in changed:
            by_topic.setdefault(partition.topic_id, []).append((partition.partition, state))
        for topic_id, states in by_topic.items():
            partitions = list(self.topics[topic_id].partitions)
            for number, state in states:
                partitions[number] = state
            self.topics[topic_id] = replace(self.topics[topic_id], partitions=tuple(partitions))

    def _delete_topic(self, topic_id: TopicId) -> frozenset[LeaderId]:
        topic = self.topics.pop(topic_id)
        del self.topic_ids[topic.name]
        for number, partition in enumerate(topic.partitions):
            self._expect_no_more(TopicPartition(topic_id, number), partition)
            _take_out(self._led, partition.leader_id, TopicPartition(topic_id, number))
        return topic.leaders

    def to_records(self) -> Iterator[Record]:
        """Records that make this state from an empty one: what a checkpoint holds."""
        if self.cluster_id:
            yield ClusterCreated(cluster_id=self.cluster_id)
        if self.deployment_id:
            yield DeploymentStarted(deployment_id=self.deployment_id)
        for node_id, broker in self.brokers.items():
            at = broker.endpoint
            yield BrokerRegistered(node_id=node_id, broker_id=at.broker_id, host=at.host, port=at.port, rack=at.rack)
            if broker.retired:
                yield BrokerRetired(node_id=node_id)
        for node, start_id in self.draining.items():
            for_scaling = node in self.given_back
            yield NodeDraining(node=node, start_id=start_id, is_draining=True, for_scaling=for_scaling)
        for leader in self.leaders.values():
            yield LeaderAdded(
                leader_id=leader.leader_id,
                wal_class=leader.wal_class,
                dedicated=leader.dedicated,
                node=leader.node,
                mount=leader.mount,
            )
            if leader.endpoint is not None:
                yield leader_registered(leader.endpoint)
                if leader.endpoint.node_id != leader.node:
                    yield LeaderPlaced(leader_id=leader.leader_id, node=leader.node, mount=leader.mount)
        for topic in self.topics.values():
            leaders = tuple(
                partition.taken_from.leader_id if partition.taken_from else partition.leader_id
                for partition in topic.partitions
            )
            yield TopicCreated(
                topic_id=topic.topic_id,
                name=topic.name,
                configs=topic.configs,
                leaders=leaders,
                internal=topic.internal,
            )
        for leader_id, led in self._led.items():
            adopted = tuple(
                Adoption(*partition, base)
                for partition in led
                if (base := self.topics[partition.topic_id].partitions[partition.partition].epoch_base) is not None
            )
            if adopted:
                yield PartitionsAdopted(leader_id=leader_id, adopted=adopted)
        yield from self._moves_to_records()
        if self.broker_configs:
            yield BrokersConfigured(configs=self.broker_configs)
        if self.next_producer_id:
            yield ProducerIdsAllocated(next_id=self.next_producer_id)

    def _moves_to_records(self) -> Iterator[Record]:
        released: dict[LeaderId, list[tuple[TopicPartition, TakenFrom]]] = {}
        for partition, source in self.pending():
            released.setdefault(source.leader_id, []).append((partition, source))
        for leader_id, sources in released.items():
            adopted = tuple(Adoption(*partition, source.epoch_base) for partition, source in sources)
            yield PartitionsAdopted(leader_id=leader_id, adopted=adopted)
            moved = tuple(Destination(*partition, self.present_leader(partition)) for partition, _ in sources)
            yield PartitionsMoving(moves=moved)
            left = tuple(
                Departure(*partition, source.handover, source.leader_epoch, source.changes)
                for partition, source in sources
            )
            yield PartitionsReleased(leader_id=leader_id, released=left)
        moves = tuple(Destination(*p, leader_id) for leader_id, expected in self._expected.items() for p in expected)
        if moves:
            yield PartitionsMoving(moves=moves)

    def validate(self) -> None:
        """Assert what holds after every record."""
        assert self.topic_ids == {topic.name: topic_id for topic_id, topic in self.topics.items()}
        broker_ids = [broker.endpoint.broker_id for broker in self.brokers.values()]
        assert len(set(broker_ids)) == len(broker_ids), "two nodes have one broker id"
        assert all(leader_id == leader.leader_id for leader_id, leader in self.leaders.items())
        assert self.next_producer_id >= 0
        assert self.given_back <= self.draining.keys()
        led = {
            TopicPartition(topic.topic_id, number): partition.leader_id
            for topic in self.topics.values()
            for number, partition in enumerate(topic.partitions)
        }
        assert led == {partition: leader_id for leader_id, own in self._led.items() for partition in own}
        assert set(led.values()) <= self.leaders.keys(), "a partition is led by nobody that exists"
        states = {partition: self._state(partition) for partition in led}
        assert {partition: state.moving_to for partition, state in states.items() if state.moving_to is not None} == {
            partition: leader_id for leader_id, own in self._expected.items() for partition in own
        }
        for state in states.values():
            assert state.moving_to is None or (state.epoch_base is not None and state.moving_to != state.leader_id), (
                state
            )
            assert state.epoch_base is None or state.taken_from is None, state
        assert all(topic.partitions for topic in self.topics.values())
        for topic in self.topics.values():
            targets = {partition.moving_to for partition in topic.partitions if partition.moving_to is not None}
            classes = {self.leaders[leader_id].wal_class for leader_id in topic.leaders | targets}
            assert len(classes) == 1, f"topic '{topic.name}' lies in several WAL classes"


def _take_out(
    by_leader: dict[LeaderId, dict[TopicPartition, None]], leader_id: LeaderId, partition: TopicPartition
) -> None:
    own = by_leader[leader_id]
    del own[partition]
    if not own:
        del by_leader[leader_id]


def leader_registered(endpoint: LeaderEndpoint) -> LeaderRegistered:
    """The record of a leader's registration."""
    return LeaderRegistered(
        leader_id=endpoint.leader_id,
        log_epoch=endpoint.log_epoch,
        node_id=endpoint.node_id,
        unix_path=endpoint.unix_path,
        host=endpoint.host,
        port=endpoint.port,
    )
