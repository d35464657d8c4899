"""What becomes of requests to move partitions, and of leaders' reports of what they have released. Pure.

A move is wanted first (``PartitionsMoving``), and the partition's leader goes on until its successor is there. When it has
released the partition, durably in its own log, that is recorded, and by the same record the partition is the next leader's. Until
then a move can be called off or sent elsewhere; after it the partition has to be adopted before it can move again.
"""

from collections.abc import Iterable, Sequence

from kio.schema.errors import ErrorCode

from controller.records import Departure, Destination, PartitionsMoving, PartitionsReleased, Record
from controller.rules import Refused
from controller.state import LeaderState, MetadataState, PartitionState, TopicState
from raylog.model.admin import Move, MoveResult, Released
from raylog.model.ids import BrokerId, LeaderId, LogEpoch, TopicPartition
from raylog.model.topic_config import wants_dedicated_leaders


def move_partitions(state: MetadataState, moves: Sequence[Move]) -> tuple[tuple[Record, ...], list[MoveResult]]:
    """All that can be moved in one record, and what to say of each."""
    loads = {id_: state.partition_count(id_) + len(state.expected(id_)) for id_ in state.leaders}
    destinations: list[Destination] = []
    results: list[MoveResult] = []
    for move in moves:
        code, message = ErrorCode.none, None
        try:
            destinations += _destination(state, move, loads)
        except Refused as refusal:
            code, message = refusal.code, str(refusal)
        results.append(
            MoveResult(topic=move.topic, partition=move.partition, error_code=int(code), error_message=message)
        )
    return (PartitionsMoving(moves=tuple(destinations)),) if destinations else (), results


def released(
    state: MetadataState, leader_id: LeaderId, log_epoch: LogEpoch, reports: Iterable[Released]
) -> tuple[Record, ...]:
    """The record of a leader's report. A repetition of one that was recorded, or is of an earlier adoption, has no effect."""
    endpoint = state.leaders[leader_id].endpoint
    # Routes show the partition at the epoch of the leader's newest open, whichever open it was that has released it.
    epoch = log_epoch if endpoint is None else max(log_epoch, endpoint.log_epoch)
    departures = tuple(
        Departure(*report.partition, report.handover, report.epoch_base + epoch, report.changes)
        for report in reports
        if state.leads(leader_id, report.partition) and _tenure(state, report.partition) == report.epoch_base
    )
    return (PartitionsReleased(leader_id=leader_id, released=departures),) if departures else ()


def _tenure(state: MetadataState, partition: TopicPartition) -> int | None:
    found = state.partition(partition)
    return None if found is None else found.epoch_base


def _destination(state: MetadataState, move: Move, loads: dict[LeaderId, int]) -> list[Destination]:
    """Where the partition is to go; nothing if it is to go there already. Raises Refused.

    ``loads``: partitions by leader, as they will be.
    """
    topic = state.topic(move.topic)
    if topic is None:
        raise Refused(ErrorCode.unknown_topic_or_partition, f"Unable to find a topic named {move.topic}.")
    if not 0 <= move.partition < len(topic.partitions):
        raise Refused(ErrorCode.unknown_topic_or_partition, f"Unable to find partition {move.topic}-{move.partition}.")
    present = topic.partitions[move.partition]
    target = _target(state, topic, present, move, loads)
    if target == (present.leader_id if present.moving_to is None else present.moving_to):
        return []
    if target != present.leader_id and present.epoch_base is None:
        raise Refused(
            ErrorCode.reassignment_in_progress,
            f"Leader {present.leader_id} is still taking {move.topic}-{move.partition} over.",
        )
    if target != present.leader_id and state.leaders[target].node in state.draining:
        raise Refused(
            ErrorCode.invalid_replica_assignment,
            f"Leader {target} is on node '{state.leaders[target].node}', which is drained: name one on another node.",
        )
    loads[target] += 1
    return [Destination(topic.topic_id, move.partition, target)]


def _target(
    state: MetadataState, topic: TopicState, present: PartitionState, move: Move, loads: dict[LeaderId, int]
) -> LeaderId:
    home = state.leaders[present.leader_id]
    if move.to_leader is not None:
        return _named(state, topic, present, move.to_leader, loads)
    if move.to_broker is not None:
        return _on_broker(state, home, topic, move.to_broker, loads)
    if present.moving_to is None:
        raise Refused(
            ErrorCode.no_reassignment_in_progress, "The partition is not moving, or has left its leader already."
        )
    return present.leader_id


def _named(
    state: MetadataState, topic: TopicState, present: PartitionState, leader_id: LeaderId, loads: dict[LeaderId, int]
) -> LeaderId:
    home, leader = state.leaders[present.leader_id], state.leaders.get(leader_id)
    if leader is None:
        others = [str(id_) for id_, other in state.leaders.items() if other.wal_class == home.wal_class]
        raise Refused(
            ErrorCode.invalid_replica_assignment,
            f"There is no leader {leader_id}: those of the topic's WAL class are {', '.join(others)}.",
        )
    if leader.wal_class != home.wal_class:
        raise Refused(
            ErrorCode.invalid_replica_assignment,
            f"Leader {leader_id} has the WAL class '{leader.wal_class}', and topic '{topic.name}' is of "
            f"'{home.wal_class}'.",
        )
    is_there = leader_id in (present.leader_id, present.moving_to)
    if leader.dedicated and not is_there and loads[leader_id]:
        raise Refused(ErrorCode.invalid_replica_assignment, f"Leader {leader_id} is dedicated to another partition.")
    if leader.dedicated != wants_dedicated_leaders(topic.configs) and not is_there:
        kinds = ("dedicated", "shared") if leader.dedicated else ("shared", "dedicated")
        raise Refused(
            ErrorCode.invalid_replica_assignment,
            f"Leader {leader_id} is {kinds[0]}, and raylog.leader of topic '{topic.name}' is {kinds[1]}.",
        )
    return leader_id


def _on_broker(
    state: MetadataState, home: LeaderState, topic: TopicState, broker_id: BrokerId, loads: dict[LeaderId, int]
) -> LeaderId:
    """The present leader if it is there, else the one of its class and kind on that node that leads least."""
    node_id = next(
        (
            node_id
            for node_id, broker in state.brokers.items()
            if broker.endpoint.broker_id == broker_id and not broker.retired
        ),
        None,
    )
    if node_id is None:
        raise Refused(
            ErrorCode.invalid_replica_assignment,
            f"The manual partition assignment includes broker {broker_id}, but no such broker is registered.",
        )
    if home.endpoint is not None and home.endpoint.node_id == node_id:
        return home.leader_id
    dedicated = wants_dedicated_leaders(topic.configs)
    there = [
        leader.leader_id
        for leader in state.leaders.values()
        if leader.endpoint is not None
        and leader.endpoint.node_id == node_id
        and leader.wal_class == home.wal_class
        and leader.dedicated == dedicated
        and not (dedicated and loads[leader.leader_id])
    ]
    if not there:
        kind = "free dedicated leader" if dedicated else "leader"
        raise Refused(
            ErrorCode.invalid_replica_assignment,
            f"No {kind} of the WAL class '{home.wal_class}' is on the node of broker {broker_id}.",
        )
    return min(there, key=lambda leader_id: (loads[leader_id], leader_id))
