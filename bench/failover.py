"""From a leader's ``kill -9`` to the first acknowledged write, as a producer sees it: ``python -m bench.failover``.

A real server with three leaders for each WAL class on a local folder, and a producer that sends a record to every partition each
20 ms. A kill's time ends when every partition has acknowledged a record that was sent after it. Between two kills everything is
acknowledged again, and the node has its spare workers again.
"""

import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import psutil
import typer
from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient, NewTopic
from rich.console import Console
from rich.table import Table

from actors.spares import SPARE_TITLE
from bench.steady_writes import SteadyWrites
from tests.harness.serve import ServeProcess

_LEADERS = 3
_PARTITIONS = 6
_SEND_EVERY_S = 0.02
_QUIET_S = 3.0
_LOOK_EVERY_S = 0.5
_PATIENCE_S = 120.0
_WALS = ("file", "object")


class FailoverError(Exception):
    """The measurement cannot go on; the message says why."""


@dataclass(kw_only=True)
class _Writes(SteadyWrites):
    """Tells when each partition last acknowledged a record, by when that record had been sent."""

    partitions: Sequence[int] = range(_PARTITIONS)
    every_s: float = _SEND_EVERY_S
    _newest_sent_at: defaultdict[int, float] = field(default_factory=lambda: defaultdict(float))
    _error: str = ""

    def acknowledged(self, partition: int, sent_at: float) -> None:
        self._newest_sent_at[partition] = max(self._newest_sent_at[partition], sent_at)

    def failed(self, error: KafkaError) -> None:
        self._error = f"A write failed: {error}"

    def seconds_until_all_acknowledge(self, since: float) -> float:
        """A record sent after ``since``, each partition. Raises FailoverError."""

        def is_back() -> bool:
            return bool(self._error) or all(self._newest_sent_at[one] > since for one in self.partitions)

        with self.heard:
            if not self.heard.wait_for(is_back, _PATIENCE_S) or self._error:
                raise FailoverError(self._error or f"Nothing was acknowledged for {_PATIENCE_S:.0f} s.")
        return time.monotonic() - since


def bench(
    kills: Annotated[int, typer.Option(min=1, help="Of each kind.")] = 10,
    wal: Annotated[list[str] | None, typer.Option(help="A WAL class. Repeatable. [default: file and object]")] = None,
    spares: Annotated[int, typer.Option(min=0, help="Spare workers of the server.")] = _LEADERS,
) -> None:
    """Kill leaders of a real server, one and all of a WAL class at once, and tell how long writes waited."""
    console = Console()
    table = Table(
        title=f"kill -9 to the first acknowledged write of every partition, {kills} kills each, {spares} spare workers"
    )
    for heading in ("WAL", "killed at once", "fastest", "median", "slowest"):
        table.add_column(heading, justify="left" if heading == "WAL" else "right")
    with tempfile.TemporaryDirectory(prefix="raylog-failover-") as path:
        folder = Path(path)
        options = ("--leaders", str(_LEADERS), "--gateways", "1", "--spares", str(spares))
        server = ServeProcess(str(folder / "bucket"), folder, options)
        try:
            server.start()
            for name in wal or _WALS:
                _create(server.bootstrap, name)
                with _Writes(bootstrap=server.bootstrap, topic=name) as writes:
                    for count in (1, _LEADERS):
                        seconds = []
                        for _ in range(kills):
                            _wait_for_spares(server, spares)
                            seconds.append(_kill(server, folder, name, count, writes, console))
                        table.add_row(name, str(count), *(f"{one:.2f} s" for one in _spread(sorted(seconds))))
        except FailoverError as error:
            console.print(str(error), markup=False)
            raise typer.Exit(1) from None
        finally:
            server.kill()
    console.print(table)


def _spread(seconds: Sequence[float]) -> tuple[float, float, float]:
    return seconds[0], seconds[len(seconds) // 2], seconds[-1]


def _create(bootstrap: str, wal: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    admin.create_topics([NewTopic(wal, _PARTITIONS, config={"raylog.wal": wal})])[wal].result(60)


def _wait_for_spares(server: ServeProcess, count: int) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while len(server.processes(SPARE_TITLE)) < count:
        if time.monotonic() > deadline:
            raise FailoverError(f"The server had not {count} spare workers within {_PATIENCE_S:.0f} s.")
        time.sleep(_LOOK_EVERY_S)


def _kill(server: ServeProcess, folder: Path, wal: str, count: int, writes: _Writes, console: Console) -> float:
    time.sleep(_QUIET_S)
    writes.seconds_until_all_acknowledge(time.monotonic())
    leaders = [
        process for process in server.processes("LeaderActor") if _uses_files(process, folder) == (wal == "file")
    ]
    if len(leaders) != _LEADERS:
        raise FailoverError(f"{len(leaders)} leaders of WAL class '{wal}' run where {_LEADERS} should.")
    since = time.monotonic()
    for process in leaders[:count]:
        process.kill()
    seconds = writes.seconds_until_all_acknowledge(since)
    console.print(f"{wal}, {count} killed: {seconds:.2f} s", style="dim")
    return seconds


def _uses_files(process: psutil.Process, folder: Path) -> bool:
    return any(Path(opened.path).is_relative_to(folder / "bucket-wal") for opened in process.open_files())


if __name__ == "__main__":
    typer.run(bench)
