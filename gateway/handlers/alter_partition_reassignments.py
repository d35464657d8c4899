"""AlterPartitionReassignments (key 45), versions 0-1: KIP-455. Has partitions led on another broker's node, or ends their moves.

A partition has one replica, so a reassignment names one broker: the partition goes to the leader of its WAL class on that
broker's node that leads least, and stays where it is when its leader is there. In place of a broker it may name a leader, as
``LEADER_REPLICAS`` + its id. Null ends a move that is under way. The answer comes once the moves are durably wanted, as in Kafka;
ListPartitionReassignments shows those that are not done.
"""

from collections.abc import Sequence
from typing import Any, Final

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from gateway.context import RequestContext
from gateway.messages import make, response_types
from gateway.registry import handles
from raylog.model.admin import Move, MoveResult
from raylog.model.errors import RetryError
from raylog.model.ids import LEADER_REPLICAS, BrokerId, LeaderId
from raylog.protocol.wire import NO_THROTTLE, i32, topic_name

_KEY: Final = 45


@handles(_KEY, 0, 1, left_out="more than one replica: copies are the bucket's business")
async def alter_partition_reassignments(context: RequestContext, request: Any) -> Payload:
    asked = [(topic.name, part.partition_index, part.replicas) for topic in request.topics for part in topic.partitions]
    results = {(name, number): fault for name, number, replicas in asked if (fault := _fault(name, number, replicas))}
    moves = [_move(*one) for one in asked if one[:2] not in results]
    code, message = ErrorCode.none, None
    if moves:
        try:
            moved = await context.controller.move_partitions(moves)
        except RetryError as error:
            return _response(context, request, {}, ErrorCode.request_timed_out, str(error))
        results |= {(result.topic, result.partition): result for result in moved}
    return _response(context, request, results, code, message)


def _fault(name: str, number: int, replicas: Sequence[int] | None) -> MoveResult | None:
    if replicas is None or len(replicas) == 1:
        return None
    message = (
        "The manual partition assignment includes an empty replica list."
        if not replicas
        else "A partition has one replica: name the broker whose node is to lead it."
    )
    return MoveResult(
        topic=name, partition=number, error_code=ErrorCode.invalid_replica_assignment, error_message=message
    )


def _move(name: str, number: int, replicas: Sequence[int] | None) -> Move:
    if replicas is None:
        return Move(topic=name, partition=number)
    [replica] = replicas
    if replica >= LEADER_REPLICAS:
        return Move(topic=name, partition=number, to_leader=LeaderId(replica - LEADER_REPLICAS))
    return Move(topic=name, partition=number, to_broker=BrokerId(replica))


def _response(
    context: RequestContext,
    request: Any,
    results: dict[tuple[str, int], MoveResult],
    code: ErrorCode,
    message: str | None,
) -> Payload:
    types = response_types(_KEY, context.head.api_version)
    topics = tuple(
        types.ReassignableTopicResponse(
            name=topic_name(topic.name),
            partitions=tuple(
                types.ReassignablePartitionResponse(
                    partition_index=i32(result.partition),
                    error_code=ErrorCode(result.error_code),
                    error_message=result.error_message,
                )
                for part in topic.partitions
                if (result := results.get((topic.name, part.partition_index))) is not None
            ),
        )
        for topic in request.topics
        if code is ErrorCode.none
    )
    response: Payload = make(
        types.AlterPartitionReassignmentsResponse,
        {
            "throttle_time": NO_THROTTLE,
            "allow_replication_factor_change": getattr(request, "allow_replication_factor_change", True),
            "error_code": code,
            "error_message": message,
            "responses": topics,
        },
    )
    return response
