"""JoinGroup, SyncGroup, Heartbeat and LeaveGroup on the leader's side: from Kafka's entities to the coordinator and back."""

from typing import Final

from kio.schema.errors import ErrorCode
from kio.schema.heartbeat.v4.request import HeartbeatRequest
from kio.schema.heartbeat.v4.response import HeartbeatResponse
from kio.schema.join_group.v9.request import JoinGroupRequest
from kio.schema.join_group.v9.response import JoinGroupResponse, JoinGroupResponseMember
from kio.schema.leave_group.v5.request import LeaveGroupRequest
from kio.schema.leave_group.v5.response import LeaveGroupResponse, MemberResponse
from kio.schema.sync_group.v5.request import SyncGroupRequest
from kio.schema.sync_group.v5.response import SyncGroupResponse

from raylog.coordination import internal
from raylog.coordination.messages import (
    NO_MEMBER_ID,
    Heartbeat,
    HeartbeatResult,
    JoinGroup,
    JoinResult,
    LeaveGroup,
    LeaveResult,
    LeavingMember,
    SyncGroup,
    SyncResult,
)
from raylog.leader.call import Call
from raylog.leader.group_calls import CoordinatorError, ask, client_of
from raylog.leader.registry import handles
from raylog.protocol.wire import NO_THROTTLE, i32, to_ms

_FIRST_VERSION_WITH_MEMBER_ID_REQUIRED: Final = 4
_FIRST_VERSION_WITH_SKIP_ASSIGNMENT: Final = 9


@handles(internal.JOIN_GROUP, 9, 9)
async def join_group(call: Call) -> JoinGroupResponse:
    request: JoinGroupRequest = call.request
    client = client_of(call)
    try:
        result = await ask(
            call,
            client,
            request.group_id,
            JoinResult,
            lambda token: JoinGroup(
                token=token,
                group_id=request.group_id,
                member_id=request.member_id,
                group_instance_id=request.group_instance_id,
                client_id=client.client_id,
                client_host=f"/{client.host}",
                session_timeout_ms=to_ms(request.session_timeout),
                rebalance_timeout_ms=to_ms(request.rebalance_timeout),
                protocol_type=request.protocol_type,
                protocols=tuple([(protocol.name, protocol.metadata) for protocol in request.protocols]),
                reason=request.reason,
                requires_member_id=client.api_version >= _FIRST_VERSION_WITH_MEMBER_ID_REQUIRED,
                supports_skip_assignment=client.api_version >= _FIRST_VERSION_WITH_SKIP_ASSIGNMENT,
                new_member_uuid=call.leader.coordinators.new_uuid() if request.member_id == NO_MEMBER_ID else "",
            ),
        )
    except CoordinatorError as error:
        result = JoinResult(member_id=request.member_id, error=error.code)
    return JoinGroupResponse(
        throttle_time=NO_THROTTLE,
        error_code=result.error,
        generation_id=i32(result.generation),
        protocol_type=result.protocol_type,
        protocol_name=result.protocol_name,
        leader=result.leader,
        skip_assignment=result.skip_assignment,
        member_id=result.member_id,
        members=tuple(
            [
                JoinGroupResponseMember(
                    member_id=member.member_id, group_instance_id=member.group_instance_id, metadata=member.metadata
                )
                for member in result.members
            ]
        ),
    )


@handles(internal.SYNC_GROUP, 5, 5)
async def sync_group(call: Call) -> SyncGroupResponse:
    request: SyncGroupRequest = call.request
    try:
        result = await ask(
            call,
            client_of(call),
            request.group_id,
            SyncResult,
            lambda token: SyncGroup(
                token=token,
                group_id=request.group_id,
                generation=request.generation_id,
                member_id=request.member_id,
                group_instance_id=request.group_instance_id,
                protocol_type=request.protocol_type,
                protocol_name=request.protocol_name,
                assignments=tuple([(assigned.member_id, assigned.assignment) for assigned in request.assignments]),
            ),
        )
    except CoordinatorError as error:
        # Clients do not expect a coordinator that loads here. The rebalance that was under way is lost: join again.
        loads = error.code is ErrorCode.coordinator_load_in_progress
        result = SyncResult(error=ErrorCode.rebalance_in_progress if loads else error.code)
    return SyncGroupResponse(
        throttle_time=NO_THROTTLE,
        error_code=result.error,
        protocol_type=result.protocol_type,
        protocol_name=result.protocol_name,
        assignment=result.assignment,
    )


@handles(internal.HEARTBEAT, 4, 4)
async def heartbeat(call: Call) -> HeartbeatResponse:
    request: HeartbeatRequest = call.request
    try:
        result = await ask(
            call,
            client_of(call),
            request.group_id,
            HeartbeatResult,
            lambda token: Heartbeat(
                token=token,
                group_id=request.group_id,
                generation=request.generation_id,
                member_id=request.member_id,
                group_instance_id=request.group_instance_id,
            ),
        )
    except CoordinatorError as error:
        # While the coordinator loads nobody's session runs: as Kafka, take the heartbeat for good.
        loads = error.code is ErrorCode.coordinator_load_in_progress
        result = HeartbeatResult(error=ErrorCode.none if loads else error.code)
    return HeartbeatResponse(throttle_time=NO_THROTTLE, error_code=result.error)


@handles(internal.LEAVE_GROUP, 5, 5)
async def leave_group(call: Call) -> LeaveGroupResponse:
    request: LeaveGroupRequest = call.request
    try:
        result = await ask(
            call,
            client_of(call),
            request.group_id,
            LeaveResult,
            lambda token: LeaveGroup(
                token=token,
                group_id=request.group_id,
                members=tuple(
                    [
                        LeavingMember(
                            member_id=member.member_id,
                            group_instance_id=member.group_instance_id,
                            reason=member.reason,
                        )
                        for member in request.members
                    ]
                ),
            ),
        )
    except CoordinatorError as error:
        return LeaveGroupResponse(throttle_time=NO_THROTTLE, error_code=error.code, members=())
    return LeaveGroupResponse(
        throttle_time=NO_THROTTLE,
        error_code=ErrorCode.none,
        members=tuple(
            [
                MemberResponse(
                    member_id=member.member_id, group_instance_id=member.group_instance_id, error_code=member_error
                )
                for member, member_error in zip(request.members, result.errors, strict=True)
            ]
        ),
    )
