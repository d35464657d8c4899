"""Slow nodes, told by what their leaders need: CPU time for each weighted byte, compared with the median of all. Pure.

Loads are of many kinds, so small differences say nothing: slowness comes in powers of two, and a level is left only when the
measure is clearly nearer to another one.
"""

from collections.abc import Mapping
from math import log2
from statistics import median

from raylog.model.ids import LeaderId

_CPU_MIN = 0.2
"""A leader that uses less of a core says nothing about it."""
_LEADERS_MIN = 3
"""Of two leaders nobody knows which one is usual."""
_CLEARLY = 0.75
"""Of the way from one level to the next."""
_LEVEL_MAX = 3


def levels(before: Mapping[LeaderId, int], measured: Mapping[LeaderId, tuple[float, float]]) -> dict[LeaderId, int]:
    """Powers of two by which leaders are slower than usual; 0 for most. ``measured``: CPU (of one core) and load.

    A leader that is not measured, or too little, keeps its level: it may have so little because it is slow.
    """
    costs = {leader_id: cpu / load for leader_id, (cpu, load) in measured.items() if cpu >= _CPU_MIN and load > 0}
    after = dict(before)
    if len(costs) < _LEADERS_MIN:
        return after
    usual = median(costs.values())
    for leader_id, cost in costs.items():
        exact = log2(cost / usual)
        if abs(exact - before.get(leader_id, 0)) > _CLEARLY:
            after[leader_id] = min(max(0, round(exact)), _LEVEL_MAX)
    return after
