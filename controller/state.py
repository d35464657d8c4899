"""The cluster's metadata as a pure state machine: records in, state out. Nothing here awaits, draws or reads a clock.

``apply`` never refuses: a record in the log has happened. What may become a record is decided beforehand (``controller.topics``,
``controller.configs``), on the state that the record will meet.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from controller.records import (
    Adoption,
    BrokerRegistered,
    BrokerRetired,
    BrokersConfigured,
    ClusterCreated,
    LeaderAdded,
    LeaderRegistered,
    PartitionsAdded,
    PartitionsAdopted,
    ProducerIdsAllocated,
    Record,
    TopicConfigured,
    TopicCreated,
    TopicDeleted,
)
from raylog.model.admin import Assignment
from raylog.model.ids import BrokerId, LeaderId, TopicId, TopicPartition
from raylog.model.routing import BrokerEndpoint, LeaderEndpoint

_NOBODY: frozenset[LeaderId] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionState:
    leader_id: LeaderId
    epoch_base: int | None = None
    """None until the leader's adoption is durable."""


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
    """Of its last open; None before the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerState:
    endpoint: BrokerEndpoint
    retired: bool = False


@dataclass(slots=True)
class MetadataState:
    """All that the metadata log says. Its values are immutable; they are replaced, never changed."""

    cluster_id: str = ""
    brokers: dict[str, BrokerState] = field(default_factory=dict)
    """By node id."""
    leaders: dict[LeaderId, LeaderState] = field(default_factory=dict)
    topics: dict[TopicId, TopicState] = field(default_factory=dict)
    topic_ids: dict[str, TopicId] = field(default_factory=dict)
    """By topic name."""
    broker_configs: dict[str, str] = field(default_factory=dict)
    next_producer_id: int = 0
    _led: dict[LeaderId, dict[TopicPartition, None]] = field(default_factory=dict)
    """Partitions by leader, in the order in which they came."""

    def topic(self, name: str) -> TopicState | None:
        topic_id = self.topic_ids.get(name)
        return None if topic_id is None else self.topics[topic_id]

    def partition_count(self, leader_id: LeaderId) -> int:
        return len(self._led.get(leader_id, ()))

    def assignments(self, leader_id: LeaderId) -> tuple[Assignment, ...]:
        """What the leader must lead."""
        led = ((partition, self.topics[partition.topic_id]) for partition in self._led.get(leader_id, ()))
        return tuple(
            Assignment(
                partition=partition,
                topic_name=topic.name,
                configs=topic.configs,
                adopted=topic.partitions[partition.partition].epoch_base is not None,
            )
            for partition, topic in led
        )

    def leads(self, leader_id: LeaderId, partition: TopicPartition) -> bool:
        return partition in self._led.get(leader_id, ())

    def next_broker_id(self) -> BrokerId:
        return BrokerId(max((broker.endpoint.broker_id for broker in self.brokers.values()), default=0) + 1)

    def next_leader_id(self) -> LeaderId:
        return LeaderId(max(self.leaders, default=0) + 1)

    def apply(self, record: Record) -> frozenset[LeaderId]:
        """Take a record in; returns the leaders whose assignments it changes."""
        match record:
            case ClusterCreated():
                self.cluster_id = record.cluster_id
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
            case LeaderAdded():
                self.leaders[record.leader_id] = LeaderState(
                    leader_id=record.leader_id, wal_class=record.wal_class, dedicated=record.dedicated
                )
            case LeaderRegistered():
                self._register_leader(record)
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

    def _register_leader(self, record: LeaderRegistered) -> None:
        endpoint = LeaderEndpoint(
            leader_id=record.leader_id,
            log_epoch=record.log_epoch,
            node_id=record.node_id,
            unix_path=record.unix_path,
            host=record.host,
            port=record.port,
        )
        self.leaders[record.leader_id] = replace(self.leaders[record.leader_id], endpoint=endpoint)

    def _add_partitions(self, topic: TopicState, leaders: tuple[LeaderId, ...]) -> frozenset[LeaderId]:
        added = tuple(PartitionState(leader_id=leader_id) for leader_id in leaders)
        for number, leader_id in enumerate(leaders, start=len(topic.partitions)):
            self._led.setdefault(leader_id, {})[TopicPartition(topic.topic_id, number)] = None
        self.topics[topic.topic_id] = replace(topic, partitions=topic.partitions + added)
        return frozenset(leaders)

    def _adopt(self, record: PartitionsAdopted) -> None:
        by_topic: dict[TopicId, list[Adoption]] = {}
        for adoption in record.adopted:
            # A partition deleted between the report and its commit is passed over.
            if self.leads(record.leader_id, TopicPartition(adoption.topic_id, adoption.partition)):
                by_topic.setdefault(adoption.topic_id, []).append(adoption)
        for topic_id, adopted in by_topic.items():
            partitions = list(self.topics[topic_id].partitions)
            for adoption in adopted:
                partitions[adoption.partition] = replace(partitions[adoption.partition], epoch_base=adoption.epoch_base)
            self.topics[topic_id] = replace(self.topics[topic_id], partitions=tuple(partitions))

    def _delete_topic(self, topic_id: TopicId) -> frozenset[LeaderId]:
        topic = self.topics.pop(topic_id)
        del self.topic_ids[topic.name]
        for number, partition in enumerate(topic.partitions):
            led = self._led[partition.leader_id]
            del led[TopicPartition(topic_id, number)]
            if not led:
                del self._led[partition.leader_id]
        return topic.leaders

    def to_records(self) -> Iterator[Record]:
        """Records that make this state from an empty one: what a checkpoint holds."""
        if self.cluster_id:
            yield ClusterCreated(cluster_id=self.cluster_id)
        for node_id, broker in self.brokers.items():
            at = broker.endpoint
            yield BrokerRegistered(node_id=node_id, broker_id=at.broker_id, host=at.host, port=at.port, rack=at.rack)
            if broker.retired:
                yield BrokerRetired(node_id=node_id)
        for leader in self.leaders.values():
            yield LeaderAdded(leader_id=leader.leader_id, wal_class=leader.wal_class, dedicated=leader.dedicated)
            if leader.endpoint is not None:
                yield leader_registered(leader.endpoint)
        for topic in self.topics.values():
            leaders = tuple(partition.leader_id for partition in topic.partitions)
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
        if self.broker_configs:
            yield BrokersConfigured(configs=self.broker_configs)
        if self.next_producer_id:
            yield ProducerIdsAllocated(next_id=self.next_producer_id)

    def validate(self) -> None:
        """Assert what holds after every record."""
        assert self.topic_ids == {topic.name: topic_id for topic_id, topic in self.topics.items()}
        broker_ids = [broker.endpoint.broker_id for broker in self.brokers.values()]
        assert len(set(broker_ids)) == len(broker_ids), "two nodes have one broker id"
        assert all(leader_id == leader.leader_id for leader_id, leader in self.leaders.items())
        assert self.next_producer_id >= 0
        led = {
            TopicPartition(topic.topic_id, number): partition.leader_id
            for topic in self.topics.values()
            for number, partition in enumerate(topic.partitions)
        }
        assert led == {partition: leader_id for leader_id, own in self._led.items() for partition in own}
        assert set(led.values()) <= self.leaders.keys(), "a partition is led by nobody that exists"
        assert all(topic.partitions for topic in self.topics.values())
        for topic in self.topics.values():
            classes = {self.leaders[leader_id].wal_class for leader_id in topic.leaders}
            assert len(classes) == 1, f"topic '{topic.name}' lies in several WAL classes"


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
