"""ElectLeaders (key 43), versions 0-2: KIP-183, KIP-460. A partition has one replica, which leads it: there is nothing to elect.

The preferred leader is the present one, so ELECTION_NOT_NEEDED, as Kafka says it: for partitions that were named, while a request
for all names those alone that were elected. A partition without a leader gets one from the controller, unasked.
"""

from typing import Any, Final

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from gateway.context import RequestContext
from gateway.messages import make, response_types
from gateway.registry import handles
from raylog.protocol.wire import NO_THROTTLE, i32, topic_name

_KEY: Final = 43
_PREFERRED = 0
_UNCLEAN = 1


@handles(_KEY, 0, 2)
def elect_leaders(context: RequestContext, request: Any) -> Payload:
    types = response_types(_KEY, context.head.api_version)
    kind = getattr(request, "election_type", _PREFERRED)
    known = kind in (_PREFERRED, _UNCLEAN)
    results = tuple(
        types.ReplicaElectionResult(
            topic=topic_name(topic.topic),
            partition_result=tuple(_result(context, types, topic.topic, number, kind) for number in topic.partitions),
        )
        for topic in request.topic_partitions or ()
        if known
    )
    response: Payload = make(
        types.ElectLeadersResponse,
        {
            "throttle_time": NO_THROTTLE,
            "error_code": ErrorCode.none if known else ErrorCode.invalid_request,
            "replica_election_results": results,
        },
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
