"""What the planner's reasons are in words: one sentence each, made from the data that the controller answers with."""

from typing import Any, Final

_REASONS: Final = {
    "drained": "leader {from} is drained",
    "surplus": "leader {from} is one too many on its node",
    "wal": "leader {from} cannot serve the WAL class",
    "own_leader": "its topic wants a leader for each partition",
    "not_for_itself": "leader {from} is kept for a partition of its own",
    "capacity": "leader {from} is at {from_percent} % of what it can take; leader {to} will be at {to_percent} %",
    "load": "leader {from} is at {from_percent} %, the mean is {mean_percent} %; leader {to} will be at {to_percent} %",
    "count": "leader {from} has more partitions than others",
}

_VERDICTS: Final = {
    "balanced": "every leader is within {band_percent} % of the mean use, or out of it by less than is worth a move",
    "one_leader": "there is one leader, and nobody to move anything to",
    "unmeasured": "a leader has not reported its load yet; that takes a few seconds after its start",
    "bound": "more would move, but no more than {moves_max} moves are made at once",
    "no_move_pays": "leaders are out of the band of {band_percent} %, and no move would mend that: one partition has all the "
    "load, or those that could move have just moved",
}

_STAYS: Final = {
    "on_its_way": "it is on its way to leader {leader}, or is being taken over there",
    "leader_away": "leader {leader} does not answer, and nobody else may release its partitions; it is being started again",
    "nobody_may_take_it": "it must leave leader {leader}, and there is no leader that may take it",
    "bound": "it waits: no more than {moves_max} moves are made at once",
    "own_leader": "it has leader {leader} for itself, as raylog.leader=dedicated says",
    "pinned": "it is pinned to leader {leader}",
    "one_leader": "no other leader is there that serves WAL class '{wal}'",
    "unmeasured": "a leader has not reported its load yet, so nobody knows whether a move would help",
    "rests": "it has moved a short while ago, and is left alone for {rests_s} s more",
    "balanced": "the load is level: every leader of WAL class '{wal}' is within {band_percent} % of the mean, or near enough",
    "leader_has_not_too_much": "leader {leader} has not too much: others give theirs away",
    "not_worth_it": "leader {leader} has too much load, but this partition's is not worth a move (below {load_min_kib} KiB/s)",
    "no_better_place": "leader {leader} has too much load, but where this partition went there would be as much",
}


def reason(move: dict[str, Any], seen: dict[str, Any]) -> str:
    """Why a partition is to move."""
    mean = next((pool["use"] for pool in seen["pools"] if move["to"] in pool["leaders"]), 0.0)
    return _REASONS[move["reason"]].format(
        **move,
        from_percent=_percent(move["from_use"]),
        to_percent=_percent(move["to_use"]),
        mean_percent=_percent(mean),
    )


def verdict(pool: dict[str, Any], seen: dict[str, Any]) -> str:
    """Why no more moves among a pool's leaders."""
    text = _VERDICTS[pool["verdict"]].format(band_percent=_percent(seen["band"]), moves_max=seen["moves_max"])
    full = " Together they have more load than they can take: add leaders." if pool["full"] else ""
    return f"WAL class {', '.join(pool['wal'])}: {text}.{full}"


def shortage(short: dict[str, Any]) -> str:
    """Of partitions that must leave and cannot."""
    kind = "a leader of its own" if short["dedicated"] else "another leader"
    return (
        f"WAL class {short['wal']}: {short['partitions']} partitions wait, as each needs {kind} and too few are there: "
        f"add nodes that serve the class."
    )


def why_here(seen: dict[str, Any]) -> str:
    """Of the partition that was asked for."""
    one = seen["explanation"]
    if one is None:
        return "The partition has just been made or deleted: ask again."
    begin = (
        f"{one['topic']}:{one['partition']} is led by leader {one['leader']} (WAL class {one['wal']}). Its load is "
        f"{round(one['load'] / 1024):,} KiB/s; the leader is at {_percent(one['leader_use'])} % of what it can take."
    )
    if one["move"] is not None:
        return f"{begin}\nIt would move to leader {one['move']['to']}: {reason(one['move'], seen)}."
    text = _STAYS[one["stay"]].format(
        **one,
        band_percent=_percent(seen["band"]),
        moves_max=seen["moves_max"],
        load_min_kib=round(seen["load_min"] / 1024),
    )
    return f"{begin}\nIt stays: {text}."


def _percent(share: float) -> int:
    return round(100 * share)
