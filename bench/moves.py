"""How long a producer waits while partitions move from leader to leader: ``python -m bench.moves``.

A cluster in this process, on a local folder and with S3 Standard's modelled latencies, and an idempotent librdkafka producer
with default settings but for lingering. It sends a record to each watched partition every few milliseconds, while these move to
and fro, alone or in one step with a thousand. A partition's gap is the longest time between two acknowledgements around a move;
the usual one is the same over a second without a move: with an object WAL acknowledgements come in groups.
"""

import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Final

import typer
from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient, NewTopic
from rich.console import Console

from bench import machine, report
from bench.steady_writes import SteadyWrites
from lab.percentiles import percentile
from tests.harness.cluster import InProcessCluster, running

_BUCKETS: Final = {"local folder": "file://{folder}/bucket", "S3 Standard": "memory://?latency=s3-standard"}
"""The model's latencies stand alone, without a local disk's."""
_WALS: Final = {"file": "file://{folder}/wal?capacity=1GiB&segment=16MiB", "object": "object:?interval_ms=250"}
_MOVES: Final = {1: 30, 1000: 5}
"""By how many partitions move in one step."""
_WATCHED_MAX: Final = 5
_SEND_EVERY_S: Final = 0.002
_AROUND_S: Final = 0.5
"""A gap is looked for from so long before a move is ordered until so long after all have arrived."""
_USUAL_WINDOWS: Final = 5
_PATIENCE_S: Final = 60.0


class MovesError(Exception):
    """The measurement cannot go on; the message says why."""


@dataclass(kw_only=True)
class _Writes(SteadyWrites):
    """Knows when each partition's records were acknowledged."""

    every_s: float = _SEND_EVERY_S
    acknowledged_at: defaultdict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: list[KafkaError] = field(default_factory=list)

    def acknowledged(self, partition: int, sent_at: float) -> None:
        self.acknowledged_at[partition].append(time.monotonic())

    def failed(self, error: KafkaError) -> None:
        self.errors.append(error)

    def wait_for_all(self) -> None:
        """Until each partition has acknowledged a record."""
        with self.heard:
            if not self.heard.wait_for(lambda: len(self.acknowledged_at) == len(self.partitions), _PATIENCE_S):
                raise MovesError(f"Nothing is acknowledged: {self.errors[:1]}")

    def gaps_ms(self, since_s: float, until_s: float) -> list[float]:
        """The longest time between two acknowledgements in that time, of each partition."""
        found = []
        for partition in self.partitions:
            times = [at for at in self.acknowledged_at[partition] if since_s <= at <= until_s]
            if self.errors or len(times) < 2:
                raise MovesError(f"Partition {partition} acknowledged {len(times)} records: {self.errors[:1]}")
            found.append(1000 * max(after - before for before, after in pairwise(times)))
        return found


def bench(
    moves: Annotated[int, typer.Option(min=0, help="Of each kind; 0: as many as the page shows.")] = 0,
    page: Annotated[bool, typer.Option(help="Rewrite the section in docs/performance.md.")] = True,
) -> None:
    console = Console(highlight=False)
    table = [["", "moves", "gap p50, ms", "gap p99, ms", "usual p50, ms", "usual p99, ms"]]
    for title, store_url in _BUCKETS.items():
        for count, times in _MOVES.items():
            for wal in _WALS:
                usual, gaps = _measured(store_url, wal, count, moves or times)
                name = f"{title}, {wal} WAL, {count:,} partition{'s' if count > 1 else ''}"
                table.append([name, str(moves or times), *_percentiles(gaps), *_percentiles(usual)])
                console.print("  ".join(table[-1]), soft_wrap=True)
    if page and not moves:
        report.rewrite_page("moves", table, machine.describe(), "python -m bench.moves")


def _percentiles(values: Sequence[float]) -> list[str]:
    ordered = sorted(values)
    return [report.number(percentile(ordered, share)) for share in (0.5, 0.99)]


def _measured(store_url: str, wal: str, count: int, moves: int) -> tuple[list[float], list[float]]:
    """Gaps without moves, and around moves of ``count`` partitions in one step."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-moves-") as folder,
        running(
            Path(folder),
            store_url=store_url.format(folder=folder),
            wal={wal: _WALS[wal].format(folder=folder)},
            default_wal=wal,
        ) as cluster,
    ):
        moving = _create(cluster, count)
        watched = moving[:: max(1, len(moving) // _WATCHED_MAX)][:_WATCHED_MAX]
        with _Writes(bootstrap=cluster.bootstrap, topic="moving", partitions=watched) as writes:
            writes.wait_for_all()
            time.sleep(4 * _AROUND_S)
            usual, gaps = [], []
            for _ in range(_USUAL_WINDOWS):
                began_s = time.monotonic()
                time.sleep(2 * _AROUND_S)
                usual += writes.gaps_ms(began_s, time.monotonic())
            for _ in range(moves):
                ordered_s = time.monotonic()
                _move(cluster, moving)
                time.sleep(_AROUND_S)
                gaps += writes.gaps_ms(ordered_s - _AROUND_S, time.monotonic())
    return usual, gaps


def _create(cluster: InProcessCluster, count: int) -> list[int]:
    """Partitions of one leader, ``count`` of them."""
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    admin.create_topics([NewTopic("moving", count * cluster.leaders_per_class, 1)])["moving"].result(_PATIENCE_S)
    leaders = cluster.leaders_of("moving")
    return [number for number, leader in enumerate(leaders) if leader == leaders[0]]


def _move(cluster: InProcessCluster, moving: Sequence[int]) -> None:
    here = cluster.leader_of("moving", moving[0])
    there = next(leader for leader in cluster.leader_ids if leader != here)
    cluster.move({("moving", number): there for number in moving})


if __name__ == "__main__":
    typer.run(bench)
