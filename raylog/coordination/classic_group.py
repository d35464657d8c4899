"""A classic group: its state, its members, the protocol they agree on. Data and its invariants only; ``rebalance.py`` moves it.

Members are kept in the order in which they joined, so that whatever is chosen among them does not depend on hashes.
"""

from dataclasses import dataclass, field, replace

from kio.schema.errors import ErrorCode

from raylog.coordination.members import Member
from raylog.coordination.messages import JoinedMember, Protocols
from raylog.coordination.records import PersistedGroup, PersistedMember, encode_group
from raylog.coordination.states import COMPLETING, DEAD, EMPTY, PREPARING, STABLE, TRANSITIONS, GroupState
from raylog.coordination.subscription import CONSUMER_PROTOCOL_TYPE, subscribed_topics


@dataclass(slots=True, eq=False)
class ClassicGroup:
    group_id: str
    state: GroupState = EMPTY
    previous_state: GroupState = DEAD
    state_timestamp_ms: int = -1
    """When the group came into its state; -1: not known (old records)."""
    generation: int = 0
    protocol_type: str | None = None
    """None: no member ever; the group only keeps offsets."""
    protocol_name: str | None = None
    leader: str | None = None
    members: dict[str, Member] = field(default_factory=dict)
    static_members: dict[str, str] = field(default_factory=dict)
    """Member id by group instance id."""
    pending_join: dict[str, None] = field(default_factory=dict)
    """Ids given out (KIP-394) whose member has not joined yet; a dict for its order."""
    pending_sync: dict[str, None] = field(default_factory=dict)
    """Members of this generation that have not asked for their assignment yet."""
    member_added: bool = False
    """A member came in during the initial delay, which is extended for it."""
    initial_delay: tuple[int, int] | None = None
    """During a new group's first rebalance: the running part of the delay, and what remains after it, in ms."""
    topics: frozenset[str] | None = None
    """What the members of this generation subscribe to; None: not known."""
    persisted: bytes | None = None
    """The group's last record, as appended: what a rewrite of the log repeats. None: it has none."""
    last_ref: int = 0
    """The last append of this group: its answers wait for it."""

    def become(self, state: GroupState, now_ms: int) -> None:
        assert state in TRANSITIONS[self.state], f"group {self.group_id} goes from {self.state} to {state}"
        self.previous_state, self.state = self.state, state
        self.state_timestamp_ms = now_ms

    @property
    def can_rebalance(self) -> bool:
        return PREPARING in TRANSITIONS[self.state]

    @property
    def is_consumer_group(self) -> bool:
        return self.protocol_type == CONSUMER_PROTOCOL_TYPE

    @property
    def waiting_count(self) -> int:
        """Members that wait for the answer to their join."""
        return sum(member.awaits_join for member in self.members.values())

    @property
    def has_all_joined(self) -> bool:
        return not self.pending_join and all(member.awaits_join for member in self.members.values())

    @property
    def rebalance_timeout_ms(self) -> int:
        return max((member.rebalance_timeout_ms for member in self.members.values()), default=0)

    def is_leader(self, member_id: str) -> bool:
        return self.leader == member_id

    def member_error(self, member_id: str, group_instance_id: str | None) -> ErrorCode:
        """Whether a request comes from a member: none, UNKNOWN_MEMBER_ID, or FENCED_INSTANCE_ID when the instance id
        belongs to another member by now."""
        if group_instance_id is not None:
            holder = self.static_members.get(group_instance_id)
            if holder is None:
                return ErrorCode.unknown_member_id
            if holder != member_id:
                return ErrorCode.fenced_instance_id
        return ErrorCode.none if member_id in self.members else ErrorCode.unknown_member_id

    def accepts(self, member_id: str, size_max: int) -> bool:
        """Whether a joining member finds room (group.max.size)."""
        match self.state:
            case GroupState.EMPTY | GroupState.DEAD:
                return True
            case GroupState.PREPARING:
                # The waiting ones count, not the members: in a group above a lowered limit the last to rejoin are shed.
                member = self.members.get(member_id)
                return (member is not None and member.awaits_join) or self.waiting_count < size_max
            case GroupState.COMPLETING | GroupState.STABLE:
                return member_id in self.members or len(self.members) < size_max

    def add(self, member: Member) -> None:
        if member.group_instance_id is not None:
            self.static_members[member.group_instance_id] = member.member_id
        if self.leader is None:
            self.leader = member.member_id
        self.members[member.member_id] = member
        self.pending_join.pop(member.member_id, None)

    def remove(self, member_id: str) -> None:
        member = self.members.pop(member_id, None)
        if member is not None and member.group_instance_id is not None:
            self.static_members.pop(member.group_instance_id, None)
        if self.is_leader(member_id):
            self.leader = next(iter(self.members), None)
        self.pending_join.pop(member_id, None)
        self.pending_sync.pop(member_id, None)

    def replace_static(self, old: Member, new_member_id: str) -> Member:
        """A static member came back under a new id: it takes the old one's place, assignment and leadership."""
        assert old.group_instance_id is not None
        member = replace(old, member_id=new_member_id, is_new=False, join_token=None, sync_token=None)
        # In the old one's place, as the order of members counts.
        kept = [member if other is old else other for other in self.members.values()]
        self.members = {other.member_id: other for other in kept}
        self.static_members[old.group_instance_id] = new_member_id
        self.pending_sync.pop(old.member_id, None)
        if self.is_leader(old.member_id):
            self.leader = new_member_id
        return member

    def elect_joined_leader(self) -> bool:
        """Whether the leader, or else another that is now made it, has joined the coming generation."""
        if self.leader is None:
            return False
        if not self.members[self.leader].awaits_join:
            joined = next((member.member_id for member in self.members.values() if member.awaits_join), None)
            if joined is None:
                return False
            self.leader = joined
        return True

    def supports(self, protocol_type: str, protocols: Protocols) -> bool:
        """Whether a member that speaks these protocols can be in the group with the present members."""
        if self.state is EMPTY:
            return bool(protocol_type) and bool(protocols)
        if self.protocol_type != protocol_type:
            return False
        return any(all(member.supports(name) for member in self.members.values()) for name, _ in protocols)

    def select_protocol(self) -> str:
        """The protocol that all members speak and most prefer; of equal ones the earliest member's."""
        first = next(iter(self.members.values()))
        candidates = [
            name for name, _ in first.protocols if all(member.supports(name) for member in self.members.values())
        ]
        votes = dict.fromkeys(candidates, 0)
        for member in self.members.values():
            choice = member.vote(candidates)
            assert choice is not None, f"group {self.group_id} has no protocol that all its members speak"
            votes[choice] += 1
        return max(votes, key=lambda name: votes[name])

    def begin_generation(self, now_ms: int) -> None:
        self.generation += 1
        self.protocol_name = self.select_protocol() if self.members else None
        self.topics = self._subscribed_topics()
        self.pending_sync.clear()
        self.become(COMPLETING if self.members else EMPTY, now_ms)

    def is_subscribed_to(self, topic: str) -> bool:
        """Cautious: a consumer group whose subscription cannot be read is taken to be subscribed to all."""
        return self.is_consumer_group if self.topics is None else topic in self.topics

    def joined_members(self) -> tuple[JoinedMember, ...]:
        return tuple([member.as_joined(self.protocol_name) for member in self.members.values()])

    def to_record(self) -> bytes:
        return encode_group(
            PersistedGroup(
                protocol_type=self.protocol_type or "",
                generation=self.generation,
                protocol=self.protocol_name,
                leader=self.leader,
                state_timestamp_ms=self.state_timestamp_ms,
                members=tuple([self._persisted(member) for member in self.members.values()]),
            )
        )

    @classmethod
    def from_record(cls, group_id: str, value: PersistedGroup, raw: bytes) -> "ClassicGroup":
        """A group as its last record says: stable if it has members, else empty."""
        group = cls(
            group_id,
            state=STABLE if value.members else EMPTY,
            state_timestamp_ms=value.state_timestamp_ms,
            generation=value.generation,
            protocol_type=value.protocol_type or None,
            protocol_name=value.protocol,
            persisted=raw,
        )
        for member in value.members:
            group.add(
                Member(
                    member_id=member.member_id,
                    group_instance_id=member.group_instance_id,
                    client_id=member.client_id,
                    client_host=member.client_host,
                    session_timeout_ms=member.session_timeout_ms,
                    rebalance_timeout_ms=member.rebalance_timeout_ms,
                    protocols=((value.protocol or "", member.subscription),),
                    assignment=member.assignment,
                )
            )
        if value.leader in group.members:
            group.leader = value.leader
        group.topics = group._subscribed_topics()
        return group

    def _persisted(self, member: Member) -> PersistedMember:
        return PersistedMember(
            member_id=member.member_id,
            group_instance_id=member.group_instance_id,
            client_id=member.client_id,
            client_host=member.client_host,
            rebalance_timeout_ms=member.rebalance_timeout_ms,
            session_timeout_ms=member.session_timeout_ms,
            subscription=member.metadata(self.protocol_name),
            assignment=member.assignment,
        )

    def _subscribed_topics(self) -> frozenset[str] | None:
        if not self.is_consumer_group:
            return None
        found: frozenset[str] = frozenset()
        for member in self.members.values():
            topics = subscribed_topics(member.metadata(self.protocol_name))
            if topics is None:
                return None
            found |= topics
        return found

    def validate(self) -> None:
        """Assert what must hold between two events."""
        members = self.members
        assert all(member_id == member.member_id for member_id, member in members.items())
        assert self.generation >= 0
        assert (self.leader in members) if members else (self.leader is None), f"leader {self.leader} is no member"
        assert self.static_members == {
            member.group_instance_id: member.member_id for member in members.values() if member.is_static
        }
        assert not self.pending_join.keys() & members.keys(), "a member is pending, too"
        assert self.pending_sync.keys() <= members.keys(), "a pending sync of no member"
        assert not self.pending_sync or self.state in (COMPLETING, STABLE)
        assert self.state is not DEAD
        if self.state is EMPTY:
            assert not members
        if self.state in (COMPLETING, STABLE):
            assert members
            assert self.protocol_name is not None
            assert all(member.supports(self.protocol_name) for member in members.values())
        for member in members.values():
            assert member.join_token is None or self.state is PREPARING, "a join waits outside of a rebalance"
            assert member.sync_token is None or self.state is COMPLETING, "a sync waits outside of its phase"
        assert (self.initial_delay is None) or self.state is PREPARING
