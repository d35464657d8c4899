"""From a leader's ``kill -9`` to the first acknowledged write, as a producer sees it: ``python -m bench.failover``.

A real server with three leaders for each WAL class, its bucket a local folder with or without a model of S3's latencies, and for
each partition a producer that sends a record each 20 ms. A kill's time ends when every partition has acknowledged a record that
was sent after it. As of several leaders the slowest counts, two more figures stand beside that: what a partition of a killed
leader takes, and the slowest of as many kills of one, which is what they would take if they had nothing in common. Between two
kills everything is acknowledged again, and the node has its spare workers again. With no leader killed the same is what an
acknowledgement takes anyway.
"""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Annotated

import psutil
import typer
from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient, NewTopic
from rich.console import Console
from rich.table import Table

from actors.spares import SPARE_TITLE
from bench.report import show
from bench.steady_writes import SteadyWrites
from raylog.storage.latency_model import LATENCY_MODELS
from tests.harness.serve import ServeProcess

_LEADERS = 3
_PARTITIONS = 6
_SEND_EVERY_S = 0.02
_QUIET_S = 3.0
_LOOK_EVERY_S = 0.5
_PATIENCE_S = 120.0
_WALS = ("file", "object")
_STORES = {"folder": ""} | {model: f"?latency={model}" for model in LATENCY_MODELS}
"""What follows the folder's path in ``--store``."""


class FailoverError(Exception):
    """The measurement cannot go on; the message says why."""


@dataclass(kw_only=True)
class _Writes(SteadyWrites):
    """To one partition, by a producer of its own: five requests under way for all of them would have some wait for others."""

    every_s: float = _SEND_EVERY_S
    _since: float = 0.0
    _acknowledged_at: float | None = None
    """When the first record was that was sent since."""
    _error: str = ""

    def acknowledged(self, partition: int, sent_at: float) -> None:
        if self._acknowledged_at is None and sent_at > self._since:
            self._acknowledged_at = time.monotonic()

    def failed(self, error: KafkaError) -> None:
        self._error = f"A write failed: {error}"

    def watch(self, since: float) -> None:
        with self.heard:
            self._since, self._acknowledged_at = since, None

    def seconds(self) -> float:
        """From what is watched for to the first acknowledgement of a record sent since. Raises FailoverError."""
        with self.heard:
            self.heard.wait_for(lambda: self._error or self._acknowledged_at is not None, _PATIENCE_S)
            if self._error or self._acknowledged_at is None:
                raise FailoverError(self._error or f"Nothing was acknowledged for {_PATIENCE_S:.0f} s.")
            return self._acknowledged_at - self._since


def _seconds_of_each(writes: Sequence[_Writes], since: float) -> list[float]:
    """Until each of the partitions acknowledges a record that was sent ``since``, the quickest first. Raises FailoverError."""
    for one in writes:
        one.watch(since)
    return sorted(one.seconds() for one in writes)


def bench(
    kills: Annotated[int, typer.Option(min=1, help="Of each kind.")] = 10,
    wal: Annotated[list[str] | None, typer.Option(help="A WAL class. Repeatable. [default: file and object]")] = None,
    store: Annotated[
        list[str] | None,
        typer.Option(help=f"The bucket: {', '.join(_STORES)}. Repeatable. [default: folder and s3-standard]"),
    ] = None,
    spares: Annotated[int, typer.Option(min=0, help="Spare workers of the server.")] = _LEADERS,
) -> None:
    """Kill leaders of a real server, none, one and all of a WAL class at once, and tell how long writes waited."""
    console = Console()
    for name in store or ():
        if name not in _STORES:
            console.print(f"There is no bucket '{name}' to measure on; there are: {', '.join(_STORES)}.")
            raise typer.Exit(2)
    table = Table(
        title=f"kill -9 to the first acknowledged write of every partition, {kills} kills each, {spares} spare workers"
    )
    for heading in ("bucket", "WAL"):
        table.add_column(heading)
    for heading in (
        "killed at once",
        "a partition: median",
        "all: fastest",
        "median",
        "slowest",
        "as many alone: median",
    ):
        table.add_column(heading, justify="right")
    try:
        for bucket in store or ("folder", "s3-standard"):
            alone: list[float] = []
            for name, count, rounds in _measure(bucket, wal or _WALS, kills, spares, console):
                each = [seconds for one in rounds for seconds in one[-_partitions_of(count) :]]
                whole = sorted(one[-1] for one in rounds)
                if count == 1:
                    alone = whole
                figures = [median(each), *_spread(whole)]
                if count > 1 and len(alone) >= count:
                    figures.append(_slowest_of(alone, count))
                table.add_row(bucket, name, str(count), *(f"{figure:.2f} s" for figure in figures))
    except FailoverError as error:
        console.print(str(error), markup=False)
        raise typer.Exit(1) from None
    show(table)


def _measure(
    bucket: str, wals: Sequence[str], kills: int, spares: int, console: Console
) -> Iterator[tuple[str, int, list[list[float]]]]:
    """WAL class, leaders killed at once, and each kill's seconds by partition, on a server of its own. Raises FailoverError."""
    options = ("--leaders", str(_LEADERS), "--gateways", "1", "--spares", str(spares))
    with tempfile.TemporaryDirectory(prefix="raylog-failover-") as path:
        folder = Path(path)
        server = ServeProcess(f"file://{folder / 'bucket'}{_STORES[bucket]}", folder, options)
        try:
            server.start()
            for wal in wals:
                _create(server.bootstrap, wal)
                with ExitStack() as stack:
                    writes = [
                        stack.enter_context(_Writes(bootstrap=server.bootstrap, topic=wal, partitions=[partition]))
                        for partition in range(_PARTITIONS)
                    ]
                    for count in (0, 1, _LEADERS):
                        rounds = []
                        for _ in range(kills):
                            _wait_for_spares(server, spares)
                            rounds.append(_kill(server, folder, wal, count, writes))
                            console.print(f"{bucket}, {wal}, {count} killed: {rounds[-1][-1]:.2f} s", style="dim")
                        yield wal, count, rounds
        finally:
            server.kill()


def _partitions_of(leaders: int) -> int:
    """That many leaders' share; with none, all: they are the slowest to acknowledge."""
    return _PARTITIONS // _LEADERS * (leaders or _LEADERS)


def _spread(seconds: Sequence[float]) -> tuple[float, float, float]:
    return seconds[0], seconds[len(seconds) // 2], seconds[-1]


def _slowest_of(seconds: Sequence[float], count: int) -> float:
    """The median of the slowest of ``count`` of them, over all that can be drawn."""
    return median(max(drawn) for drawn in combinations(seconds, count))


def _create(bootstrap: str, wal: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    admin.create_topics([NewTopic(wal, _PARTITIONS, config={"raylog.wal": wal})])[wal].result(60)


def _wait_for_spares(server: ServeProcess, count: int) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while len(server.processes(SPARE_TITLE)) < count:
        if time.monotonic() > deadline:
            raise FailoverError(f"The server had not {count} spare workers within {_PATIENCE_S:.0f} s.")
        time.sleep(_LOOK_EVERY_S)


def _kill(server: ServeProcess, folder: Path, wal: str, count: int, writes: Sequence[_Writes]) -> list[float]:
    time.sleep(_QUIET_S)
    _seconds_of_each(writes, time.monotonic())
    leaders = [
        process for process in server.processes("LeaderActor") if _uses_files(process, folder) == (wal == "file")
    ]
    if len(leaders) != _LEADERS:
        raise FailoverError(f"{len(leaders)} leaders of WAL class '{wal}' run where {_LEADERS} should.")
    since = time.monotonic()
    for process in leaders[:count]:
        process.kill()
    return _seconds_of_each(writes, since)


def _uses_files(process: psutil.Process, folder: Path) -> bool:
    return any(Path(opened.path).is_relative_to(folder / "bucket-wal") for opened in process.open_files())


if __name__ == "__main__":
    typer.run(bench)
