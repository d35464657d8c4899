"""Whole clusters in trouble, a seed each: nothing acknowledged is lost, nothing comes twice, everybody sees the same."""

import functools
import os
import subprocess
import sys
from collections import Counter

import pytest

from tests.sim.cluster import SPILLING_BYTES
from tests.sim.pool import Outcome, run_seed, run_seeds
from tests.sim.scenarios import CHECKPOINT_ROWS

SEEDS = int(os.environ.get("RAYLOG_SIM_SEEDS", "300"))
_BLOCK = 50
"""Seeds of one test, which has all cores for them."""


@functools.cache
def outcomes(first: int) -> list[Outcome]:
    return list(run_seeds(map(str, range(first, min(first + _BLOCK, SEEDS)))))


@pytest.mark.parametrize("first", range(0, SEEDS, _BLOCK))
def test_nothing_is_lost_whatever_happens(first: int) -> None:
    for outcome in outcomes(first):
        assert not outcome.anomalies, f"again: make sim SEED={outcome.seed}\n{outcome.text}"


def test_an_outage_of_minutes_stops_clients_and_loses_nothing() -> None:
    """With a file WAL writes go on until it is full; with the bucket as the WAL they time out. Then all goes on by itself."""
    report = run_seed("outage/0")
    assert not report.anomalies, report.text()
    lines = report.trace.lines
    began, ended = (i for i, line in enumerate(lines) if line.split()[1] == "outage")
    last_put = max(i for i, line in enumerate(lines[:ended]) if " put-new " in line and line.endswith(" ok"))
    last_put_is_told_s = float(lines[max(began, last_put)].split()[0]) + 1
    told = Counter(
        (words[2].partition("-")[0], words[4])
        for words in map(str.split, lines[began:ended])
        if words[1] == "produced" and float(words[0]) > last_put_is_told_s
    )
    assert told["file", "none"] > 20, told
    assert told["file", "request_timed_out"], told
    assert told["object", "request_timed_out"], told
    assert not told["object", "none"], told


def test_a_successor_never_finds_many_more_rows_than_a_checkpoint_falls_due_by() -> None:
    """Those of the slots that settle while the checkpoint is written come on top."""
    tails: list[int] = []
    covered: set[str] = set()
    for outcome in (run_seed(f"short_tails/{seed}") for seed in range(4)):
        assert not outcome.anomalies, outcome.text()
        for words in map(str.split, outcome.trace.lines):
            if words[1] == "tail":
                tails.append(int(words[3]))
                covered.add(f"{outcome.seed} {words[2]} {words[4]}")
    assert max(tails) <= 2 * CHECKPOINT_ROWS, sorted(tails)
    assert sum(tails) > len(tails) * CHECKPOINT_ROWS / 5 and len(covered) > 12, (sorted(tails), covered)


def test_outages_longer_than_memory_lasts_stop_nobody_whose_wal_has_room() -> None:
    """What is in the WAL alone is read by consumers, brought into slots by its leader, and by the next one after a kill."""
    spilled_bytes = []
    for outcome in (run_seed(f"spilling_outages/{seed}") for seed in range(6)):
        assert not outcome.anomalies, outcome.text()
        events = (line.split() for line in outcome.trace.lines)
        spilled_bytes.append(max(int(words[3]) for words in events if words[1] == "spilled"))
    assert min(spilled_bytes) > SPILLING_BYTES, spilled_bytes


@pytest.mark.parametrize(
    ("scenario", "least"),
    [
        ("balanced", {"balance": 4, "wants": 4}),
        ("drained", {"drain": 8, "clear": 4}),
        ("resting", {"rest": 16}),
    ],
)
def test_partitions_move_and_leaders_rest_in_the_middle_of_trouble(scenario: str, least: dict[str, int]) -> None:
    seen: Counter[str] = Counter()
    for outcome in run_seeds(f"{scenario}/{seed}" for seed in range(8)):
        assert not outcome.anomalies, outcome.text
        seen.update(outcome.events)
    assert all(seen[what] >= count for what, count in least.items()), seen


def test_what_goes_by_the_bucket_is_lost_with_no_gateway_and_no_leader() -> None:
    """Each node is a zone: gateways end between their uploads and the references, leaders at any time."""
    seen: Counter[str] = Counter()
    for outcome in run_seeds(f"zones/{seed}" for seed in range(8)):
        assert not outcome.anomalies, outcome.text
        seen.update(outcome.events)
    assert seen["orphan"] >= 8 and seen["kill"] >= 16, seen


def test_a_seed_gives_the_same_run_in_every_process() -> None:
    """Every callback, event and byte in the bucket, with strings and addresses hashed differently."""
    digests = [_digests(hash_seed, seeds=("3", "8", "sleeping_collector/1")) for hash_seed in ("1", "4242")]
    assert digests[0] == digests[1]
    assert len(set(digests[0].splitlines())) == 3


def _digests(hash_seed: str, seeds: tuple[str, ...]) -> str:
    command = [sys.executable, "-m", "tests.sim", "--digest", *(f"--seed={seed}" for seed in seeds)]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def test_trouble_happens_and_work_gets_done() -> None:
    """So that the other tests are about something. A run has some of the kinds of trouble only."""
    seen: Counter[str] = Counter()
    for outcome in outcomes(0):
        seen.update(outcome.events)
    assert 0.6 * sum(outcome.sent for outcome in outcomes(0)) < sum(outcome.acknowledged for outcome in outcomes(0))
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
