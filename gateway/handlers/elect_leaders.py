"""ElectLeaders (key 43), versions 0-2: KIP-183, KIP-460. A partition has one replica, which leads it: there is nothing to elect.

The preferred leader is the present one, so ELECTION_NOT_NEEDED, as Kafka says it, for partitions that were named. A preferred
election of all partitions is what Kafka's operators level leaders with, and does that here: the controller moves at once what it
would move by load at its next look, and the answer names those partitions. A partition without a leader gets one from the
controller, unasked.
"""

from typing import Any, Final

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from gateway.context import RequestContext
from gateway.messages import make, response_types
from gateway.registry import handles
from raylog.model.errors import RetryError
from raylog.protocol.wire import NO_THROTTLE, i32, topic_name

_KEY: Final = 43
_PREFERRED = 0
_UNCLEAN = 1


@handles(_KEY, 0, 2)
async def elect_leaders(context: RequestContext, request: Any) -> Payload:
    types = response_types(_KEY, context.head.api_version)
    kind = getattr(request, "election_type", _PREFERRED)
    if kind not in (_PREFERRED, _UNCLEAN):
        return _response(types, ErrorCode.invalid_request, ())
    if request.topic_partitions is None:
        return await _balance(context, types) if kind == _PREFERRED else _response(types, ErrorCode.none, ())
    results = tuple(
        types.ReplicaElectionResult(
            topic=topic_name(topic.topic),
            partition_result=tuple(_result(context, types, topic.topic, number, kind) for number in topic.partitions),
        )
        for topic in request.topic_partitions
    )
    return _response(types, ErrorCode.none, results)


async def _balance(context: RequestContext, types: Any) -> Payload:
    try:
        moved = await context.controller.balance_now()
    except RetryError:
        return _response(types, ErrorCode.request_timed_out, ())
    results = tuple(
        types.ReplicaElectionResult(
            topic=topic_name(name),
            partition_result=tuple(
                types.PartitionResult(partition_id=i32(number), error_code=ErrorCode.none, error_message=None)
                for number in numbers
            ),
        )
        for name, numbers in moved.items()
    )
    return _response(types, ErrorCode.none, results)


def _response(types: Any, code: ErrorCode, results: tuple[Any, ...]) -> Payload:
    response: Payload = make(
        types.ElectLeadersResponse,
        {"throttle_time": NO_THROTTLE, "error_code": code, "replica_election_results": results},
    )
    return response


def _result(context: RequestContext, types: Any, name: str, number: int, kind: int) -> Any:
    code, message = _outcome(context, name, number, kind)
    return types.PartitionResult(partition_id=i32(number), error_code=code, error_message=message)


def _outcome(context: RequestContext, name: str, number: int, kind: int) -> tuple[ErrorCode, str]:
    topic = context.table.topics.get(name)
    if topic is None:
        return ErrorCode.unknown_topic_or_partition, f"No such topic as {name}"
    error, leader_id = context.router.leader_of(topic, number)
    if error is ErrorCode.unknown_topic_or_partition:
        return error, f"No such partition as {name}-{number}"
    if error is ErrorCode.none:
        return ErrorCode.election_not_needed, "The partition's leader is its only replica."
    code = ErrorCode.preferred_leader_not_available if kind == _PREFERRED else ErrorCode.eligible_leaders_not_available
    return code, f"Leader {leader_id} is being started."
