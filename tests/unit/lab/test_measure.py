"""What a journal comes to."""

import pytest

from lab.experiment_file import parse
from lab.measure import measure
from lab.outcome import Outcome


def test_records_are_counted_and_nothing_is_wrong(outcome: Outcome) -> None:
    assert dict(outcome.counts) == {
        "sent": 40,
        "acknowledged": 40,
        "read": 1,
        "lost": 0,
        "doubled": 0,
        "reordered": 0,
        "other": 0,
    }
    assert outcome.is_sound
    assert outcome.bytes_acknowledged == 40 * 1024


def test_a_latency_belongs_to_the_second_in_which_its_record_was_due(outcome: Outcome) -> None:
    assert outcome.series["p50_ms"][0] == pytest.approx(10)
    assert outcome.series["p999_ms"][4] == pytest.approx(3000)
    assert outcome.series["p999_ms"][6] == pytest.approx(1000)
    assert outcome.series["p999_ms"][7] == pytest.approx(10)
    assert outcome.latency_ms == {"p50": 10.0, "p99": 3000.0, "p99.9": 3000.0, "max": 3000.0}


def test_throughput_is_what_was_due_and_what_was_acknowledged_in_each_second(outcome: Outcome) -> None:
    assert outcome.series["offered"] == [4.0] * 10
    assert outcome.series["acknowledged"] == [4.0] * 4 + [2.0] * 3 + [10.0] + [4.0] * 2
    assert outcome.series["mib"][0] == pytest.approx(4 / 1024, abs=1e-4)


def test_time_without_a_leader_is_told_apart_by_what_caused_it(outcome: Outcome) -> None:
    forced, moved = outcome.absences
    assert (forced.partition, forced.cause) == ("orders-0", "kill b")
    assert forced.seconds == pytest.approx(3.0)
    assert (moved.partition, moved.cause) == ("orders-1", "moves")
    assert moved.seconds == pytest.approx(0.01)
    assert outcome.series["without_leader"] == [0, 0, 0, 0, 1, 1, 1, 1, 0, 1]


def test_requests_count_from_the_beginning_of_the_measured_load(outcome: Outcome) -> None:
    assert dict(outcome.request_totals) == {"put_if_absent": 100.0, "get": 0.0, "delete": 0.0}
    assert outcome.requests["put_if_absent"] == [10.0] * 10
    assert outcome.dollars == pytest.approx(100 * 0.005 / 1000)
    assert outcome.series["dollars"][-1] == pytest.approx(outcome.dollars)


def test_nodes_and_what_they_lead_are_as_they_were_last_seen(outcome: Outcome) -> None:
    assert outcome.series["nodes"] == [2.0] * 5 + [1.0] * 5
    assert outcome.led["b"] == [1] * 5 + [0] * 5
    assert outcome.led["a"] == [1] * 5 + [2] * 5


def test_a_lost_record_makes_a_run_unsound(journal, experiment) -> None:
    for line in journal:
        if line["event"] == "log" and line["part"] == 1:
            line["found"].pop()
    outcome = measure(journal, experiment, {})
    assert outcome.counts["lost"] == 1
    assert not outcome.is_sound
    assert "lost write" in outcome.anomalies[0]


def test_an_event_that_failed_has_caused_nothing_and_makes_a_run_unsound(journal, experiment) -> None:
    for line in journal:
        if line["event"] == "struck":
            line |= {"failure": "No process was there.", "blows": []}
    outcome = measure(journal, experiment, {})
    assert {absence.cause for absence in outcome.absences} == {"moves"}
    assert not outcome.is_sound


def test_looks_without_an_answer_leave_gaps(journal, experiment) -> None:
    lines = [line for line in journal if line["event"] != "look" or not 3 <= line["at"] - 100 <= 7]
    outcome = measure(lines, experiment, {})
    assert outcome.series["nodes"][3:7] == [2.0, None, None, None]


def test_a_run_whose_bucket_nobody_counts_says_nothing_of_it(journal, experiment) -> None:
    for line in journal:
        line.pop("requests", None)
    outcome = measure(journal, experiment, {})
    assert outcome.request_totals == {}
    assert outcome.series["dollars"] == [None] * 10


def test_a_preempted_node_is_gone_when_its_notice_has_passed(journal, experiment) -> None:
    for line in journal:
        if line["event"] == "struck":
            line |= {"kind": "preempt", "label": "preempt b", "at": 100.0, "blows": [104.0]}
    outcome = measure(journal, experiment, {})
    assert [absence.cause for absence in outcome.absences] == ["preempt b", "moves"]


def test_a_node_that_takes_its_counters_along_takes_nothing_back(journal, experiment) -> None:
    for line in journal:
        if line["event"] == "look" and line["at"] > 105:
            line["requests"] = {"put_if_absent": 1.0}
    outcome = measure(journal, experiment, {})
    assert outcome.requests["put_if_absent"] == [10.0] * 5 + [0.0] * 5


def test_two_loads_have_a_latency_each(journal) -> None:
    source = """
seconds: 10
topics: [{name: orders, partitions: 2}, {name: logs}]
load: [{topic: orders, rate: 1}, {topic: logs, rate: 1}]
"""
    record = {"producer": "q", "number": 0, "topic": "logs", "part": 0, "idempotent": True, "value": "q-0"}
    journal += [
        {"t": 101.0, "event": "send", **record, "due": 101.0, "size": 10},
        {"t": 101.25, "event": "ack", "producer": "q", "number": 0, "offset": 0},
        {"t": 112.0, "event": "log", "topic": "logs", "part": 0, "found": [[0, "q-0", 1]]},
    ]
    outcome = measure(sorted(journal, key=lambda line: line["t"]), parse(source, "two", "two.yaml"), {})
    assert outcome.latency_ms_of["logs"] == dict.fromkeys(("p50", "p99", "p99.9", "max"), 250.0)
    assert outcome.latency_ms_of["orders"]["max"] == 3000.0
    assert outcome.p99_ms_of["logs"] == [None, 250.0] + [None] * 8


def test_one_load_has_no_latency_beside_the_runs(outcome: Outcome) -> None:
    assert outcome.latency_ms_of == outcome.p99_ms_of == {}
