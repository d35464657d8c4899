"""ListOffsets (key 2), versions 1-10: KIP-79 (by timestamp), KIP-734 (max timestamp), KIP-405 and KIP-1005 (earliest local,
latest tiered), KIP-1075 (time-out). The leaders answer; offsets by timestamp may make them read the bucket."""

from typing import Any, Final

from kio.static.protocol import Payload

from gateway.context import RequestContext
from gateway.messages import make, response_types
from gateway.registry import handles
from gateway.scatter import PartitionedApi, scatter
from raylog.protocol.wire import NO_THROTTLE, to_ms

_KEY: Final = 2
_TIMEOUT_S: Final = 30.0
_FIRST_VERSION_WITH_TIMEOUT: Final = 10
_API: Final = PartitionedApi(
    topic_field="name",
    partition_field="partition_index",
    response_topic="ListOffsetsTopicResponse",
    response_partition="ListOffsetsPartitionResponse",
    no_answer={"timestamp": -1, "offset": -1, "leader_epoch": -1},
)


@handles(_KEY, 1, 10)
async def list_offsets(context: RequestContext, request: Any) -> Payload:
    version = context.head.api_version
    timeout_s = _TIMEOUT_S
    if version >= _FIRST_VERSION_WITH_TIMEOUT:
        timeout_s = max(1.0, min(timeout_s, to_ms(request.timeout) / 1000))
    topics = await scatter(context, request, _API, timeout_s=timeout_s)
    values = {"throttle_time": NO_THROTTLE, "topics": topics}
    response: Payload = make(response_types(_KEY, version).ListOffsetsResponse, values)
    return response
