"""ListPartitionReassignments (key 46), version 0: KIP-455. Always empty: a partition has one replica, and when it moves
to another leader no data moves. Served because ``kafka-topics --describe`` asks."""

from typing import Any, Final

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from gateway.context import RequestContext
from gateway.messages import response_types
from gateway.registry import handles
from raylog.protocol.wire import NO_THROTTLE

_KEY: Final = 46


@handles(_KEY, 0, 0)
def list_partition_reassignments(context: RequestContext, _request: Any) -> Payload:
    response: Payload = response_types(_KEY, context.head.api_version).ListPartitionReassignmentsResponse(
        throttle_time=NO_THROTTLE, error_code=ErrorCode.none, error_message=None, topics=()
    )
    return response
