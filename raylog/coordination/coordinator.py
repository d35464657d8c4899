"""The group coordinator of one ``__consumer_offsets`` partition: all groups whose name hashes to it.

``handle`` takes an event and the wall time and gives effects; it never waits. Before the first event the coordinator is filled
with ``replay``, record by record, and opened with ``loaded``.

Durability (invariant 2): state moves at once, but an answer leaves only when all that its group had appended by then is
durable, errors and reads included. When an append fails the shell drops the whole coordinator, and with it all that it had not
told anybody, and loads a new one from the log.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kio.schema.errors import ErrorCode

from raylog.coordination import commits, membership, rebalance
from raylog.coordination.classic_group import ClassicGroup
from raylog.coordination.effects import Append, Effect, KeyValue, Reply, TimerKey, TrimLog, Turn
from raylog.coordination.messages import (
    NO_MEMBER_ID,
    CommitOffsets,
    DeleteGroup,
    DeleteGroupResult,
    DeleteOffsets,
    DescribeGroup,
    DescribeResult,
    FetchOffsets,
    GroupRequest,
    Heartbeat,
    JoinGroup,
    LeaveGroup,
    ListedGroup,
    ListGroups,
    ListResult,
    SyncGroup,
    Token,
)
from raylog.coordination.offsets import GroupOffsets
from raylog.coordination.primitives import is_writable
from raylog.coordination.records import GroupKey, decode_group, decode_key, decode_offset, encode_group_key
from raylog.coordination.refusals import answer_without_group, refusal
from raylog.coordination.rewrite import LogBound
from raylog.coordination.settings import GroupSettings
from raylog.coordination.states import DELETE_ANSWER, EMPTY, STABLE
from raylog.model.ids import ProducerId, TopicId


@dataclass(frozen=True, slots=True)
class Appended:
    """The append ``ref``, and so every one before it, is durable; its first record has this offset."""

    ref: int
    base_offset: int


@dataclass(frozen=True, slots=True)
class TimerFired:
    key: TimerKey


@dataclass(frozen=True, slots=True)
class ExpireOffsets:
    """To be sent every ``offsets_retention_check_interval_ms``.

    ``existing`` are the cluster's topics as they were at ``as_of_ms``, if they are known: offsets of others are dropped.
    """

    existing: Mapping[str, TopicId] | None = None
    as_of_ms: int = 0


Event = GroupRequest | ListGroups | Appended | TimerFired | ExpireOffsets


class GroupCoordinator:
    def __init__(self, settings: GroupSettings) -> None:
        self.settings = settings
        self.groups: dict[str, ClassicGroup] = {}
        self.offsets: dict[str, GroupOffsets] = {}
        self._bound = LogBound(settings)
        self._ref = 0
        self._durable_ref = 0
        self._held: dict[int, list[Reply]] = {}

    def configure(self, settings: GroupSettings) -> None:
        """Other settings, from the next event on."""
        self.settings = settings
        self._bound.settings = settings

    # Loading

    def replay(self, key: bytes, value: bytes | None, *, producer_id: ProducerId | None = None) -> None:
        """Take a record of the log over. ``producer_id``: of the transaction that wrote it. Raises CorruptError."""
        self._bound.replayed(key, value)
        found = decode_key(key)
        if found is None:
            return
        if isinstance(found, GroupKey):
            if value is None:
                self.groups.pop(found.group_id, None)
            else:
                self.groups[found.group_id] = ClassicGroup.from_record(found.group_id, decode_group(value), value)
            return
        offsets = self.offsets.setdefault(found.group_id, GroupOffsets())
        if value is None:
            offsets.discard(found.topic, found.partition)
        elif producer_id is None:
            offsets.put(found.topic, found.partition, decode_offset(value))
        else:
            offsets.stage(producer_id, found.topic, found.partition, decode_offset(value))

    def replay_end_of_transaction(self, producer_id: ProducerId, *, is_commit: bool) -> None:
        for offsets in self.offsets.values():
            offsets.settle(producer_id, is_commit=is_commit)

    def loaded(self, now_ms: int) -> list[Effect]:
        """The log has been read: sessions of the members that it names begin anew."""
        effects: list[Effect] = []
        live_offsets = sum(len(at) for own in self.offsets.values() for at in own.committed.values())
        self._bound.loaded(live_offsets + len(self.groups))
        self.offsets = {group_id: offsets for group_id, offsets in self.offsets.items() if offsets}
        for group_id in self.offsets:
            # Offsets without a group: of a consumer that assigns its partitions itself.
            self.groups.setdefault(group_id, ClassicGroup(group_id))
        for group in list(self.groups.values()):
            turn = Turn(now_ms, self.settings)
            for member in group.members.values():
                rebalance.extend_session(turn, group, member)
            if len(group.members) > self.settings.group_size_max:
                rebalance.prepare(turn, group)
            effects += self._finish(turn, group)
        return effects

    # Events

    def handle(self, event: Event, now_ms: int) -> list[Effect]:
        match event:
            case Appended():
                return self._appended(event)
            case TimerFired():
                return self._timer_fired(event.key, now_ms)
            case ExpireOffsets():
                return self._expire(event, now_ms)
            case ListGroups():
                return self._hold(Reply(event.token, self._list(event)), self._ref)
            case GroupRequest():
                return self._request(event, now_ms)

    def _request(self, request: GroupRequest, now_ms: int) -> list[Effect]:
        turn = Turn(now_ms, self.settings)
        group = self.groups.get(request.group_id)
        if not is_writable(request.group_id):
            return [Reply(request.token, refusal(request, ErrorCode.invalid_group_id))]
        if isinstance(request, JoinGroup) and (error := membership.join_error(turn, request)) is not ErrorCode.none:
            return [Reply(request.token, refusal(request, error))]
        if group is None:
            if not _makes_group(request):
                return self._hold(Reply(request.token, answer_without_group(request)), self._ref)
            group = self.groups[request.group_id] = ClassicGroup(request.group_id, last_ref=self._ref)
        self._dispatch(turn, group, request)
        return self._finish(turn, group)

    def _dispatch(self, turn: Turn, group: ClassicGroup, request: GroupRequest) -> None:
        match request:
            case JoinGroup():
                membership.join(turn, group, request)
            case SyncGroup():
                membership.sync(turn, group, request)
            case Heartbeat():
                membership.heartbeat(turn, group, request)
            case LeaveGroup():
                membership.leave(turn, group, request)
            case CommitOffsets():
                commits.commit(turn, group, self._offsets_of(group), request)
            case FetchOffsets():
                turn.reply(request.token, commits.fetch(self._offsets_of(group), request))
            case DeleteOffsets():
                commits.delete(turn, group, self._offsets_of(group), request)
            case DescribeGroup():
                turn.reply(request.token, _described(group))
            case DeleteGroup():
                self._delete(turn, group, request.token)
            case _:
                raise AssertionError(f"{type(request).__name__} is no request of a group")

    def _timer_fired(self, key: TimerKey, now_ms: int) -> list[Effect]:
        group = self.groups.get(key.group_id)
        if group is None:
            return []
        turn = Turn(now_ms, self.settings)
        rebalance.on_timer(turn, group, key)
        return self._finish(turn, group)

    def _expire(self, event: ExpireOffsets, now_ms: int) -> list[Effect]:
        effects: list[Effect] = []
        for group in list(self.groups.values()):
            turn = Turn(now_ms, self.settings)
            offsets = self._offsets_of(group)
            if event.existing is not None:
                commits.drop_topics(turn, group, offsets, event.existing, event.as_of_ms)
            commits.expire(turn, group, offsets)
            if group.state is EMPTY and not group.pending_join and not offsets:
                self._remove(turn, group)
            effects += self._finish(turn, group)
        return effects

    def _delete(self, turn: Turn, group: ClassicGroup, token: Token) -> None:
        error = DELETE_ANSWER[group.state]
        if error is ErrorCode.none:
            commits.delete_all(turn, group, self._offsets_of(group))
            self._remove(turn, group)
        turn.reply(token, DeleteGroupResult(error=error))

    def _remove(self, turn: Turn, group: ClassicGroup) -> None:
        """Forget an empty group, in the log as well."""
        for member_id in group.pending_join:
            rebalance.end_session(turn, group, member_id)
        group.pending_join.clear()
        if group.persisted is not None:
            group.persisted = None
            turn.append(encode_group_key(group.group_id), None)

    def _list(self, request: ListGroups) -> ListResult:
        states = {state.lower() for state in request.states}
        types = {group_type.lower() for group_type in request.types}
        if types and "classic" not in types:
            return ListResult()
        return ListResult(
            groups=tuple(
                [
                    ListedGroup(
                        group_id=group.group_id, protocol_type=group.protocol_type or "", state=group.state.value
                    )
                    for group in self.groups.values()
                    if not states or group.state.value.lower() in states
                ]
            )
        )

    # The end of a turn

    def _finish(self, turn: Turn, group: ClassicGroup) -> list[Effect]:
        """The turn's effects, in the order: append, timers, answers; each answer once its group's appends are durable."""
        effects: list[Effect] = []
        if turn.records:
            group.last_ref = self._append(effects, turn.records)
        effects += turn.timers
        for reply in turn.replies:
            effects += self._hold(reply, group.last_ref)
        offsets = self.offsets.get(group.group_id)
        if offsets is not None and not offsets:
            del self.offsets[group.group_id]
            offsets = None
        if not (offsets or group.members or group.pending_join or group.persisted or group.state is not EMPTY):
            # Nothing is known of it: as if it had never been.
            self.groups.pop(group.group_id, None)
        if turn.records:
            self._rewrite_if_due(effects)
        return effects

    def _append(self, effects: list[Effect], records: Sequence[KeyValue]) -> int:
        """The ref of the last append that it takes."""
        self._bound.appended(records)
        for batch in _batches(records, self.settings.append_bytes_max):
            self._ref += 1
            effects.append(Append(self._ref, batch))
        return self._ref

    def _hold(self, reply: Reply, ref: int) -> list[Effect]:
        if ref <= self._durable_ref:
            return [reply]
        self._held.setdefault(ref, []).append(reply)
        return []

    def _appended(self, event: Appended) -> list[Effect]:
        assert event.ref == self._durable_ref + 1, f"append {event.ref} is durable before {self._durable_ref + 1}"
        self._durable_ref = event.ref
        self._bound.durable(event.ref, event.base_offset)
        effects: list[Effect] = list(self._held.pop(event.ref, ()))
        self._rewrite_if_due(effects)
        return effects

    def _rewrite_if_due(self, effects: list[Effect]) -> None:
        records, trim_before = self._bound.step(
            self.groups, self.offsets, durable_ref=self._durable_ref, next_ref=self._ref + 1
        )
        if records:
            self._bound.chunk_appended(self._append(effects, records))
        if trim_before is not None:
            effects.append(TrimLog(trim_before))

    def _offsets_of(self, group: ClassicGroup) -> GroupOffsets:
        return self.offsets.setdefault(group.group_id, GroupOffsets())

    def validate(self) -> None:
        """Assert what must hold between two events."""
        for group_id, group in self.groups.items():
            assert group_id == group.group_id
            group.validate()
        assert self.offsets.keys() <= self.groups.keys(), "offsets of no group"
        for offsets in self.offsets.values():
            offsets.validate()
        assert all(self._durable_ref < ref <= self._ref for ref in self._held), "an answer is held back for nothing"


def _makes_group(request: GroupRequest) -> bool:
    if isinstance(request, JoinGroup):
        return request.member_id == NO_MEMBER_ID
    return isinstance(request, CommitOffsets) and commits.commit_error_without_group(request) is ErrorCode.none


def _described(group: ClassicGroup) -> DescribeResult:
    # What a member said of itself counts once the group has agreed on a protocol.
    protocol = group.protocol_name if group.state is STABLE else None
    return DescribeResult(
        state=group.state.value,
        protocol_type=group.protocol_type or "",
        protocol_data=protocol or "",
        members=tuple([member.as_described(protocol) for member in group.members.values()]),
    )


def _batches(records: Sequence[KeyValue], bytes_max: int) -> Iterator[tuple[KeyValue, ...]]:
    batch: list[KeyValue] = []
    size = 0
    for record in records:
        record_bytes = len(record.key) + len(record.value or b"")
        if batch and size + record_bytes > bytes_max:
            yield tuple(batch)
            batch, size = [], 0
        batch.append(record)
        size += record_bytes
    yield tuple(batch)
