"""What ``raylog status`` shows of the metadata: plain values, JSON-able."""

from collections.abc import Callable

from controller.rules import ClusterRules
from controller.state import LeaderState, MetadataState
from raylog.model.ids import LeaderId


def describe(
    state: MetadataState,
    rules: ClusterRules,
    *,
    version: int,
    epoch: int,
    has_heard: Callable[[LeaderId], bool],
) -> dict[str, object]:
    """The cluster by its brokers, leaders and topics. A leader is up when ``has_heard`` says that this controller knows it."""
    partitions = [partition for topic in state.topics.values() for partition in topic.partitions]
    return {
        "cluster_id": state.cluster_id,
        "metadata": {"version": version, "epoch": epoch},
        "wal": {"classes": list(rules.wal_classes), "default": rules.default_wal},
        "brokers": [
            {
                "node": node_id,
                "broker_id": broker.endpoint.broker_id,
                "address": f"{broker.endpoint.host}:{broker.endpoint.port}",
                "rack": broker.endpoint.rack,
            }
            for node_id, broker in state.brokers.items()
            if not broker.retired
        ],
        "leaders": [
            _leader(leader, state.partition_count(leader.leader_id), has_heard(leader.leader_id))
            for leader in state.leaders.values()
        ],
        "topics": sum(not topic.internal for topic in state.topics.values()),
        "internal_topics": sum(topic.internal for topic in state.topics.values()),
        "partitions": len(partitions),
        "moving_partitions": sum(partition.moving_to is not None for partition in partitions),
        "unadopted_partitions": sum(partition.epoch_base is None for partition in partitions),
    }


def _leader(leader: LeaderState, partition_count: int, is_up: bool) -> dict[str, object]:
    at = leader.endpoint
    return {
        "leader_id": leader.leader_id,
        "wal": leader.wal_class,
        "dedicated": leader.dedicated,
        "partitions": partition_count,
        "up": is_up,
        "node": at.node_id if at else None,
        "log_epoch": at.log_epoch if at else None,
    }
