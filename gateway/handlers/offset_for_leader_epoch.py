"""OffsetForLeaderEpoch (key 23), versions 2-4: KIP-101, KIP-320. Consumers detect truncation with it; the leaders answer."""

from typing import Any, Final

from kio.static.protocol import Payload

from gateway.context import RequestContext
from gateway.messages import response_types
from gateway.registry import handles
from gateway.scatter import PartitionedApi, scatter
from raylog.protocol.wire import NO_THROTTLE

_KEY: Final = 23
_TIMEOUT_S: Final = 30.0
_API: Final = PartitionedApi(
    topic_field="topic",
    partition_field="partition",
    response_topic="OffsetForLeaderTopicResult",
    response_partition="EpochEndOffset",
    no_answer={"leader_epoch": -1, "end_offset": -1},
)


@handles(_KEY, 2, 4)
async def offset_for_leader_epoch(context: RequestContext, request: Any) -> Payload:
    topics = await scatter(context, request, _API, timeout_s=_TIMEOUT_S)
    types = response_types(_KEY, context.head.api_version)
    response: Payload = types.OffsetForLeaderEpochResponse(throttle_time=NO_THROTTLE, topics=topics)
    return response
