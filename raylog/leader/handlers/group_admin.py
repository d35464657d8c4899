"""ListGroups, DescribeGroups and DeleteGroups on the leader's side: the groups whose coordinators are in this leader."""

import asyncio

from kio.schema.delete_groups.v2.request import DeleteGroupsRequest
from kio.schema.delete_groups.v2.response import DeletableGroupResult, DeleteGroupsResponse
from kio.schema.describe_groups.v6.request import DescribeGroupsRequest
from kio.schema.describe_groups.v6.response import DescribedGroup, DescribedGroupMember, DescribeGroupsResponse
from kio.schema.errors import ErrorCode
from kio.schema.list_groups.v5.request import ListGroupsRequest
from kio.schema.list_groups.v5.response import ListedGroup, ListGroupsResponse

from raylog.coordination import internal
from raylog.coordination.internal import ClientContext
from raylog.coordination.messages import (
    DeleteGroup,
    DeleteGroupResult,
    DescribeGroup,
    DescribeResult,
    ListGroups,
    ListResult,
)
from raylog.leader.call import Call
from raylog.leader.group_calls import CoordinatorError, ask, ask_all, client_of
from raylog.leader.registry import handles
from raylog.protocol.wire import NO_THROTTLE, group_id


@handles(internal.LIST_GROUPS, 5, 5)
async def list_groups(call: Call) -> ListGroupsResponse:
    request: ListGroupsRequest = call.request
    try:
        results = await ask_all(
            call,
            ListResult,
            lambda token: ListGroups(token=token, states=request.states_filter, types=request.types_filter),
        )
    except CoordinatorError as error:
        return ListGroupsResponse(throttle_time=NO_THROTTLE, error_code=error.code, groups=())
    return ListGroupsResponse(
        throttle_time=NO_THROTTLE,
        error_code=ErrorCode.none,
        groups=tuple(
            [
                ListedGroup(
                    group_id=group_id(group.group_id),
                    protocol_type=group.protocol_type,
                    group_state=group.state,
                    group_type=group.type,
                )
                for result in results
                for group in result.groups
            ]
        ),
    )


@handles(internal.DESCRIBE_GROUPS, 6, 6)
async def describe_groups(call: Call) -> DescribeGroupsResponse:
    request: DescribeGroupsRequest = call.request
    client = client_of(call)
    described = await asyncio.gather(*(_describe(call, client, name) for name in request.groups))
    return DescribeGroupsResponse(throttle_time=NO_THROTTLE, groups=tuple(described))


async def _describe(call: Call, client: ClientContext, name: str) -> DescribedGroup:
    try:
        result = await ask(call, client, name, DescribeResult, lambda token: DescribeGroup(token=token, group_id=name))
    except CoordinatorError as error:
        result = DescribeResult(error=error.code, state="")
    is_missing = result.error is ErrorCode.group_id_not_found
    return DescribedGroup(
        error_code=result.error,
        error_message=f"Group {name} not found." if is_missing else None,
        group_id=group_id(name),
        group_state=result.state,
        protocol_type=result.protocol_type,
        protocol_data=result.protocol_data,
        members=tuple(
            [
                DescribedGroupMember(
                    member_id=member.member_id,
                    group_instance_id=member.group_instance_id,
                    client_id=member.client_id,
                    client_host=member.client_host,
                    member_metadata=member.metadata,
                    member_assignment=member.assignment,
                )
                for member in result.members
            ]
        ),
    )


@handles(internal.DELETE_GROUPS, 2, 2)
async def delete_groups(call: Call) -> DeleteGroupsResponse:
    request: DeleteGroupsRequest = call.request
    client = client_of(call)
    results = await asyncio.gather(*(_delete(call, client, name) for name in request.groups_names))
    return DeleteGroupsResponse(throttle_time=NO_THROTTLE, results=tuple(results))


async def _delete(call: Call, client: ClientContext, name: str) -> DeletableGroupResult:
    try:
        result = await ask(call, client, name, DeleteGroupResult, lambda token: DeleteGroup(token=token, group_id=name))
    except CoordinatorError as error:
        result = DeleteGroupResult(error=error.code)
    return DeletableGroupResult(group_id=group_id(name), error_code=result.error)
