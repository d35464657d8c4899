"""What ``raylog status`` shows of the metadata: plain values, JSON-able."""

from collections.abc import Callable

from controller.drains import left_on
from controller.nodes import Node, waits_for_a_node
from controller.rules import ClusterRules
from controller.state import LeaderState, MetadataState
from raylog.model.ids import LeaderId


def describe(
    state: MetadataState,
    rules: ClusterRules,
    *,
    version: int,
    epoch: int,
    is_there: Callable[[LeaderId], bool],
    is_cleared: Callable[[Node], bool],
    is_resting: Callable[[LeaderId], bool],
) -> dict[str, object]:
    """The cluster by its nodes, brokers, leaders and topics. A leader is up when ``is_there`` says that it was heard just now; a
    drain is over when ``is_cleared`` says that nothing runs on the node any more. ``is_resting`` says of a leader that it need
    not be up."""
    partitions = [partition for topic in state.topics.values() for partition in topic.partitions]
    return {
        "cluster_id": state.cluster_id,
        "metadata": {"version": version, "epoch": epoch},
        "wal": {"classes": list(rules.wal_classes), "default": rules.default_wal},
        "nodes": [{**_node(node), "drain": _drain(state, rules, node, is_cleared)} for node in rules.nodes],
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
            {
                **_leader(leader),
                "partitions": state.partition_count(leader.leader_id),
                "needed": state.is_needed(leader.leader_id),
                "up": is_there(leader.leader_id),
                "rests": is_resting(leader.leader_id),
                "waits_for_node": waits_for_a_node(leader, rules.nodes),
            }
            for leader in state.leaders.values()
        ],
        "topics": sum(not topic.internal for topic in state.topics.values()),
        "internal_topics": sum(topic.internal for topic in state.topics.values()),
        "partitions": len(partitions),
        "moving_partitions": sum(partition.moving_to is not None for partition in partitions),
        "unadopted_partitions": sum(partition.epoch_base is None for partition in partitions),
    }


def _node(node: Node) -> dict[str, object]:
    return {
        "node": node.name,
        "address": node.address,
        "zone": node.zone,
        "mounts": node.mounts,
        "draining": node.is_draining,
    }


def _drain(
    state: MetadataState, rules: ClusterRules, node: Node, is_cleared: Callable[[Node], bool]
) -> dict[str, object] | None:
    """How far a drain is; None for a node that does not drain."""
    if not node.is_draining:
        return None
    left = left_on(state, rules.nodes, node.name)
    return {"partitions": left.partitions, "staying": left.staying, "is_over": is_cleared(node)}


def _leader(leader: LeaderState) -> dict[str, object]:
    return {
        "leader_id": leader.leader_id,
        "wal": leader.wal_class,
        "dedicated": leader.dedicated,
        "node": leader.node or None,
        "mount": leader.mount or None,
        "log_epoch": leader.endpoint.log_epoch if leader.endpoint else None,
    }
