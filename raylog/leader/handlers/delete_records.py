"""DeleteRecords (key 21), versions 0-2: KIP-107. The new log start is answered once it is durable in the leader log."""

import asyncio
from typing import Any

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from raylog.leader.call import Call
from raylog.leader.messages import make, response_types
from raylog.leader.registry import handles
from raylog.partition.outcomes import OffsetRejected
from raylog.protocol.wire import NO_THROTTLE, to_ms

_KEY = 21
_NOT_LED = OffsetRejected(ErrorCode.not_leader_or_follower, "The partition is not led here.")
_TIMED_OUT = OffsetRejected(ErrorCode.request_timed_out, "The deletion did not become durable in time.")


@handles(_KEY, 0, 2)
async def delete_records(call: Call) -> Payload:
    types = response_types(call.head)
    moves = [
        asyncio.ensure_future(_move(call, topic.name, part))
        for topic in call.request.topics
        for part in topic.partitions
    ]
    await asyncio.gather(*moves)
    results = iter(moves)
    topics = tuple(
        types.DeleteRecordsTopicResult(
            name=topic.name,
            partitions=tuple(_answer(call, types, part, next(results).result()) for part in topic.partitions),
        )
        for topic in call.request.topics
    )
    values = {"throttle_time": NO_THROTTLE, "topics": topics}
    response: Payload = make(types.DeleteRecordsResponse, values)
    return response


async def _move(call: Call, topic_name: str, part: Any) -> int | OffsetRejected:
    hosted = call.leader.partitions.find(topic_name, part.partition_index)
    if hosted is None:
        return _NOT_LED
    try:
        async with asyncio.timeout(to_ms(call.request.timeout) / 1000):
            return await call.leader.log_starts.move(hosted, part.offset)
    except TimeoutError:
        return _TIMED_OUT


def _answer(call: Call, types: Any, part: Any, moved: int | OffsetRejected) -> Any:
    code, low_watermark = ErrorCode.none, -1
    if isinstance(moved, OffsetRejected):
        code = moved.error_code
        call.leader.metrics.error(_KEY, code.name)
    else:
        low_watermark = moved
    return types.DeleteRecordsPartitionResult(
        partition_index=part.partition_index, low_watermark=low_watermark, error_code=code
    )
