"""The cluster as clients see it: which broker a partition is sent to, and what it may be told about it.

Any gateway serves any partition, so the broker that Metadata names as a partition's leader is a choice: the one on the
leader's own node, whose gateways reach it over a unix socket; and where that node has none, one that every gateway
chooses alike.
"""

from dataclasses import dataclass
from typing import Final

from kio.schema.errors import ErrorCode

from raylog.model.ids import BROKER_ID_NONE, BrokerId
from raylog.model.routing import PartitionRoute, RoutingTable, TopicRoute

REPLICATION_FACTOR: Final = 1
"""What clients are shown for every topic: copies are the bucket's business."""

_READ, _WRITE, _CREATE, _DELETE, _ALTER, _DESCRIBE = 3, 4, 5, 6, 7, 8
_CLUSTER_ACTION, _DESCRIBE_CONFIGS, _ALTER_CONFIGS, _IDEMPOTENT_WRITE = 9, 10, 11, 12

OPERATIONS_NOT_ASKED: Final = -(2**31)


def _bits(*operations: int) -> int:
    return sum(1 << operation for operation in operations)


# Without an authorizer a client may do all that the resource knows, as in Kafka (KIP-430).
TOPIC_OPERATIONS: Final = _bits(_READ, _WRITE, _CREATE, _DELETE, _ALTER, _DESCRIBE, _DESCRIBE_CONFIGS, _ALTER_CONFIGS)
CLUSTER_OPERATIONS: Final = _bits(
    _CREATE, _ALTER, _DESCRIBE, _CLUSTER_ACTION, _DESCRIBE_CONFIGS, _ALTER_CONFIGS, _IDEMPOTENT_WRITE
)
GROUP_OPERATIONS: Final = _bits(_READ, _DELETE, _DESCRIBE, _DESCRIBE_CONFIGS, _ALTER_CONFIGS)


@dataclass(frozen=True, slots=True)
class PartitionView:
    """A partition as Metadata and DescribeTopicPartitions show it."""

    index: int
    error: ErrorCode
    leader: BrokerId
    """-1 while nobody leads it."""
    leader_epoch: int
    replicas: tuple[BrokerId, ...]
    in_sync: tuple[BrokerId, ...]
    offline: tuple[BrokerId, ...]


def partition_view(table: RoutingTable, topic: TopicRoute, index: int) -> PartitionView:
    route = topic.partitions[index]
    broker = broker_of(table, topic, index)
    replicas = () if broker == BROKER_ID_NONE else (broker,)
    is_led = route.is_served and route.leader_id in table.leaders and bool(replicas)
    return PartitionView(
        index=index,
        error=ErrorCode.none if is_led else ErrorCode.leader_not_available,
        leader=broker if is_led else BROKER_ID_NONE,
        leader_epoch=table.leader_epoch(route) if is_led else -1,
        replicas=replicas,
        in_sync=replicas if is_led else (),
        offline=() if is_led else replicas,
    )


def broker_of(table: RoutingTable, topic: TopicRoute, index: int) -> BrokerId:
    """The broker that clients of a partition are sent to; -1 when there is none at all."""
    if not table.brokers:
        return BROKER_ID_NONE
    near = _broker_beside(table, topic.partitions[index])
    if near is not None:
        return near
    # The sum of the id's bytes spreads the first partitions of many topics; it is the same in every process.
    place = (sum(topic.topic_id.bytes) + index) % len(table.brokers)
    return sorted(broker.broker_id for broker in table.brokers)[place]


def _broker_beside(table: RoutingTable, route: PartitionRoute) -> BrokerId | None:
    leader = table.leaders.get(route.leader_id)
    if leader is None:
        return None
    return next((broker.broker_id for broker in table.brokers if broker.node_id == leader.node_id), None)
