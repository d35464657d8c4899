"""The classic group's states and, as tables, what each allows and answers (Kafka's ClassicGroupState, GroupMetadataManager).

Empty ──join──▶ PreparingRebalance ──all joined, or time is over──▶ CompletingRebalance ──leader's sync──▶ Stable
  ▲                │    ▲  ▲                                            │                                    │
  └──nobody joined─┘    │  └──────── a member joins, leaves or fails ───┘                                    │
                        └───────────────── a member joins, leaves or fails ──────────────────────────────────┘
"""

from enum import Enum, auto

from kio.schema.errors import ErrorCode


class GroupState(Enum):
    EMPTY = "Empty"
    """No members; it may hold committed offsets."""
    PREPARING = "PreparingRebalance"
    """Waits for its members' JoinGroup."""
    COMPLETING = "CompletingRebalance"
    """A new generation has begun; waits for the leader's assignment."""
    STABLE = "Stable"
    """Every member has, or can get, its assignment of this generation."""
    DEAD = "Dead"
    """Deleted; never seen but in the description of a group that is not there."""


EMPTY, PREPARING, COMPLETING, STABLE, DEAD = GroupState

TRANSITIONS: dict[GroupState, frozenset[GroupState]] = {
    EMPTY: frozenset({PREPARING, DEAD}),
    PREPARING: frozenset({COMPLETING, EMPTY, DEAD}),
    COMPLETING: frozenset({STABLE, PREPARING, DEAD}),
    STABLE: frozenset({PREPARING, DEAD}),
    DEAD: frozenset(),
}

HEARTBEAT_ANSWER: dict[GroupState, ErrorCode] = {
    EMPTY: ErrorCode.unknown_member_id,
    PREPARING: ErrorCode.rebalance_in_progress,
    COMPLETING: ErrorCode.none,
    STABLE: ErrorCode.none,
    DEAD: ErrorCode.coordinator_not_available,
}
"""To a known member of the present generation. Its session is extended by every one of them."""

COMMIT_ANSWER: dict[GroupState, ErrorCode] = {
    EMPTY: ErrorCode.none,
    # Commits go on while a rebalance is prepared: the heartbeat's answer tells the member of it.
    PREPARING: ErrorCode.none,
    # The member has the new generation, but not its assignment: it cannot have consumed in it.
    COMPLETING: ErrorCode.rebalance_in_progress,
    STABLE: ErrorCode.none,
    DEAD: ErrorCode.coordinator_not_available,
}
"""To a known member of the present generation."""

EXTENDS_SESSION_BY_COMMIT = frozenset({PREPARING, STABLE})

DELETE_ANSWER: dict[GroupState, ErrorCode] = {
    EMPTY: ErrorCode.none,
    PREPARING: ErrorCode.non_empty_group,
    COMPLETING: ErrorCode.non_empty_group,
    STABLE: ErrorCode.non_empty_group,
    DEAD: ErrorCode.group_id_not_found,
}


class SyncAction(Enum):
    REFUSE_UNKNOWN = auto()
    REFUSE_REBALANCE = auto()
    WAIT_OR_ASSIGN = auto()
    """The leader's request brings the assignment, the others' wait for it."""
    ANSWER_ASSIGNMENT = auto()


ON_SYNC: dict[GroupState, SyncAction] = {
    EMPTY: SyncAction.REFUSE_UNKNOWN,
    PREPARING: SyncAction.REFUSE_REBALANCE,
    COMPLETING: SyncAction.WAIT_OR_ASSIGN,
    STABLE: SyncAction.ANSWER_ASSIGNMENT,
    DEAD: SyncAction.REFUSE_UNKNOWN,
}


class RejoinAction(Enum):
    REFUSE_UNKNOWN = auto()
    REBALANCE = auto()
    """Take the member's new metadata over; begin a rebalance, or go on with the one that is under way."""
    REBALANCE_IF_CHANGED = auto()
    """Only new metadata makes a rebalance: the same again means that the answer was lost, so it is repeated."""


ON_REJOIN: dict[tuple[GroupState, bool], RejoinAction] = {
    # (state, the member is the leader)
    (EMPTY, False): RejoinAction.REFUSE_UNKNOWN,
    (EMPTY, True): RejoinAction.REFUSE_UNKNOWN,
    (PREPARING, False): RejoinAction.REBALANCE,
    (PREPARING, True): RejoinAction.REBALANCE,
    (COMPLETING, False): RejoinAction.REBALANCE_IF_CHANGED,
    (COMPLETING, True): RejoinAction.REBALANCE_IF_CHANGED,
    (STABLE, False): RejoinAction.REBALANCE_IF_CHANGED,
    # The leader of a stable group joins again when something that it assigns by has changed, as a topic's partitions.
    (STABLE, True): RejoinAction.REBALANCE,
    (DEAD, False): RejoinAction.REFUSE_UNKNOWN,
    (DEAD, True): RejoinAction.REFUSE_UNKNOWN,
}
