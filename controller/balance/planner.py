"""The planner: from what the cluster is and what it should be to the next few moves. Pure, and the same for the same input.

Goals, in this order; a later one never works against an earlier:

1. constraints: a leader that drains, or is one too many, is emptied, a partition's leader can serve its WAL class, a dedicated
   topic's partitions are alone on theirs (``constraints``);
2. no leader has more than it can take, 3. leaders' uses are level (``loads``);
4. leaders' counts of partitions are level (``counts``).

It changes its mind slowly: nothing moves within the band, nothing that has just moved, nothing whose load is not worth it, and
never more at once than the bound. O(P log P) for P partitions; ``make bench-planner`` has its time.
"""

from controller.balance.constraints import keep_constraints
from controller.balance.counts import level_counts
from controller.balance.desk import Desk
from controller.balance.loads import level_loads
from controller.balance.plan import LeaderSummary, Plan, PoolSummary, Verdict
from controller.balance.pools import Pool, pools_of
from controller.balance.views import ClusterView, Goals


def plan(view: ClusterView, goals: Goals) -> Plan:
    desk = Desk(view, goals)
    before = tuple(
        LeaderSummary(leader_id=leader.leader_id, partitions=desk.counts[i], load=desk.loads[i], use=desk.use(i))
        for i, leader in enumerate(view.leaders)
    )
    shortages = keep_constraints(desk)
    pools = tuple(_level(desk, pool) for pool in pools_of(desk))
    return Plan(leaders=before, pools=pools, shortages=shortages, moves=tuple(desk.moves))


def _level(desk: Desk, pool: Pool) -> PoolSummary:
    verdict = level_loads(desk, pool)
    if verdict is Verdict.BALANCED or verdict is Verdict.NO_MOVE_PAYS:
        counts = level_counts(desk, pool)
        verdict = counts if verdict is Verdict.BALANCED else verdict
    return PoolSummary(
        wal_classes=pool.wal_classes,
        leaders=tuple(desk.leaders[leader].leader_id for leader in pool.members),
        use=pool.mean_use(desk),
        partitions=pool.partitions_per_capacity(desk) * pool.capacity / len(pool.members),
        verdict=verdict,
        is_full=pool.mean_use(desk) > 1,
    )
