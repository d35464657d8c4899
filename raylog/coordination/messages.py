"""What a group coordinator is asked and what it answers: plain values, whatever version of the API the client speaks.

Every request has a ``token``: the coordinator hands it back with the answer and never looks into it. A request has exactly
one answer, sooner or later, or the coordinator is gone and the shell answers.
"""

from dataclasses import dataclass, field

from kio.schema.errors import ErrorCode

from raylog.model.ids import TopicId

Token = object

NO_GENERATION = -1
NO_MEMBER_ID = ""
NO_LEADER = ""
NO_OFFSET = -1

Protocols = tuple[tuple[str, bytes], ...]
"""A member's protocols (assignment strategies) with its metadata for each, the preferred one first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRequest:
    token: Token
    group_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinGroup(GroupRequest):
    member_id: str
    group_instance_id: str | None = None
    client_id: str = ""
    client_host: str = ""
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocol_type: str
    protocols: Protocols
    reason: str | None = None
    requires_member_id: bool
    """A new dynamic member is first told its id (KIP-394): versions from 4."""
    supports_skip_assignment: bool
    """The client knows that a leader may be told not to assign (KIP-814): versions from 9."""
    new_member_uuid: str
    """Drawn by the shell; part of the member id should one be given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedMember:
    member_id: str
    group_instance_id: str | None
    metadata: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinResult:
    error: ErrorCode = ErrorCode.none
    member_id: str
    generation: int = NO_GENERATION
    protocol_type: str | None = None
    protocol_name: str | None = None
    leader: str = NO_LEADER
    skip_assignment: bool = False
    members: tuple[JoinedMember, ...] = ()
    """All members, for the leader; nothing for the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncGroup(GroupRequest):
    generation: int
    member_id: str
    group_instance_id: str | None = None
    protocol_type: str | None = None
    protocol_name: str | None = None
    assignments: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    error: ErrorCode = ErrorCode.none
    protocol_type: str | None = None
    protocol_name: str | None = None
    assignment: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat(GroupRequest):
    generation: int
    member_id: str
    group_instance_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatResult:
    error: ErrorCode = ErrorCode.none


@dataclass(frozen=True, slots=True, kw_only=True)
class LeavingMember:
    member_id: str
    group_instance_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveGroup(GroupRequest):
    members: tuple[LeavingMember, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveResult:
    errors: tuple[ErrorCode, ...]
    """In the order of the leaving members."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetToCommit:
    topic: str
    topic_id: TopicId | None
    partition: int
    offset: int
    leader_epoch: int = -1
    metadata: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitOffsets(GroupRequest):
    generation: int = NO_GENERATION
    member_id: str = NO_MEMBER_ID
    group_instance_id: str | None = None
    retention_ms: int | None = None
    """An explicit retention (versions 2 to 4); None: the coordinator's."""
    offsets: tuple[OffsetToCommit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitResult:
    errors: tuple[ErrorCode, ...]
    """In the order of the offsets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicPartitions:
    topic: str
    topic_id: TopicId | None = None
    partitions: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchOffsets(GroupRequest):
    topics: tuple[TopicPartitions, ...] | None
    """None: all that the group has committed."""
    require_stable: bool = False
    """Offsets that an open transaction may still change are answered UNSTABLE_OFFSET_COMMIT (KIP-447)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedOffset:
    partition: int
    offset: int = NO_OFFSET
    leader_epoch: int = -1
    metadata: str = ""
    error: ErrorCode = ErrorCode.none


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedTopic:
    topic: str
    topic_id: TopicId | None
    offsets: tuple[FetchedOffset, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchResult:
    topics: tuple[FetchedTopic, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOffsets(GroupRequest):
    topics: tuple[TopicPartitions, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOffsetsResult:
    error: ErrorCode = ErrorCode.none
    """For all; with it, ``errors`` is empty."""
    errors: tuple[tuple[ErrorCode, ...], ...] = ()
    """In the order of the topics and their partitions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeGroup(GroupRequest):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedMember:
    member_id: str
    group_instance_id: str | None
    client_id: str
    client_host: str
    metadata: bytes
    assignment: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeResult:
    """A group that is not there is described as Dead with GROUP_ID_NOT_FOUND; versions below 6 show the state only."""

    error: ErrorCode = ErrorCode.none
    state: str
    protocol_type: str = ""
    protocol_data: str = ""
    members: tuple[DescribedMember, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteGroup(GroupRequest):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteGroupResult:
    error: ErrorCode = ErrorCode.none


@dataclass(frozen=True, slots=True, kw_only=True)
class ListGroups:
    token: Token
    states: tuple[str, ...] = ()
    """Only groups in one of these states, in any case of letters; empty: all."""
    types: tuple[str, ...] = ()
    """Only groups of these types; empty: all. Here all groups are ``classic``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedGroup:
    group_id: str
    protocol_type: str
    state: str
    type: str = "classic"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListResult:
    groups: tuple[ListedGroup, ...] = field(default=())


Answer = (
    JoinResult
    | SyncResult
    | HeartbeatResult
    | LeaveResult
    | CommitResult
    | FetchResult
    | DeleteOffsetsResult
    | DescribeResult
    | DeleteGroupResult
    | ListResult
)
