"""Why the cluster has as many nodes as it has, in one sentence, made from the data that the controller answers with."""

from typing import Any, Final

_VERDICTS: Final = {
    "enough": "that is what load needs",
    "grows": "{wanted} are wanted, and Ray is asked for them",
    "takes_back": "{wanted} are wanted, and {node}, which was to go, serves again",
    "shrinks": "{wanted} would do, so {node} is emptied",
    "empties": "{wanted} would do; {leaving} is being emptied",
    "grows_soon": "{needed} are needed; they are asked for once that has been so for {up_s:g} s",
    "shrinks_later": "{needed} would do; one is given back once that has been so for {down_s:g} s",
    "at_most": "{needed} are needed, but raylog.scaling.nodes.max is {nodes_max}",
    "at_least": "{needed} would do, but raylog.scaling.nodes.min is {nodes_min}",
    "all_stay": "{wanted} would do, but none can go: {staying}",
    "unmeasured": "fewer may do, but a leader or a gateway has not told yet what it does",
}

_WHAT: Final = {"load": "WAL class {wal} is", "gateways": "their gateways are", "cpu": "their CPUs are"}
"""By the kind of what is most used."""

_STAYS: Final = {
    "head": "is Ray's head",
    "controller": "has the controller",
    "only_taker": "alone takes a WAL class",
    "class_needed": "has a WAL class that is needed there",
}


def size(seen: dict[str, Any] | None) -> str:
    """``seen`` is None where the size does not follow the load."""
    if seen is None:
        return (
            "The number of nodes does not follow the load: it does on a Ray cluster whose raylog.scaling.nodes.max is above "
            "raylog.scaling.nodes.min."
        )
    why = _VERDICTS[seen["verdict"]].format(
        **{
            **seen,
            "leaving": ", ".join(seen["leaving"]),
            "staying": ", ".join(f"{node} {_STAYS[reason]}" for node, reason in seen["staying"].items()),
        }
    )
    return f"{_nodes(seen['serving'])}, {_use(seen)}: {why}.{_given_back(seen['given_back'])}"


def _nodes(count: int) -> str:
    return "1 node serves" if count == 1 else f"{count} nodes serve"


def _use(seen: dict[str, Any]) -> str:
    """Of what is most used."""
    demand = seen["demand"]
    if demand is None:
        return "and there is nothing to do"
    what = _WHAT[demand["kind"]].format(**demand)
    return f"{what} at {_percent(demand['use'])} % where {_percent(seen['use_aimed_at'])} % is aimed at"


def _given_back(nodes: list[str]) -> str:
    if not nodes:
        return ""
    return f" Empty, for Ray to take: {', '.join(nodes)}."


def _percent(share: float) -> int:
    return round(100 * share)
