"""DeleteGroups (key 42), versions 0-2: KIP-229. Only groups without members can be deleted."""

from typing import Any

from kio.static.protocol import Payload

from gateway.context import RequestContext
from gateway.groups import CoordinatorError, ask_each, client_types, internal_types, to_client
from gateway.registry import handles
from raylog.coordination import internal
from raylog.protocol.wire import NO_THROTTLE


@handles(internal.DELETE_GROUPS, 0, 2)
async def delete_groups(context: RequestContext, request: Any) -> Payload:
    asked = internal_types(context).DeleteGroupsRequest

    def one_group(group_id: str) -> Payload:
        return asked(groups_names=(group_id,))  # type: ignore[no-any-return]

    answers = await ask_each(context, list(dict.fromkeys(request.groups_names)), one_group)
    types = client_types(context)
    results = [
        types.DeletableGroupResult(group_id=group_id, error_code=answer.code)
        if isinstance(answer, CoordinatorError)
        else to_client(context, answer.results[0])
        for group_id, answer in answers
    ]
    return types.DeleteGroupsResponse(throttle_time=NO_THROTTLE, results=tuple(results))  # type: ignore[no-any-return]
