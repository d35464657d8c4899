"""``raylog lab``: experiments with elastic scaling, from a file to a report. What they are and do is in ``lab/``."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raylog.cli.interrupts import Interrupts
from raylog.cli.options import Json
from raylog.cli.output import note, print_json, print_table
from raylog.model.clock import SystemClock
from raylog.model.errors import InvalidError, RaylogError

if TYPE_CHECKING:
    from lab.experiment import Experiment
    from lab.outcome import Outcome
    from lab.watch import Observe

EXIT_UNSOUND = 1
_LOOK_S_MAX = 2.0

lab = typer.Typer(name="lab", help="Try elastic scaling out: run experiments, and compare them.", no_args_is_help=True)


class InterruptedRunError(RaylogError):
    """The command was asked to stop before the experiment had ended."""


@lab.command("list")
def list_experiments(json: Json = False) -> None:
    """Show the experiments that come with Raylog."""
    from lab.shipped import all_shipped

    shipped = all_shipped()
    if json:
        print_json(
            [{"name": one.name, "title": one.title, "about": one.about, "seconds": one.seconds} for one in shipped]
        )
    else:
        print_table(("experiment", "seconds", "title"), [(one.name, round(one.seconds), one.title) for one in shipped])


@lab.command()
def show(experiment: Annotated[str, typer.Argument(metavar="NAME", help="As 'raylog lab list' names it.")]) -> None:
    """Print an experiment's file, to begin one of your own with."""
    from lab.shipped import find

    print(find(experiment).source, end="")


@lab.command()
def run(
    experiment: Annotated[
        str, typer.Argument(metavar="NAME|FILE.yaml", help="One that 'raylog lab list' shows, or a file of your own.")
    ],
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Where the report goes. [default: NAME.html, here]")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Keep all that the run leaves: bucket, WAL, logs, journal.")
    ] = None,
) -> int:
    """Run an experiment, check what its clients saw, and write a report.

    Exits with 1 when a record was lost, doubled or reordered, or when an event could not be done.
    """
    from lab.report.page import report as page_of
    from lab.report.page import verdict
    from lab.shipped import find

    chosen = find(experiment)
    target = report or Path(f"{chosen.name}.html")
    if not target.parent.is_dir():
        raise InvalidError(
            f"There is no folder {target.parent} for the report: make it, or name another with --report."
        )
    outcome = _run(chosen, keep)
    target.write_text(page_of(outcome), encoding="utf-8")
    _print(outcome)
    note(f"{verdict(outcome)}\nReport: {target}")
    return 0 if outcome.is_sound else EXIT_UNSOUND


@lab.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="A.html", help="A report of 'raylog lab run'.")],
    second: Annotated[Path, typer.Argument(metavar="B.html", help="Another.")],
    report: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write the comparison with charts.")] = None,
    json: Json = False,
) -> None:
    """Show two reports' facts beside each other."""
    from lab.report.compare import comparison, differences
    from lab.report.stored import outcome_of

    before, after = outcome_of(first), outcome_of(second)
    found = differences(before, after)
    if json:
        print_json(
            [
                {
                    "group": one.group,
                    "name": one.name,
                    "a": None if one.first is None else one.first.value,
                    "b": None if one.second is None else one.second.value,
                }
                for one in found
            ]
        )
    else:
        print_table(
            ("", "A", "B", "A to B"),
            [
                (one.name, one.first.text if one.first else None, one.second.text if one.second else None, one.change)
                for one in found
            ],
            title=f"A: {before.title}   B: {after.title}",
        )
    if report is not None:
        report.write_text(comparison(before, after), encoding="utf-8")
        note(f"Comparison: {report}")


def _run(experiment: "Experiment", keep: Path | None) -> "Outcome":
    from rich.console import Console

    from lab import machine
    from lab.history.journal import Journal
    from lab.history.verdict import events_of
    from lab.live import Display
    from lab.measure import measure, prices_of
    from lab.run import run as run_experiment

    clock = SystemClock()
    folder = keep or Path(tempfile.mkdtemp(prefix="raylog-lab-"))
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise InvalidError(f"The folder {folder} is not empty: name another with --keep.")
    interrupts = Interrupts()
    interrupts.install()
    title = f"{experiment.name}: {experiment.title}"
    display = Display(title, Console(stderr=True), clock, _pause(interrupts), prices_of(experiment))
    try:
        with display, Journal(folder / "journal.jsonl", clock, display.acknowledged) as journal:
            run_experiment(experiment, folder.resolve(), journal, _observer(), display)
        note("checking the history")
        return measure(list(events_of(journal.path)), experiment, machine.describe(clock))
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def _pause(interrupts: Interrupts) -> Callable[[float], None]:
    def pause(seconds: float) -> None:
        if interrupts.wait(seconds):
            raise InterruptedRunError("The experiment was stopped before its end, and has no report.")

    return pause


def _observer() -> "Observe":
    """Looks at a cluster by Kafka's protocol, as 'raylog status' and 'raylog balance' do."""
    from lab.watch import Seen
    from raylog.cli.balance import look
    from raylog.cli.client import Cluster
    from raylog.cli.move import moves_under_way

    admins: dict[str, object] = {}

    def observe(bootstrap: str) -> Seen:
        cluster = Cluster.of(bootstrap, _LOOK_S_MAX, None)
        admin = admins.setdefault(bootstrap, cluster.admin())
        leaders = [leader for leader in look(cluster)["leaders"] if leader["partitions"]]
        led: dict[str, int] = {}
        for leader in leaders:
            led[leader["node"]] = led.get(leader["node"], 0) + leader["partitions"]
        return Seen(
            brokers=len(cluster.metadata(admin).brokers),
            leaders=len(leaders),
            led=led,
            moving=len(moves_under_way(cluster)),
        )

    return observe


def _print(outcome: "Outcome") -> None:
    from lab.facts import facts

    print_table(("", outcome.name), [(fact.name, fact.text) for fact in facts(outcome)], title=outcome.title)
