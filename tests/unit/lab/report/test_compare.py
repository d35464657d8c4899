"""Two reports beside each other."""

from dataclasses import replace

from lab.outcome import Outcome
from lab.report.compare import comparison, differences


def _changes(first: Outcome, second: Outcome) -> dict[str, str]:
    return {one.name: one.change for one in differences(first, second)}


def test_a_run_is_the_same_as_itself(outcome: Outcome) -> None:
    assert set(_changes(outcome, outcome).values()) == {"same"}


def test_changes_are_told_with_which_is_better(outcome: Outcome) -> None:
    worse = replace(
        outcome,
        latency_ms={**outcome.latency_ms, "p99": 6000.0, "p50": 5.0, "max": 3001.0},
        counts={**outcome.counts, "lost": 3, "sent": 80},
    )
    changes = _changes(outcome, worse)
    assert changes["latency p99"] == "+100 %, worse"
    assert changes["latency p50"] == "-50 %, better"
    assert changes["latency max"] == "same"
    assert changes["lost"] == "+3, worse"
    assert changes["records sent"] == "+100 %"


def test_what_only_one_has_is_shown_without_a_change(outcome: Outcome) -> None:
    quiet = replace(outcome, absences=[])
    [first] = [one for one in differences(outcome, quiet) if one.name == "kill b: p50"]
    assert (first.second, first.change) == (None, "")
    groups = [one.group for one in differences(quiet, outcome)]
    assert groups == sorted(groups, key=list(dict.fromkeys(groups)).index), "each group is in one place"


def test_a_comparison_has_both_runs_lines_events_and_files(outcome: Outcome) -> None:
    other = replace(outcome, title="Another run", source="seconds: 1")
    page = comparison(outcome, other)
    assert "A &lt;small&gt; run" in page
    assert "Another run" in page
    assert "not given the same experiment" in page
    assert "A: kill b" in page
    assert "B: kill b" in page
    assert page.count("<figure>") == 6
