"""Many seeds on all cores: a process for each core, reports in the order of the seeds."""

import multiprocessing
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

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


def run_seed(seed: str) -> Report:
    """A seed of random trouble, or of directed trouble when it begins with a scenario's name: ``outage/3``."""
    scenario, _, number = seed.partition("/")
    if not number:
        return simulate(seed)
    shape, trouble = SCENARIOS[scenario]
    return simulate(seed, shape=shape, trouble=trouble)


def run_seeds(seeds: Iterable[str]) -> Iterator[Outcome]:
    """Each as soon as it and all before it have run. Whoever stops taking them ends the rest."""
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        yield from pool.imap(_outcome, seeds, chunksize=1)


def _outcome(seed: str) -> Outcome:
    report = run_seed(seed)
    text = report.text() if report.anomalies else ""
    return Outcome(seed=seed, anomalies=report.anomalies, text=text, seconds=report.seconds)
