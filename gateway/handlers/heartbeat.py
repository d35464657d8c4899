"""Heartbeat (key 12), versions 0-4: KIP-345 (static members)."""

from typing import Any

from kio.static.protocol import Payload

from gateway.context import RequestContext
from gateway.groups import CoordinatorError, ask, client_types, to_client, to_internal
from gateway.messages import make
from gateway.registry import handles
from raylog.coordination import internal
from raylog.protocol.wire import NO_THROTTLE


@handles(internal.HEARTBEAT, 0, 4)
async def heartbeat(context: RequestContext, request: Any) -> Payload:
    try:
        answer = await ask(context, request.group_id, to_internal(context, request))
    except CoordinatorError as error:
        values = {"throttle_time": NO_THROTTLE, "error_code": error.code}
        return make(client_types(context).HeartbeatResponse, values)  # type: ignore[no-any-return]
    return to_client(context, answer)  # type: ignore[no-any-return]
