"""A look at the balance as plain values, JSON-able: what ``raylog balance`` shows. Loads are in weighted bytes a second."""

from collections import defaultdict
from collections.abc import Iterable

from controller.balance.balancer import Look
from controller.balance.book import LeaderLoad, LoadBook
from controller.balance.explain import Explanation, explain
from controller.balance.plan import LeaderSummary, PlannedMove, PoolSummary
from controller.balance.views import LeaderView, PartitionName
from controller.state import MetadataState
from raylog.model.ids import LeaderId


def describe(
    look: Look, state: MetadataState, book: LoadBook, *, is_enabled: bool, asked: PartitionName | None
) -> dict[str, object]:
    """``asked``: the partition that is to be explained; ``explanation`` is null when there is none, or nothing was asked."""
    made = look.plan
    explained = None if asked is None else explain(look.view, look.goals, made, asked)
    return {
        "enabled": is_enabled,
        "band": look.goals.band,
        "load_min": look.goals.load_min,
        "moves_max": look.goals.moves_max,
        "moving": look.view.moving,
        "leaders": [
            _leader(view, summary, _report(state, book, view.leader_id))
            for view, summary in zip(look.view.leaders, made.leaders, strict=True)
        ],
        "pools": [_pool(pool) for pool in made.pools],
        "shortages": [
            {"wal": short.wal_class, "dedicated": short.dedicated, "partitions": short.partitions}
            for short in made.shortages
        ],
        "moves": [_move(move) for move in made.moves],
        "explanation": None if explained is None else _explanation(explained),
    }


def moved(moves: Iterable[PlannedMove]) -> dict[str, list[int]]:
    """Partitions by topic."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for move in moves:
        found[move.name.topic].append(move.name.number)
    return dict(found)


def _report(state: MetadataState, book: LoadBook, leader_id: LeaderId) -> LeaderLoad | None:
    at = state.leaders[leader_id].endpoint if leader_id in state.leaders else None
    return None if at is None else book.leader(leader_id, at.log_epoch)


def _leader(view: LeaderView, summary: LeaderSummary, report: LeaderLoad | None) -> dict[str, object]:
    return {
        "leader": view.leader_id,
        "node": view.node,
        "wal": sorted(view.wal_classes),
        "dedicated": view.dedicated,
        "standing": view.standing.value,
        "measured": view.is_measured,
        "partitions": summary.partitions,
        "load": round(summary.load),
        "use": round(summary.use, 4),
        "capacity": round(view.capacity),
        "bytes_in": None if report is None else round(report.bytes_in),
        "bytes_out": None if report is None else round(report.bytes_out),
        "requests": None if report is None else round(report.requests, 1),
        "cpu": None if report is None else round(report.cpu, 3),
        "memory": None if report is None else report.memory_bytes,
    }


def _pool(pool: PoolSummary) -> dict[str, object]:
    return {
        "wal": list(pool.wal_classes),
        "leaders": list(pool.leaders),
        "use": round(pool.use, 4),
        "partitions": round(pool.partitions, 1),
        "verdict": pool.verdict.value,
        "full": pool.is_full,
    }


def _move(move: PlannedMove) -> dict[str, object]:
    return {
        "topic": move.name.topic,
        "partition": move.name.number,
        "from": move.source,
        "to": move.target,
        "reason": move.reason.value,
        "load": round(move.load),
        "from_use": round(move.source_use, 4),
        "to_use": round(move.target_use, 4),
    }


def _explanation(explained: Explanation) -> dict[str, object]:
    return {
        "topic": explained.name.topic,
        "partition": explained.name.number,
        "leader": explained.leader_id,
        "wal": explained.wal_class,
        "load": round(explained.load),
        "stay": explained.stay.value,
        "leader_use": round(explained.leader_use, 4),
        "rests_s": round(explained.rests_s),
        "move": None if explained.move is None else _move(explained.move),
        "pool": None if explained.pool is None else _pool(explained.pool),
    }
