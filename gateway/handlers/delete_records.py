"""DeleteRecords (key 21), versions 0-2: KIP-107. The leader moves the log start offset and answers when that is durable.

Internal topics are INVALID_TOPIC_EXCEPTION, as in Kafka: their coordinators alone know what they need no more.
"""

from typing import Any, Final

from kio.static.protocol import Payload

from gateway.context import RequestContext
from gateway.messages import response_types
from gateway.registry import handles
from gateway.scatter import PartitionedApi, scatter
from raylog.protocol.wire import NO_THROTTLE, to_ms

_KEY: Final = 21
_API: Final = PartitionedApi(
    topic_field="name",
    partition_field="partition_index",
    response_topic="DeleteRecordsTopicResult",
    response_partition="DeleteRecordsPartitionResult",
    no_answer={"low_watermark": -1},
    takes_internal=False,
)


@handles(_KEY, 0, 2)
async def delete_records(context: RequestContext, request: Any) -> Payload:
    topics = await scatter(context, request, _API, timeout_s=max(1.0, to_ms(request.timeout) / 1000))
    types = response_types(_KEY, context.head.api_version)
    response: Payload = types.DeleteRecordsResponse(throttle_time=NO_THROTTLE, topics=topics)
    return response
