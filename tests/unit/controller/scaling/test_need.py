"""How many nodes are needed: by the use over the aim, for each thing that there is to do, and within the bounds."""

import pytest

from controller.scaling.need import need_of
from controller.scaling.views import ClusterSight, Demand, Kind, NodeView, SizeGoals, Standing

GOALS = SizeGoals(nodes_min=1, nodes_max=10, use=0.5, band=0.1)


def load(use, wal_class="file"):
    return Demand(kind=Kind.LOAD, wal_class=wal_class, use=use)


def cpu(use):
    return Demand(kind=Kind.CPU, use=use)


def nodes(count, *wal_classes, start=0, **values):
    mounts = dict.fromkeys(wal_classes or ("file",), "")
    return tuple(NodeView(name=f"n{start + i}", mounts=mounts, **values) for i in range(count))


def need(sight_nodes, *demands, goals=GOALS):
    return need_of(ClusterSight(nodes=sight_nodes, demands=demands), goals)


@pytest.mark.parametrize(
    ("use", "needed"),
    [(0.5, 4), (0.54, 4), (0.46, 4), (0.56, 5), (1.0, 8), (0.3, 3), (0.25, 2), (0.01, 1), (0.0, 1), (3.0, 24)],
)
def test_as_many_more_or_fewer_are_needed_as_the_use_is_off_the_aim(use, needed):
    assert need(nodes(4), load(use)).unbounded == needed


def test_what_needs_most_decides():
    seen = need(nodes(2), load(0.2), cpu(0.9))
    assert (seen.nodes, seen.demand) == (4, cpu(0.9))
    assert need(nodes(2), load(0.9), cpu(0.2)).demand == load(0.9)


def test_where_nothing_is_to_be_done_the_least_will_do():
    assert need(nodes(3)).nodes == 1
    assert need(nodes(3)).demand is None
    assert need(nodes(3), goals=SizeGoals(nodes_min=2, nodes_max=10)).nodes == 2


def test_the_bounds_hold_and_what_they_hold_back_is_told():
    seen = need(nodes(4), load(2.0), goals=SizeGoals(nodes_min=1, nodes_max=6))
    assert (seen.nodes, seen.unbounded) == (6, 16)
    seen = need(nodes(4), load(0.1), goals=SizeGoals(nodes_min=3, nodes_max=6))
    assert (seen.nodes, seen.unbounded) == (3, 1)


def test_nodes_that_drain_are_not_counted():
    leaving = nodes(1, start=9, standing=Standing.LEAVING)
    assert need((*nodes(2), *leaving), load(1.0)).nodes == 4


def test_a_class_that_only_some_nodes_have_needs_more_of_those():
    both = (*nodes(3), *nodes(1, "file", "nfs", start=3))
    seen = need(both, load(0.5), load(1.0, "nfs"))
    assert seen.by_class == {"nfs": 2}
    assert seen.nodes == 5, "one more with the class, and the others stay"


def test_a_class_that_only_some_nodes_have_takes_none_away_from_others():
    both = (*nodes(3), *nodes(2, "file", "nfs", start=3))
    seen = need(both, load(0.5), load(0.1, "nfs"))
    assert (seen.nodes, seen.by_class) == (5, {"nfs": 1})
