"""Why a partition is where it is: the first reason that holds, in the order in which the planner looks at them. Pure."""

from dataclasses import dataclass
from enum import Enum

from controller.balance.constraints import must_leave
from controller.balance.plan import Plan, PlannedMove, PoolSummary, Verdict
from controller.balance.views import ClusterView, Goals, PartitionName, PartitionView, Standing
from raylog.model.ids import LeaderId


class Stay(Enum):
    """Why a partition does not move, or that it does."""

    MOVES = "moves"
    """The plan moves it: see ``move``."""
    ON_ITS_WAY = "on_its_way"
    """It is moving, or has not been taken over yet."""
    LEADER_AWAY = "leader_away"
    """Its leader does not answer: it stays until that is back, as nobody else may release it."""
    NOBODY_MAY_TAKE_IT = "nobody_may_take_it"
    """It must leave its leader, and no leader may lead it."""
    BOUND = "bound"
    """It must leave, or its leader has too much, and enough moves are under way."""
    OWN_LEADER = "own_leader"
    """It has its leader for itself, as its topic wants it."""
    PINNED = "pinned"
    ONE_LEADER = "one_leader"
    """No other leader is there that may lead it."""
    UNMEASURED = "unmeasured"
    """A leader that could lead it has not reported its loads yet."""
    RESTS = "rests"
    """It has moved a short while ago: see ``rests_s``."""
    BALANCED = "balanced"
    """Its pool is balanced."""
    LEADER_HAS_NOT_TOO_MUCH = "leader_has_not_too_much"
    """Others do, or have too little; its own leader has nothing to give away."""
    NOT_WORTH_IT = "not_worth_it"
    """Its leader has too much load, of which this partition is too small a part."""
    NO_BETTER_PLACE = "no_better_place"
    """Its leader has too much, and with this partition the least used one would have as much; or others go first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    name: PartitionName
    leader_id: LeaderId
    wal_class: str
    load: float
    stay: Stay
    leader_use: float
    rests_s: float = 0.0
    move: PlannedMove | None = None
    pool: PoolSummary | None = None
    """None: no shared leader that is there serves its WAL class."""


def explain(view: ClusterView, goals: Goals, made: Plan, name: PartitionName) -> Explanation | None:
    """None: there is no such partition. ``made`` is the plan of that view."""
    partition = next((partition for partition in view.partitions if partition.name == name), None)
    if partition is None:
        return None
    pool = next((pool for pool in made.pools if partition.wal_class in pool.wal_classes), None)
    move = next((move for move in made.moves if move.name == name), None)
    summary = next(leader for leader in made.leaders if leader.leader_id == partition.leader_id)
    return Explanation(
        name=name,
        leader_id=partition.leader_id,
        wal_class=partition.wal_class,
        load=partition.load,
        stay=Stay.MOVES if move is not None else _stay(view, goals, made, partition, pool, summary.use),
        leader_use=summary.use,
        rests_s=partition.rests_s,
        move=move,
        pool=pool,
    )


def _stay(
    view: ClusterView, goals: Goals, made: Plan, partition: PartitionView, pool: PoolSummary | None, use: float
) -> Stay:
    leader = next(leader for leader in view.leaders if leader.leader_id == partition.leader_id)
    if not partition.is_settled:
        return Stay.ON_ITS_WAY
    if leader.standing is Standing.AWAY:
        return Stay.LEADER_AWAY
    is_alone = sum(other.leader_id == partition.leader_id for other in view.partitions) == 1
    if must_leave(partition, leader) is not None or (leader.dedicated and not is_alone):
        kind = (partition.wal_class, partition.dedicated)
        is_short = any((short.wal_class, short.dedicated) == kind for short in made.shortages)
        return Stay.NOBODY_MAY_TAKE_IT if is_short else Stay.BOUND
    if partition.dedicated:
        return Stay.OWN_LEADER
    if partition.pinned:
        return Stay.PINNED
    if pool is None or pool.verdict is Verdict.ONE_LEADER:
        return Stay.ONE_LEADER
    if pool.verdict is Verdict.UNMEASURED:
        return Stay.UNMEASURED
    if partition.rests_s:
        return Stay.RESTS
    return _stay_in_pool(goals, partition, pool, use)


def _stay_in_pool(goals: Goals, partition: PartitionView, pool: PoolSummary, use: float) -> Stay:
    if pool.verdict is Verdict.BALANCED:
        return Stay.BALANCED
    if pool.verdict is Verdict.BOUND:
        return Stay.BOUND
    if use <= pool.use * (1 + goals.band / 2) and use <= 1:
        return Stay.LEADER_HAS_NOT_TOO_MUCH
    return Stay.NOT_WORTH_IT if partition.load < goals.load_min else Stay.NO_BETTER_PLACE
