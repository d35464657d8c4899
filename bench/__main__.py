"""``python -m bench``: see ``--help``, and docs/performance.md for what the figures mean."""

import fnmatch
import sys
from collections.abc import Sequence
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench import kafka_server, machine, report, runs
from bench.measures import MEASURES, QUICK, THOROUGH, Figure, Measure
from bench.servers import Server, ServerError

_Named = TypeVar("_Named", Server, Measure)


def bench(
    kafka: Annotated[bool, typer.Option("--kafka", help="Beside Apache Kafka, interleaved, with ratios.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="A look, not a result: short runs, one round.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN", help="Only these servers or measurements, such as file or 'latency-*'. Repeatable."
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of an interleaved run; the median counts.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON instead of the table.")] = False,
    page: Annotated[bool, typer.Option(help="Rewrite the section in docs/performance.md after a whole run.")] = True,
    names: Annotated[bool, typer.Option("--list", help="Show the names of servers and measurements.")] = False,
) -> None:
    """Measure Raylog's throughput and latency with confluent-kafka, against real servers on this machine."""
    console = Console(stderr=True, highlight=False)
    if kafka and (sentence := kafka_server.missing_tools()):
        console.print(sentence)
        raise typer.Exit(3)
    try:
        servers = runs.kafka_servers() if kafka else runs.raylog_servers()
        if names:
            _list(servers)
            return
        chosen = _matching(servers, only)
        measures = _matching(MEASURES, only)
        effort = QUICK if quick else THOROUGH
        turns = (1 if quick else rounds) if kafka else 1
        with _Progress(console, len(chosen) * len(measures) * turns) as progress:
            if kafka:
                results = runs.run_interleaved(chosen, measures, effort, turns, progress.step)
            else:
                results = runs.run_in_turn(chosen, measures, effort, progress.step)
    except ServerError as error:
        console.print(str(error), markup=False)
        raise typer.Exit(1) from None
    command = " ".join(("python -m bench", *sys.argv[1:]))
    described = machine.describe()
    table = report.rows(results, "file" if kafka else None)
    if as_json:
        print(report.as_json(results, described, command))
    else:
        report.show(report.terminal_table(table, command))
    if page and not quick and only is None:
        report.rewrite_page("bench-kafka" if kafka else "bench", table, described, command)


def _list(servers: Sequence[Server]) -> None:
    for server in servers:
        print(f"server       {server.name:20} {server.title}")
    for measure in MEASURES:
        print(f"measurement  {measure.name}")


def _matching(things: Sequence[_Named], only: list[str] | None) -> list[_Named]:
    """Those that a pattern names; all of them when no pattern names any of this kind."""
    found = [thing for thing in things if any(fnmatch.fnmatchcase(thing.name, pattern) for pattern in only or ())]
    return found or list(things)


class _Progress:
    """A bar over all measurements, and a line for each figure as it comes."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._bar = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            console=console, transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task("starting", total=total)
        self._begun = 0

    def __enter__(self) -> "_Progress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def step(self, server: Server, measure: str, figure: Figure | None) -> None:
        if figure is None:
            self._bar.update(self._task, description=f"{server.title}: {measure}", completed=self._begun)
            self._begun += 1
        else:
            self._console.print(f"{server.name:12} {figure.name:44} {report.number(figure.value):>8} {figure.unit}")


if __name__ == "__main__":
    typer.run(bench)
