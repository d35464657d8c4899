"""The requests by which members come, stay and go: JoinGroup, SyncGroup, Heartbeat, LeaveGroup.

Rules are those of Kafka's classic group: static members (KIP-345, KIP-814), the member id that a new member must first be
told (KIP-394), removal by an administrator (KIP-345's batched LeaveGroup).
"""

from kio.schema.errors import ErrorCode

from raylog.coordination import rebalance
from raylog.coordination.classic_group import ClassicGroup
from raylog.coordination.effects import Turn
from raylog.coordination.members import Member
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
from raylog.coordination.primitives import is_writable
from raylog.coordination.states import (
    COMPLETING,
    HEARTBEAT_ANSWER,
    ON_REJOIN,
    ON_SYNC,
    PREPARING,
    STABLE,
    RejoinAction,
    SyncAction,
)


def join_error(turn: Turn, request: JoinGroup) -> ErrorCode:
    """Whether the request can be taken at all, whatever the group."""
    settings = turn.settings
    if not settings.session_timeout_ms_min <= request.session_timeout_ms <= settings.session_timeout_ms_max:
        return ErrorCode.invalid_session_timeout
    names = [name for name, _ in request.protocols]
    # A member id is the client's or the instance's, and a uuid.
    ids = [f"{prefix or ''}-{request.new_member_uuid}" for prefix in (request.client_id, request.group_instance_id)]
    if not is_writable(request.client_host, request.protocol_type, *names, *ids):
        return ErrorCode.invalid_request
    return ErrorCode.none


def join(turn: Turn, group: ClassicGroup, request: JoinGroup) -> None:
    if not group.accepts(request.member_id, turn.settings.group_size_max):
        member = group.members.get(request.member_id)
        if member is not None:
            rebalance.drop_member(turn, group, member)
        group.pending_join.pop(request.member_id, None)
        _refuse_join(turn, request, ErrorCode.group_max_size_reached, member_id=NO_MEMBER_ID)
        rebalance.complete_if_all_joined(turn, group)
    elif not group.supports(request.protocol_type, request.protocols):
        _refuse_join(turn, request, ErrorCode.inconsistent_group_protocol)
    elif request.member_id == NO_MEMBER_ID:
        _join_without_id(turn, group, request)
    elif request.member_id in group.pending_join:
        if request.group_instance_id is None:
            _join_new(turn, group, request, request.member_id)
        else:
            # Ids are given out to dynamic members only.
            _refuse_join(turn, request, ErrorCode.invalid_request)
    else:
        _join_again(turn, group, request)


def _join_without_id(turn: Turn, group: ClassicGroup, request: JoinGroup) -> None:
    instance_id = request.group_instance_id
    member_id = f"{request.client_id if instance_id is None else instance_id}-{request.new_member_uuid}"
    if instance_id in group.static_members:
        _replace_static(turn, group, request, group.members[group.static_members[instance_id]], member_id)
    elif instance_id is None and request.requires_member_id:
        _give_id(turn, group, request, member_id)
    else:
        _join_new(turn, group, request, member_id)


def _give_id(turn: Turn, group: ClassicGroup, request: JoinGroup, member_id: str) -> None:
    """A client that gives up on a slow join and comes again would otherwise leave a member behind each time."""
    if len(group.pending_join) >= turn.settings.pending_members_max:
        _refuse_join(turn, request, ErrorCode.group_max_size_reached)
        return
    group.pending_join[member_id] = None
    rebalance.watch_pending(turn, group, member_id, request.session_timeout_ms)
    _refuse_join(turn, request, ErrorCode.member_id_required, member_id=member_id)


def _join_new(turn: Turn, group: ClassicGroup, request: JoinGroup, member_id: str) -> None:
    member = Member(
        member_id=member_id,
        group_instance_id=request.group_instance_id,
        client_id=request.client_id,
        client_host=request.client_host,
        session_timeout_ms=request.session_timeout_ms,
        rebalance_timeout_ms=request.rebalance_timeout_ms,
        protocols=request.protocols,
        is_new=True,
        join_token=request.token,
    )
    if not group.members:
        group.protocol_type = request.protocol_type
    group.member_added = group.initial_delay is not None
    group.add(member)
    rebalance.watch_new(turn, group, member)
    rebalance.prepare_or_complete(turn, group)


def _join_again(turn: Turn, group: ClassicGroup, request: JoinGroup) -> None:
    error = group.member_error(request.member_id, request.group_instance_id)
    action = ON_REJOIN[group.state, group.is_leader(request.member_id)]
    if error is ErrorCode.none and action is RejoinAction.REFUSE_UNKNOWN:
        error = ErrorCode.unknown_member_id
    if error is not ErrorCode.none:
        _refuse_join(turn, request, error)
        return
    member = group.members[request.member_id]
    if action is RejoinAction.REBALANCE_IF_CHANGED and member.protocols == request.protocols:
        is_assigning = group.state is COMPLETING and group.is_leader(member.member_id)
        turn.reply(request.token, _present_generation(group, member, with_members=is_assigning))
        return
    _update(turn, member, request)
    rebalance.prepare_or_complete(turn, group)


def _replace_static(turn: Turn, group: ClassicGroup, request: JoinGroup, old: Member, member_id: str) -> None:
    """A static member has restarted: it takes over what it was, and in a stable group nobody else notices."""
    leader_before = group.leader or ""
    fenced = ErrorCode.fenced_instance_id
    rebalance.answer_join(turn, old, JoinResult(member_id=old.member_id, error=fenced))
    rebalance.answer_sync(turn, old, SyncResult(error=fenced))
    rebalance.end_session(turn, group, old.member_id)
    member = group.replace_static(old, member_id)
    _update(turn, member, request)
    rebalance.extend_session(turn, group, member)
    keeps_protocol = group.state is STABLE and group.select_protocol() == group.protocol_name
    if keeps_protocol and rebalance.fits(turn, record := group.to_record()):
        member.join_token = None
        # The next coordinator must know the new id, so this is in the log before the member learns it.
        rebalance.persist(turn, group, record)
        turn.reply(request.token, _replaced(group, request, member, leader_before))
    elif group.state in (STABLE, COMPLETING):
        # Completing: the leader may be assigning to the old id at this moment.
        rebalance.prepare(turn, group)
    else:
        rebalance.complete_if_all_joined(turn, group)


def _replaced(group: ClassicGroup, request: JoinGroup, member: Member, leader_before: str) -> JoinResult:
    if request.supports_skip_assignment:
        is_leader = group.is_leader(member.member_id)
        return _present_generation(group, member, with_members=is_leader, skip_assignment=is_leader)
    # An older client that found itself the leader would assign; the group is stable and would not take it. So it is told
    # of the leader that was, under the id that is gone.
    return _present_generation(group, member, leader=leader_before)


def _update(turn: Turn, member: Member, request: JoinGroup) -> None:
    # Of two joins of a member at once the later counts. Kafka never answers the earlier one; here it is told to try again.
    again = JoinResult(member_id=member.member_id, error=ErrorCode.rebalance_in_progress)
    rebalance.answer_join(turn, member, again)
    member.protocols = request.protocols
    member.rebalance_timeout_ms = request.rebalance_timeout_ms
    member.session_timeout_ms = request.session_timeout_ms
    member.join_token = request.token


def _present_generation(
    group: ClassicGroup,
    member: Member,
    *,
    with_members: bool = False,
    skip_assignment: bool = False,
    leader: str | None = None,
) -> JoinResult:
    return JoinResult(
        member_id=member.member_id,
        generation=group.generation,
        protocol_type=group.protocol_type,
        protocol_name=group.protocol_name,
        leader=(group.leader or "") if leader is None else leader,
        skip_assignment=skip_assignment,
        members=group.joined_members() if with_members else (),
    )


def _refuse_join(turn: Turn, request: JoinGroup, error: ErrorCode, member_id: str | None = None) -> None:
    turn.reply(request.token, JoinResult(member_id=request.member_id if member_id is None else member_id, error=error))


def sync(turn: Turn, group: ClassicGroup, request: SyncGroup) -> None:
    error = _sync_error(group, request)
    if error is not ErrorCode.none:
        turn.reply(request.token, SyncResult(error=error))
        return
    member = group.members[request.member_id]
    match ON_SYNC[group.state]:
        case SyncAction.REFUSE_UNKNOWN:
            turn.reply(request.token, SyncResult(error=ErrorCode.unknown_member_id))
        case SyncAction.REFUSE_REBALANCE:
            turn.reply(request.token, SyncResult(error=ErrorCode.rebalance_in_progress))
        case SyncAction.ANSWER_ASSIGNMENT:
            rebalance.synced(turn, group, member.member_id)
            turn.reply(request.token, rebalance.sync_result(group, member))
        case SyncAction.WAIT_OR_ASSIGN:
            rebalance.answer_sync(turn, member, SyncResult(error=ErrorCode.rebalance_in_progress))
            member.sync_token = request.token
            rebalance.synced(turn, group, member.member_id)
            if group.is_leader(member.member_id):
                rebalance.assign(turn, group, dict(request.assignments))


def _sync_error(group: ClassicGroup, request: SyncGroup) -> ErrorCode:
    error = group.member_error(request.member_id, request.group_instance_id)
    if error is not ErrorCode.none:
        return error
    if request.generation != group.generation:
        return ErrorCode.illegal_generation
    named = ((request.protocol_type, group.protocol_type), (request.protocol_name, group.protocol_name))
    if any(said is not None and said != is_so for said, is_so in named):
        return ErrorCode.inconsistent_group_protocol
    return ErrorCode.none


def heartbeat(turn: Turn, group: ClassicGroup, request: Heartbeat) -> None:
    error = group.member_error(request.member_id, request.group_instance_id)
    if error is ErrorCode.none and request.generation != group.generation:
        error = ErrorCode.illegal_generation
    if error is ErrorCode.none:
        rebalance.extend_session(turn, group, group.members[request.member_id])
        error = HEARTBEAT_ANSWER[group.state]
    turn.reply(request.token, HeartbeatResult(error=error))


def leave(turn: Turn, group: ClassicGroup, request: LeaveGroup) -> None:
    size_before = len(group.members)
    errors = tuple([_leave_one(turn, group, leaving) for leaving in request.members])
    turn.reply(request.token, LeaveResult(errors=errors))
    if group.state is PREPARING:
        rebalance.complete_if_all_joined(turn, group)
    elif len(group.members) < size_before:
        rebalance.prepare(turn, group)


def _leave_one(turn: Turn, group: ClassicGroup, leaving: LeavingMember) -> ErrorCode:
    member_id: str | None = leaving.member_id
    if member_id in group.pending_join:
        rebalance.end_session(turn, group, leaving.member_id)
        group.pending_join.pop(leaving.member_id)
        return ErrorCode.none
    if member_id == NO_MEMBER_ID:
        # An administrator removes a static member by its instance id.
        instance_id = leaving.group_instance_id
        member_id = None if instance_id is None else group.static_members.get(instance_id)
        error = ErrorCode.unknown_member_id if member_id is None else ErrorCode.none
    else:
        error = group.member_error(leaving.member_id, leaving.group_instance_id)
    if error is ErrorCode.none and member_id is not None:
        rebalance.drop_member(turn, group, group.members[member_id])
    return error
