"""How a group goes from one generation to the next: the phases of a rebalance, and members that fail on the way.

A rebalance begins when a member joins, leaves or fails (``prepare``). Every member must then send JoinGroup; who has not when
``rebalance_timeout_ms`` is over is dropped, unless it is static. The new generation begins (``complete_join``): each member is
told who leads, the leader who is in. The leader's SyncGroup brings the assignment, which is appended to the log before
any member is told of it, so that whoever coordinates next knows the generation and its members.
"""

from kio.schema.errors import ErrorCode

from raylog.coordination.classic_group import ClassicGroup
from raylog.coordination.effects import TimerKey, TimerKind, Turn
from raylog.coordination.members import Member
from raylog.coordination.messages import NO_MEMBER_ID, JoinResult, SyncResult
from raylog.coordination.records import encode_group_key
from raylog.coordination.states import COMPLETING, EMPTY, PREPARING, STABLE

_WAIT_ON_MS_MIN = 1_000
"""A member may say that its rebalance time-out is nothing; the group is still not looked at all the time."""


def persist(turn: Turn, group: ClassicGroup, record: bytes) -> None:
    """Append the group as it is: to be called when it is Empty or Stable only, as that is how it is read back."""
    assert group.state in (EMPTY, STABLE)
    group.persisted = record
    turn.append(encode_group_key(group.group_id), record)


def fits(turn: Turn, record: bytes) -> bool:
    return len(record) <= turn.settings.group_record_bytes_max


def extend_session(turn: Turn, group: ClassicGroup, member: Member) -> None:
    turn.set_timer(_session(group, member.member_id), member.session_timeout_ms)


def watch_new(turn: Turn, group: ClassicGroup, member: Member) -> None:
    """A member that does not know its id yet cannot heartbeat; it may wait so long for its first answer."""
    turn.set_timer(_session(group, member.member_id), turn.settings.new_member_join_timeout_ms)


def watch_pending(turn: Turn, group: ClassicGroup, member_id: str, timeout_ms: int) -> None:
    """An id has been given out: its member must come with it in time."""
    turn.set_timer(_session(group, member_id), timeout_ms)


def end_session(turn: Turn, group: ClassicGroup, member_id: str) -> None:
    turn.cancel_timer(_session(group, member_id))


def answer_join(turn: Turn, member: Member, answer: JoinResult) -> None:
    """Answer the member's JoinGroup if it has one waiting."""
    if member.join_token is not None:
        turn.reply(member.join_token, answer)
        member.join_token = None


def answer_sync(turn: Turn, member: Member, answer: SyncResult) -> None:
    if member.sync_token is not None:
        turn.reply(member.sync_token, answer)
        member.sync_token = None


def prepare_or_complete(turn: Turn, group: ClassicGroup) -> None:
    """Members have changed: begin a rebalance, or see whether the one under way can complete."""
    if group.can_rebalance:
        prepare(turn, group)
    else:
        complete_if_all_joined(turn, group)


def prepare(turn: Turn, group: ClassicGroup) -> None:
    if group.state is COMPLETING:
        for member in group.members.values():
            member.assignment = b""
            if member.sync_token is not None:
                # Its session was not watched while its sync waited.
                extend_session(turn, group, member)
            answer_sync(turn, member, SyncResult(error=ErrorCode.rebalance_in_progress))
    group.pending_sync.clear()
    turn.cancel_timer(_sync(group))
    is_first = group.state is EMPTY
    group.become(PREPARING, turn.now_ms)
    if is_first:
        delay_ms = turn.settings.initial_rebalance_delay_ms
        group.initial_delay = (delay_ms, max(group.rebalance_timeout_ms - delay_ms, 0))
        turn.set_timer(_join(group), delay_ms)
    elif group.has_all_joined:
        complete_join(turn, group)
    else:
        turn.set_timer(_join(group), group.rebalance_timeout_ms)


def complete_if_all_joined(turn: Turn, group: ClassicGroup) -> None:
    """A new group's initial delay is waited out even when all known members are there: more are expected."""
    if group.state is PREPARING and group.initial_delay is None and group.has_all_joined:
        complete_join(turn, group)


def complete_join(turn: Turn, group: ClassicGroup) -> None:
    """Begin the next generation with those who have joined."""
    turn.cancel_timer(_join(group))
    group.initial_delay = None
    group.member_added = False
    for member in list(group.members.values()):
        if not member.awaits_join and not member.is_static:
            end_session(turn, group, member.member_id)
            group.remove(member.member_id)
    if group.members and not group.elect_joined_leader():
        # Only static members are left, and none has come back: wait on, until they do or their sessions end.
        turn.set_timer(_join(group), max(group.rebalance_timeout_ms, _WAIT_ON_MS_MIN))
        return
    group.begin_generation(turn.now_ms)
    if group.state is EMPTY:
        persist(turn, group, group.to_record())
        return
    for member in group.members.values():
        answer_join(
            turn,
            member,
            JoinResult(
                member_id=member.member_id,
                generation=group.generation,
                protocol_type=group.protocol_type,
                protocol_name=group.protocol_name,
                leader=group.leader or "",
                members=group.joined_members() if group.is_leader(member.member_id) else (),
            ),
        )
        member.is_new = False
        extend_session(turn, group, member)
        group.pending_sync[member.member_id] = None
    turn.set_timer(_sync(group), group.rebalance_timeout_ms)


def assign(turn: Turn, group: ClassicGroup, assignments: dict[str, bytes]) -> None:
    """The leader has assigned: the generation is stable, and told to the members once it is in the log."""
    for member in group.members.values():
        member.assignment = assignments.get(member.member_id, b"")
    group.become(STABLE, turn.now_ms)
    record = group.to_record()
    if not fits(turn, record):
        for member in group.members.values():
            member.assignment = b""
            answer_sync(turn, member, SyncResult(error=ErrorCode.unknown_server_error))
        prepare(turn, group)
        return
    persist(turn, group, record)
    for member in group.members.values():
        if member.sync_token is not None:
            extend_session(turn, group, member)
        answer_sync(turn, member, sync_result(group, member))


def sync_result(group: ClassicGroup, member: Member) -> SyncResult:
    return SyncResult(
        protocol_type=group.protocol_type, protocol_name=group.protocol_name, assignment=member.assignment
    )


def synced(turn: Turn, group: ClassicGroup, member_id: str) -> None:
    """The member has asked for its assignment."""
    group.pending_sync.pop(member_id, None)
    if not group.pending_sync:
        turn.cancel_timer(_sync(group))


def drop_member(turn: Turn, group: ClassicGroup, member: Member) -> None:
    """Take a member out. Whether that makes a rebalance is the caller's to see."""
    end_session(turn, group, member.member_id)
    # It may still be there, having waited too long: this makes it join anew.
    answer_join(turn, member, JoinResult(member_id=NO_MEMBER_ID, error=ErrorCode.unknown_member_id))
    answer_sync(turn, member, SyncResult(error=ErrorCode.unknown_member_id))
    group.remove(member.member_id)


def on_timer(turn: Turn, group: ClassicGroup, key: TimerKey) -> None:
    match key.kind:
        case TimerKind.SESSION:
            _session_expired(turn, group, key.member_id)
        case TimerKind.JOIN:
            _join_time_over(turn, group)
        case TimerKind.SYNC:
            _sync_time_over(turn, group)


def _session_expired(turn: Turn, group: ClassicGroup, member_id: str) -> None:
    member = group.members.get(member_id)
    if member is None:
        # An id was given out, and nobody came with it.
        group.pending_join.pop(member_id, None)
    elif member.is_waiting:
        return
    else:
        drop_member(turn, group, member)
    if group.state in (COMPLETING, STABLE) and member is not None:
        prepare(turn, group)
    elif group.state is PREPARING and group.has_all_joined:
        complete_join(turn, group)


def _join_time_over(turn: Turn, group: ClassicGroup) -> None:
    if group.state is not PREPARING:
        return
    if group.initial_delay is not None and group.member_added and group.initial_delay[1] > 0:
        past_ms, left_ms = group.initial_delay
        delay_ms = min(turn.settings.initial_rebalance_delay_ms, left_ms)
        group.member_added = False
        group.initial_delay = (delay_ms, max(left_ms - past_ms, 0))
        turn.set_timer(_join(group), delay_ms)
        return
    complete_join(turn, group)


def _sync_time_over(turn: Turn, group: ClassicGroup) -> None:
    if group.state not in (COMPLETING, STABLE) or not group.pending_sync:
        return
    for member_id in list(group.pending_sync):
        drop_member(turn, group, group.members[member_id])
    prepare(turn, group)


def _session(group: ClassicGroup, member_id: str) -> TimerKey:
    return TimerKey(TimerKind.SESSION, group.group_id, member_id)


def _join(group: ClassicGroup) -> TimerKey:
    return TimerKey(TimerKind.JOIN, group.group_id)


def _sync(group: ClassicGroup) -> TimerKey:
    return TimerKey(TimerKind.SYNC, group.group_id)
