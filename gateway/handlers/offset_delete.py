"""OffsetDelete (key 47), version 0: KIP-496. Offsets of topics that a consumer group subscribes to are kept."""

from typing import Any

from kio.schema.errors import ErrorCode
from kio.schema.offset_delete.v0.request import OffsetDeleteRequest
from kio.schema.offset_delete.v0.response import (
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)
from kio.static.protocol import Payload

from gateway.context import RequestContext
from gateway.groups import CoordinatorError, ask
from gateway.registry import handles
from raylog.coordination import internal
from raylog.protocol.wire import NO_THROTTLE


@handles(internal.OFFSET_DELETE, 0, 0)
async def offset_delete(context: RequestContext, request: Any) -> Payload:
    known = [topic for topic in request.topics if context.router.topic(topic.name) is not None]
    asked = OffsetDeleteRequest(group_id=request.group_id, topics=tuple(known))
    try:
        answer: OffsetDeleteResponse = await ask(context, request.group_id, asked)
    except CoordinatorError as error:
        return OffsetDeleteResponse(error_code=error.code, throttle_time=NO_THROTTLE, topics=())
    if answer.error_code is not ErrorCode.none:
        return answer
    unknown = [_unknown(topic) for topic in request.topics if context.router.topic(topic.name) is None]
    return OffsetDeleteResponse(error_code=ErrorCode.none, throttle_time=NO_THROTTLE, topics=(*answer.topics, *unknown))


def _unknown(topic: Any) -> OffsetDeleteResponseTopic:
    code = ErrorCode.unknown_topic_or_partition
    partitions = [
        OffsetDeleteResponsePartition(partition_index=part.partition_index, error_code=code)
        for part in topic.partitions
    ]
    return OffsetDeleteResponseTopic(name=topic.name, partitions=tuple(partitions))
