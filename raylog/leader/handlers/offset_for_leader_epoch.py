"""OffsetForLeaderEpoch (key 23), versions 2-4: KIP-101 and KIP-320, by which clients see that a log was truncated."""

from typing import Any

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from raylog.leader.call import Call
from raylog.leader.messages import make, response_types
from raylog.leader.registry import handles
from raylog.partition.outcomes import NO_EPOCH, EpochEnd, OffsetRejected
from raylog.protocol.wire import NO_THROTTLE

_KEY = 23
_NOT_LED = OffsetRejected(ErrorCode.not_leader_or_follower, "The partition is not led here.")


@handles(_KEY, 2, 4)
def offset_for_leader_epoch(call: Call) -> Payload:
    types = response_types(call.head)
    topics = tuple(
        types.OffsetForLeaderTopicResult(
            topic=topic.topic,
            partitions=tuple(_answer(call, types, part, _end_of(call, topic.topic, part)) for part in topic.partitions),
        )
        for topic in call.request.topics
    )
    values = {"throttle_time": NO_THROTTLE, "topics": topics}
    response: Payload = make(types.OffsetForLeaderEpochResponse, values)
    return response


def _end_of(call: Call, topic_name: str, part: Any) -> EpochEnd | OffsetRejected:
    hosted = call.leader.partitions.find(topic_name, part.partition)
    if hosted is None:
        return _NOT_LED
    current = getattr(part, "current_leader_epoch", NO_EPOCH)
    return hosted.core.offset_for_leader_epoch(part.leader_epoch, current_leader_epoch=current)


def _answer(call: Call, types: Any, part: Any, found: EpochEnd | OffsetRejected) -> Any:
    if isinstance(found, OffsetRejected):
        call.leader.metrics.error(_KEY, found.error_code.name)
        return types.EpochEndOffset(error_code=found.error_code, partition=part.partition)
    return types.EpochEndOffset(
        error_code=ErrorCode.none,
        partition=part.partition,
        leader_epoch=found.leader_epoch,
        end_offset=found.end_offset,
    )
