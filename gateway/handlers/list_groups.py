"""ListGroups (key 16), versions 0-5: KIP-518 (states), KIP-848 (types; all groups here are ``classic``).

Clients ask every broker and put the answers together. Any gateway can ask all coordinators; so that no group is listed twice,
each broker answers for its share of the ``__consumer_offsets`` partitions, and all brokers together for all.
"""

from typing import Any

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from gateway.context import RequestContext
from gateway.groups import CoordinatorError, ask_all_leaders, client_types, partition_count, to_client, to_internal
from gateway.messages import make
from gateway.registry import handles
from raylog.coordination import internal
from raylog.coordination.hashing import group_partition
from raylog.protocol.wire import NO_THROTTLE


@handles(internal.LIST_GROUPS, 0, 5)
async def list_groups(context: RequestContext, request: Any) -> Payload:
    groups: dict[str, Any] = {}
    code = ErrorCode.none
    try:
        count = partition_count(context)
        answers = await ask_all_leaders(context, to_internal(context, request))
    except CoordinatorError:
        # No __consumer_offsets yet, so no groups.
        count, answers = 1, []
    for answer in answers:
        if isinstance(answer, CoordinatorError):
            code = answer.code
        else:
            code = answer.error_code or code
            groups |= {group.group_id: group for group in answer.groups if _is_own(context, group.group_id, count)}
    values = {
        "throttle_time": NO_THROTTLE,
        "error_code": ErrorCode(code),
        "groups": to_client(context, tuple(groups.values())),
    }
    return make(client_types(context).ListGroupsResponse, values)  # type: ignore[no-any-return]


def _is_own(context: RequestContext, group_id: str, count: int) -> bool:
    brokers = sorted(broker.broker_id for broker in context.table.brokers)
    own = context.services.broker.broker_id
    return own not in brokers or brokers[group_partition(group_id, count) % len(brokers)] == own
