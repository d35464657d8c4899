"""JoinGroup (key 11), versions 0-9: KIP-62 (rebalance time-out), KIP-345 (static members), KIP-394 (member id required, from
v4), KIP-559 (protocol type), KIP-800 (reason), KIP-814 (skip assignment).

The answer comes when the rebalance completes, which may take as long as the slowest member's rebalance time-out.
"""

from dataclasses import replace
from typing import Any, Final

from kio.static.protocol import Payload

from gateway.context import RequestContext
from gateway.groups import CoordinatorError, ask, client_types, to_client, to_internal
from gateway.messages import make
from gateway.registry import handles
from raylog.coordination import internal
from raylog.protocol.wire import NO_THROTTLE, to_ms

_FIRST_VERSION_WITH_REBALANCE_TIMEOUT: Final = 1
_FIRST_VERSION_WITH_NULL_PROTOCOL: Final = 7
_PATIENCE_S: Final = 30.0
"""Beyond the member's own rebalance time-out: others may have a longer one, and a new group waits for more members."""


@handles(internal.JOIN_GROUP, 0, 9)
async def join_group(context: RequestContext, request: Any) -> Payload:
    version = context.head.api_version
    asked = to_internal(context, request)
    if version < _FIRST_VERSION_WITH_REBALANCE_TIMEOUT:
        asked = replace(asked, rebalance_timeout=asked.session_timeout)
    waits_s = max(to_ms(asked.rebalance_timeout), to_ms(asked.session_timeout), 0) / 1000
    try:
        answer = await ask(context, request.group_id, asked, timeout_s=waits_s + _PATIENCE_S)
    except CoordinatorError as error:
        return _refused(context, request.member_id, error)
    if answer.protocol_name is None and version < _FIRST_VERSION_WITH_NULL_PROTOCOL:
        answer = replace(answer, protocol_name="")
    return to_client(context, answer)  # type: ignore[no-any-return]


def _refused(context: RequestContext, member_id: str, error: CoordinatorError) -> Payload:
    has_null = context.head.api_version >= _FIRST_VERSION_WITH_NULL_PROTOCOL
    values = {
        "throttle_time": NO_THROTTLE,
        "error_code": error.code,
        "protocol_name": None if has_null else "",
        "leader": "",
        "member_id": member_id,
        "members": (),
    }
    return make(client_types(context).JoinGroupResponse, values)  # type: ignore[no-any-return]
