"""The cluster as clients see it: which broker a partition is sent to, and what it may be told about it.

Any gateway serves any partition, so the broker that Metadata names as a partition's leader is a choice: the one on the
leader's own node, whose gateways reach it over a unix socket; where that is in another zone than the client, one in the client's,
as traffic between zones costs money and time; and where there is none of these, one that every gateway chooses alike.

A client's zone is what it says itself (``zone=`` in its client id), else that of the broker that it has reached.
"""

import re
from dataclasses import dataclass
from typing import Final

from kio.schema.errors import ErrorCode

from raylog.model.ids import BROKER_ID_NONE, BrokerId, LeaderId
from raylog.model.routing import BrokerEndpoint, RoutingTable, TopicRoute

REPLICATION_FACTOR: Final = 1
"""What clients are shown for every topic: copies are the bucket's business."""

_READ, _WRITE, _CREATE, _DELETE, _ALTER, _DESCRIBE = 3, 4, 5, 6, 7, 8
_CLUSTER_ACTION, _DESCRIBE_CONFIGS, _ALTER_CONFIGS, _IDEMPOTENT_WRITE = 9, 10, 11, 12

OPERATIONS_NOT_ASKED: Final = -(2**31)

_ZONE_IN_CLIENT_ID: Final = re.compile(r"(?:^|[^A-Za-z0-9])zone=([A-Za-z0-9._-]+)")


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


def client_zone(table: RoutingTable, client_id: str, reached: BrokerEndpoint) -> str | None:
    """The zone of a client that has reached this broker; None where no broker is in it, so that it makes no difference."""
    said = _ZONE_IN_CLIENT_ID.search(client_id)
    return _with_a_broker(table, said[1] if said else reached.rack)


def said_zone(table: RoutingTable, client_id: str) -> str | None:
    """The zone that a client says it is in; None where it says nothing, or no broker is there."""
    said = _ZONE_IN_CLIENT_ID.search(client_id)
    return _with_a_broker(table, said[1]) if said else None


def node_zone(table: RoutingTable, node_id: str) -> str | None:
    """The zone of a node, which is that of the broker on it; None where there is no broker, or it is in none."""
    return next((broker.rack for broker in table.brokers if broker.node_id == node_id), None)


def _with_a_broker(table: RoutingTable, zone: str | None) -> str | None:
    return zone if any(broker.rack == zone for broker in table.brokers) else None


def partition_view(table: RoutingTable, topic: TopicRoute, index: int, zone: str | None = None) -> PartitionView:
    route = topic.partitions[index]
    broker = broker_of(table, topic, index, zone)
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


def broker_of(table: RoutingTable, topic: TopicRoute, index: int, zone: str | None = None) -> BrokerId:
    """The broker that a partition's clients in ``zone`` (None: anywhere) are sent to; -1 when there is none at all."""
    # The sum of the id's bytes spreads the first partitions of many topics; it is the same in every process.
    broker = broker_for(table, topic.partitions[index].leader_id, zone, sum(topic.topic_id.bytes) + index)
    return BROKER_ID_NONE if broker is None else broker.broker_id


def broker_for(table: RoutingTable, leader_id: LeaderId, zone: str | None, place: int) -> BrokerEndpoint | None:
    """The broker that clients of a leader are sent to. ``place`` spreads them over those that are as good as each other."""
    leader = table.leaders.get(leader_id)
    beside = next((b for b in table.brokers if leader is not None and b.node_id == leader.node_id), None)
    if beside is not None and zone in (None, beside.rack):
        return beside
    in_zone = [broker for broker in table.brokers if broker.rack == zone] if zone is not None else []
    if not in_zone and beside is not None:
        return beside
    brokers = sorted(in_zone or table.brokers, key=lambda broker: broker.broker_id)
    return brokers[place % len(brokers)] if brokers else None
