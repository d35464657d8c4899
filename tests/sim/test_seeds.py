"""Whole clusters in trouble, a seed each: nothing acknowledged is lost, nothing comes twice, everybody sees the same."""

import os
import subprocess
import sys
from collections import Counter

import pytest

from tests.sim.run import simulate

SEEDS = int(os.environ.get("RAYLOG_SIM_SEEDS", "120"))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_is_lost_whatever_happens(seed: int) -> None:
    report = simulate(str(seed))
    assert not report.anomalies, f"again: make sim SEED={seed}\n{report.text()}"


def test_a_seed_gives_the_same_run_in_every_process() -> None:
    """Every callback, event and byte in the bucket, with strings and addresses hashed differently."""
    digests = [_digests(hash_seed, seeds=("3", "8")) for hash_seed in ("1", "4242")]
    assert digests[0] == digests[1]
    assert len(set(digests[0].splitlines())) == 2


def _digests(hash_seed: str, seeds: tuple[str, ...]) -> str:
    command = [sys.executable, "-m", "tests.sim", "--digest", *(f"--seed={seed}" for seed in seeds)]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def test_trouble_happens_and_work_gets_done() -> None:
    """So that the other tests are about something."""
    seen: Counter[str] = Counter()
    sent = acknowledged = 0
    for seed in range(8):
        report = simulate(str(seed))
        sent += len(report.history.batches)
        acknowledged += sum(batch.is_acknowledged for batch in report.history.batches)
        for line in report.trace.lines:
            words = line.split()
            seen[words[1]] += 1
            seen["fenced"] += "was fenced" in line
            seen["trimmed"] += words[1] == "bucket" and words[3] == "delete"
            seen["catch-up"] += words[1] == "bucket" and words[2].startswith("gateway") and words[3] == "get"
    assert 0.6 * sent < acknowledged
    for what in (
        "kill",
        "pause",
        "resume",
        "usurp",
        "silence",
        "break",
        "weather",
        "move",
        "fenced",
        "trimmed",
        "catch-up",
    ):
        assert seen[what] >= 3, (what, seen)
