"""What the planner answers: moves with their reasons, and why a pool of leaders has no more. Data; the command line says it."""

from dataclasses import dataclass
from enum import Enum

from controller.balance.views import PartitionName
from raylog.model.ids import LeaderId


class Reason(Enum):
    """Why a partition is to move, in the order of the goals."""

    DRAINED = "drained"
    """Its leader is to be emptied."""
    SURPLUS = "surplus"
    """Its leader is one too many on its node."""
    WAL = "wal"
    """Its leader cannot serve its WAL class."""
    OWN_LEADER = "own_leader"
    """Its topic wants a leader for each partition, and this one has others."""
    NOT_FOR_ITSELF = "not_for_itself"
    """Its leader is kept for a partition of another topic."""
    CAPACITY = "capacity"
    """Its leader has more than it can take."""
    LOAD = "load"
    """Its leader has more load than others of its pool."""
    COUNT = "count"
    """Its leader has more partitions than others of its pool."""


class Verdict(Enum):
    """Why a pool has no more moves than it has."""

    BALANCED = "balanced"
    """Every leader is within the band, or out of it by less than is worth a move."""
    ONE_LEADER = "one_leader"
    """There is nobody to move anything to."""
    UNMEASURED = "unmeasured"
    """A leader has not reported its loads yet, so that nobody knows which move would help."""
    BOUND = "bound"
    """More would move, but enough is under way."""
    NO_MOVE_PAYS = "no_move_pays"
    """A leader is out of the band, and no single partition would make that better: one alone is the load, or they rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedMove:
    name: PartitionName
    source: LeaderId
    target: LeaderId
    reason: Reason
    load: float
    source_use: float
    """Before the move."""
    target_use: float
    """After it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderSummary:
    """A leader as it is now, moves not counted."""

    leader_id: LeaderId
    partitions: int
    load: float
    use: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSummary:
    """Leaders that share their partitions among them: those of one WAL class, or of several that some leader serves together."""

    wal_classes: tuple[str, ...]
    leaders: tuple[LeaderId, ...]
    """Those that may be given partitions."""
    use: float
    """The mean: all load over all capacity."""
    partitions: float
    """The mean for a leader of the pool's mean capacity."""
    verdict: Verdict
    is_full: bool = False
    """Its leaders together have more load than they can take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """Partitions that must leave, and nobody may lead them."""

    wal_class: str
    dedicated: bool
    """They want leaders for themselves."""
    partitions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    moves: tuple[PlannedMove, ...]
    leaders: tuple[LeaderSummary, ...]
    pools: tuple[PoolSummary, ...]
    shortages: tuple[Shortage, ...]
