"""SyncGroup (key 14), versions 0-5: KIP-345 (static members), KIP-559 (protocol type and name are checked).

The answer comes when the group's leader has assigned and the assignment is durable.
"""

from typing import Any

from kio.static.protocol import Payload

from gateway.context import RequestContext
from gateway.groups import REBALANCE_S_MAX, CoordinatorError, ask, client_types, to_client, to_internal
from gateway.messages import make
from gateway.registry import handles
from raylog.coordination import internal
from raylog.protocol.wire import NO_THROTTLE


@handles(internal.SYNC_GROUP, 0, 5)
async def sync_group(context: RequestContext, request: Any) -> Payload:
    try:
        answer = await ask(context, request.group_id, to_internal(context, request), timeout_s=REBALANCE_S_MAX)
    except CoordinatorError as error:
        values = {"throttle_time": NO_THROTTLE, "error_code": error.code, "assignment": b""}
        return make(client_types(context).SyncGroupResponse, values)  # type: ignore[no-any-return]
    return to_client(context, answer)  # type: ignore[no-any-return]
