"""LeaveGroup (key 13), versions 0-5: KIP-345 (several members at once, by instance id as well, from v3), KIP-800 (reason)."""

from typing import Any, Final

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from gateway.context import RequestContext
from gateway.groups import CoordinatorError, ask, client_types, internal_types, to_client, to_internal
from gateway.messages import make
from gateway.registry import handles
from raylog.coordination import internal
from raylog.protocol.wire import NO_THROTTLE

_FIRST_VERSION_WITH_MEMBERS: Final = 3


@handles(internal.LEAVE_GROUP, 0, 5)
async def leave_group(context: RequestContext, request: Any) -> Payload:
    has_members = context.head.api_version >= _FIRST_VERSION_WITH_MEMBERS
    if has_members:
        asked = to_internal(context, request)
    else:
        types = internal_types(context)
        leaving = types.MemberIdentity(member_id=request.member_id)
        asked = types.LeaveGroupRequest(group_id=request.group_id, members=(leaving,))
    try:
        answer = await ask(context, request.group_id, asked)
    except CoordinatorError as error:
        return _answer(context, error.code)
    if has_members:
        return to_client(context, answer)  # type: ignore[no-any-return]
    # One member left: its error is the answer's.
    own = answer.members[0].error_code if answer.members else ErrorCode.none
    return _answer(context, answer.error_code or own)


def _answer(context: RequestContext, code: ErrorCode) -> Payload:
    values = {"throttle_time": NO_THROTTLE, "error_code": code, "members": ()}
    return make(client_types(context).LeaveGroupResponse, values)  # type: ignore[no-any-return]
