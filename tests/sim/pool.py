"""Many seeds on all cores: a process for each core, reports in the order of the seeds."""

import atexit
import functools
import multiprocessing
import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.sim.run import Report, simulate
from tests.sim.scenarios import SCENARIOS


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is left of a run when it comes from another process."""

    seed: str
    anomalies: list[str]
    text: str
    """For people; empty when nothing is wrong."""
    seconds: float
    """Of virtual time."""
    sent: int
    """Batches;"""
    acknowledged: int
    """and those of them that were."""
    events: Counter[str]
    """How often each kind of line came in the trace, and what else tells that a run had its troubles."""


def run_seed(seed: str) -> Report:
    """A seed of random trouble, or of directed trouble when it begins with a scenario's name: ``outage/3``."""
    scenario, _, number = seed.partition("/")
    if not number:
        return simulate(seed)
    shape, trouble = SCENARIOS[scenario]
    return simulate(seed, shape=shape, trouble=trouble)


def run_seeds(seeds: Iterable[str]) -> Iterator[Outcome]:
    """Each as soon as it and all before it have run. The rest run on when nobody takes them, until this process ends."""
    return _workers().imap(_outcome, seeds, chunksize=1)


@functools.cache
def _workers() -> Any:
    """The same ones for all seeds of this process: one takes longer to start than most seeds do."""
    workers = multiprocessing.get_context("spawn").Pool(os.cpu_count(), initializer=_end_with_parent)
    atexit.register(workers.terminate)
    return workers


def _end_with_parent() -> None:
    """A process that is killed stops no worker: they would run all that it had asked for."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "this is for workers"

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


def _outcome(seed: str) -> Outcome:
    report = run_seed(seed)
    text = report.text() if report.anomalies else ""
    batches = report.history.batches
    return Outcome(
        seed=seed,
        anomalies=report.anomalies,
        text=text,
        seconds=report.seconds,
        sent=len(batches),
        acknowledged=sum(batch.is_acknowledged for batch in batches),
        events=_events(report.trace.lines),
    )


def _events(lines: Iterable[str]) -> Counter[str]:
    events: Counter[str] = Counter()
    for line in lines:
        words = line.split()
        events[words[1]] += 1
        events["fenced"] += "was fenced" in line
        events["trimmed"] += words[1] == "bucket" and words[3] == "delete"
        events["catch-up"] += words[1] == "bucket" and words[2].startswith("gateway") and words[3] == "get"
    return events
