"""A fixed run, as its journal has it: two partitions, a kill that one of them feels, a move of the other."""

from typing import Any

import pytest

from lab.experiment import Experiment
from lab.experiment_file import parse
from lab.measure import measure
from lab.outcome import Outcome

SOURCE = """\
title: A <small> run
about: For tests.
seconds: 10
topics:
  - {name: orders, partitions: 2}
load:
  - {topic: orders, rate: 2, record_bytes: 1024}
events:
  - {at: 4, do: kill, node: b}
"""
BEGAN = 100.0


def _sends_and_acks() -> list[dict[str, Any]]:
    """A record of 1 KiB each half second for each partition, answered after 10 ms; but partition 0's of the kill's time wait for
    three seconds after it."""
    lines: list[dict[str, Any]] = []
    for part in (0, 1):
        for number in range(20):
            due = BEGAN + number * 0.5 + part * 0.1
            sent = {"producer": f"p{part}", "number": number, "topic": "orders", "part": part, "idempotent": True}
            lines.append({"t": due, "event": "send", **sent, "value": f"p{part}-{number}", "due": due, "size": 1024})
            waits = part == 0 and 4.0 <= due - BEGAN < 7.0
            answered = BEGAN + 7.0 if waits else due + 0.01
            lines.append({"t": answered, "event": "ack", "producer": f"p{part}", "number": number, "offset": number})
    return lines


def _log(part: int, new_epoch_from: int) -> dict[str, Any]:
    found = [[number, f"p{part}-{number}", 5 if number >= new_epoch_from else 3] for number in range(20)]
    return {"t": BEGAN + 12, "event": "log", "topic": "orders", "part": part, "found": found}


def _looks() -> list[dict[str, Any]]:
    return [
        {
            "t": BEGAN + second,
            "at": BEGAN + second,
            "event": "look",
            "requests": {"put_if_absent": 10.0 * (second + 2), "get": 100.0, "delete": 5.0},
            "brokers": 2 if second < 5 else 1,
            "leaders": 2,
            "led": {"a": 1, "b": 1} if second < 5 else {"a": 2},
            "moving": 0,
        }
        for second in range(-1, 12)
    ]


@pytest.fixture
def journal() -> list[dict[str, Any]]:
    poll = {"session": "m.1", "group": "g", "topic": "orders", "part": 0, "position": 0, "found": [[0, "p0-0", 3]]}
    struck = {
        "at": BEGAN + 4,
        "ended": BEGAN + 4.5,
        "kind": "kill",
        "label": "kill b",
        "blows": [BEGAN + 4],
        "failure": "",
    }
    lines = [
        {"t": BEGAN, "event": "began"},
        *_sends_and_acks(),
        {"t": BEGAN + 0.5, "event": "poll", **poll},
        *_looks(),
        {"t": BEGAN + 4.5, "event": "struck", **struck},
        {"t": BEGAN + 10, "event": "ended"},
        _log(0, 8),
        _log(1, 18),
    ]
    return sorted(lines, key=lambda line: line["t"])


@pytest.fixture
def experiment() -> Experiment:
    return parse(SOURCE, "small", "small.yaml")


@pytest.fixture
def outcome(journal: list[dict[str, Any]], experiment: Experiment) -> Outcome:
    return measure(journal, experiment, {"machine": "2 cores", "date": "2026-11-26 08:00 UTC"})
