"""DescribeGroups (key 15), versions 0-6: KIP-345 (instance ids), KIP-430 (authorized operations), KIP-1043
(GROUP_ID_NOT_FOUND, v6).

Before v6 a group that is not there is described as Dead, without an error.
"""

from dataclasses import replace
from typing import Any, Final

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from gateway.context import RequestContext
from gateway.groups import CoordinatorError, ask_each, client_types, internal_types, to_client
from gateway.messages import make
from gateway.registry import handles
from raylog.coordination import internal
from raylog.protocol.wire import NO_THROTTLE

_FIRST_VERSION_WITH_NOT_FOUND: Final = 6
_ALL_OPERATIONS: Final = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11
"""Read, Delete, Describe, DescribeConfigs, AlterConfigs: what there is for groups, while there are no ACLs."""


@handles(internal.DESCRIBE_GROUPS, 0, 6)
async def describe_groups(context: RequestContext, request: Any) -> Payload:
    asked = internal_types(context).DescribeGroupsRequest

    def one_group(group_id: str) -> Payload:
        return asked(groups=(group_id,), include_authorized_operations=False)  # type: ignore[no-any-return]

    answers = await ask_each(context, list(dict.fromkeys(request.groups)), one_group)
    shows_operations = getattr(request, "include_authorized_operations", False)
    groups = [_described(context, group_id, answer, shows_operations) for group_id, answer in answers]
    values = {"throttle_time": NO_THROTTLE, "groups": tuple(groups)}
    return make(client_types(context).DescribeGroupsResponse, values)  # type: ignore[no-any-return]


def _described(context: RequestContext, group_id: str, answer: Any, shows_operations: bool) -> Any:
    if isinstance(answer, CoordinatorError):
        values = {"error_code": answer.code, "group_id": group_id, "group_state": "", "members": ()}
        return make(client_types(context).DescribedGroup, values | {"protocol_type": "", "protocol_data": ""})
    (group,) = answer.groups
    if group.error_code is ErrorCode.group_id_not_found and context.head.api_version < _FIRST_VERSION_WITH_NOT_FOUND:
        group = replace(group, error_code=ErrorCode.none, error_message=None)
    if shows_operations and group.error_code is ErrorCode.none:
        group = replace(group, authorized_operations=_ALL_OPERATIONS)
    return to_client(context, group)
