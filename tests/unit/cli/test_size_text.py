"""Every verdict of the size planner has its sentence."""

import pytest

from controller.scaling.leaving import Stays
from controller.scaling.sizer import Verdict
from raylog.cli.size_text import size

SEEN = {
    "verdict": "enough",
    "node": "b",
    "wanted": 2,
    "serving": 3,
    "needed": 4,
    "nodes_min": 1,
    "nodes_max": 8,
    "use_aimed_at": 0.5,
    "up_s": 15.0,
    "down_s": 300.0,
    "demand": {"kind": "load", "wal": "file", "use": 0.523},
    "demands": [],
    "leaving": ["c"],
    "given_back": [],
    "staying": {"a": "head"},
    "asked_for": 3,
}


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_is_explained(verdict):
    text = size({**SEEN, "verdict": verdict.value})
    assert text.startswith("3 nodes serve, WAL class file is at 52 % where 50 % is aimed at: ")
    assert "{" not in text


@pytest.mark.parametrize("why", Stays)
def test_why_a_node_stays_is_explained(why):
    assert "none can go: a " in size({**SEEN, "verdict": "all_stay", "staying": {"a": why.value}})


def test_what_is_used_most_and_what_is_given_back_are_told():
    assert "their CPUs are at 90 %" in size({**SEEN, "demand": {"kind": "cpu", "wal": None, "use": 0.9}})
    assert "their gateways are at 80 %" in size({**SEEN, "demand": {"kind": "gateways", "wal": None, "use": 0.8}})
    text = size({**SEEN, "serving": 1, "demand": None, "given_back": ["b", "c"]})
    assert text == "1 node serves, and there is nothing to do: that is what load needs. Empty, for Ray to take: b, c."


def test_a_cluster_whose_size_does_not_follow_the_load_says_when_it_does():
    assert "raylog.scaling.nodes.max" in size(None)
