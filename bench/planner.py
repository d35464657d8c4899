"""``python -m bench.planner``: the planner's time on 1,000 nodes and 100,000 partitions, and how soon it has nothing left to do.

Loads follow Zipf's law, a tenth of the nodes are slow, partitions are placed as topics are (evenly by number). Each figure is the
median of a few; CPU time of this one thread. Figures go to docs/performance.md after a run of the usual size.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from statistics import median
from typing import Annotated, Final, TypeVar

import typer
from rich.console import Console

from bench import machine, report
from bench.measures import Figure
from controller.balance.explain import explain
from controller.balance.plan import Plan
from controller.balance.planner import plan
from controller.balance.views import ClusterView, Goals, LeaderView, PartitionName, PartitionView, Standing
from raylog.model.ids import LeaderId

T = TypeVar("T")

_NODES: Final = 1_000
_PARTITIONS: Final = 100_000
_TOPIC_PARTITIONS: Final = 100
_CAPACITY: Final = 128.0 * 2**20
_LOAD: Final = 0.4
"""Of what all nodes together can take."""
_EXPONENT: Final = 0.7
_ROUNDS: Final = 3
_GOALS: Final = Goals()
_ALL_AT_ONCE: Final = replace(_GOALS, moves_max=10 * _PARTITIONS)


def planner(
    nodes: Annotated[int, typer.Option(min=2, help="Nodes, each with a leader.")] = _NODES,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of the whole cluster.")] = _PARTITIONS,
    page: Annotated[bool, typer.Option(help="Rewrite the section in docs/performance.md.")] = True,
) -> None:
    """Measure the planner."""
    console = Console(highlight=False)
    figures = []
    for figure in measure(skewed(Random(1), nodes, partitions)):
        console.print(f"{figure.name:60} {report.number(figure.value):>8} {figure.unit}")
        figures.append(figure)
    if page and (nodes, partitions) == (_NODES, _PARTITIONS):
        table = [
            [f"{nodes:,} nodes, {partitions:,} partitions", ""],
            *([f"{figure.name}, {figure.unit}", report.number(figure.value)] for figure in figures),
        ]
        report.rewrite_page("planner", table, machine.describe(), "python -m bench.planner")


def skewed(rng: Random, nodes: int, partitions: int) -> ClusterView:
    leaders = tuple(
        LeaderView(
            leader_id=LeaderId(number + 1),
            node=f"node-{number}",
            wal_classes=frozenset({"file"}),
            capacity=_CAPACITY / 3 if number % 10 == 9 else _CAPACITY,
        )
        for number in range(nodes)
    )
    weights = [1 / (rank + 1) ** _EXPONENT for rank in range(partitions)]
    rng.shuffle(weights)
    unit = _LOAD * sum(leader.capacity for leader in leaders) / sum(weights)
    return ClusterView(
        leaders=leaders,
        partitions=tuple(
            PartitionView(
                name=PartitionName(f"topic-{n // _TOPIC_PARTITIONS}", n % _TOPIC_PARTITIONS),
                leader_id=leaders[n % nodes].leader_id,
                wal_class="file",
                load=unit * weight,
            )
            for n, weight in enumerate(weights)
        ),
    )


def measure(cluster: ClusterView) -> Iterator[Figure]:
    seconds, made = _timed(lambda: plan(cluster, _GOALS))
    yield _cpu(f"a plan of {len(made.moves)} moves, the bound", seconds)
    name = cluster.partitions[-1].name
    seconds, _ = _timed(lambda: explain(cluster, _GOALS, made, name))
    yield _cpu("why one partition is where it is", seconds)
    yield from _settled(cluster)
    balanced = _after(cluster, _ALL_AT_ONCE)
    seconds, made = _timed(lambda: plan(balanced, _GOALS))
    assert not made.moves
    yield _cpu("a plan of no moves, as all is level", seconds)
    drained = _drained(balanced, len(balanced.leaders) // 10)
    seconds, made = _timed(lambda: plan(drained, _ALL_AT_ONCE))
    yield _cpu(f"a plan of {len(made.moves):,} moves, a tenth of the nodes drained without a bound", seconds)


def _settled(cluster: ClusterView) -> Iterator[Figure]:
    """Without a bound: the moves that it takes, and how level the leaders are in the end."""
    seconds, made = _timed(lambda: plan(cluster, _ALL_AT_ONCE))
    yield _cpu("a plan without a bound", seconds)
    yield Figure(name="the moves that it takes", value=len(made.moves), unit="moves", better="lower")
    for what, each in (("before", made), ("after", plan(_moved(cluster, made), _ALL_AT_ONCE))):
        mean, band = each.pools[0].use, each.pools[0].use * _GOALS.band
        out = [leader for leader in each.leaders if abs(leader.use - mean) > band]
        yield Figure(name=f"leaders out of the band {what}", value=len(out), unit="leaders", better="lower")


def _after(cluster: ClusterView, goals: Goals) -> ClusterView:
    """The cluster when nothing is left to do."""
    while made := plan(cluster, goals):
        if not made.moves:
            break
        cluster = _moved(cluster, made)
    return cluster


def _moved(cluster: ClusterView, made: Plan) -> ClusterView:
    targets = {move.name: move.target for move in made.moves}
    return replace(
        cluster,
        partitions=tuple(
            replace(partition, leader_id=targets[partition.name]) if partition.name in targets else partition
            for partition in cluster.partitions
        ),
    )


def _drained(cluster: ClusterView, count: int) -> ClusterView:
    leaders = tuple(
        replace(leader, standing=Standing.DRAINING) if place < count else leader
        for place, leader in enumerate(cluster.leaders)
    )
    return replace(cluster, leaders=leaders)


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    times = []
    for _ in range(_ROUNDS):
        began_s = time.thread_time()
        result = work()
        times.append(time.thread_time() - began_s)
    return median(times), result


def _cpu(name: str, seconds: float) -> Figure:
    return Figure(name=name, value=seconds * 1000, unit="ms of CPU", better="lower")


if __name__ == "__main__":
    typer.run(planner)
