"""The report of one run: a single HTML file with everything in it, the data too, so that it can be compared later. Pure."""

from collections.abc import Iterator, Mapping
from typing import Final

from lab.experiment import Kind
from lab.facts import Fact, facts
from lab.outcome import ANOMALY_KINDS, Outcome
from lab.report import html
from lab.report.chart import Chart, Event, Line, Values

GROUPS: Final = {
    "history": "Records",
    "load": "Throughput and latency",
    "without a leader": "Time without a leader",
    "bucket": "Bucket",
}
"""Titles of the facts' groups."""


def report(outcome: Outcome) -> str:
    """The whole file."""
    return html.page(f"{outcome.title} · raylog lab", _body(outcome), outcome.to_json())


def _body(outcome: Outcome) -> Iterator[str]:
    yield html.heading(outcome.title, 1)
    yield html.paragraph(
        f"{outcome.name} · {outcome.seconds:g} s · {outcome.machine.get('date', '')} · "
        f"{outcome.machine.get('machine', '')}",
        "soft",
    )
    yield html.paragraph(outcome.about)
    yield html.paragraph(verdict(outcome), "verdict good" if outcome.is_sound else "verdict bad")
    known = facts(outcome)
    yield html.grid("cards", (_card(title, group, known) for group, title in GROUPS.items() if _of(group, known)))
    yield html.heading("Over time")
    yield html.grid("charts", (html.figure(chart) for chart in charts(outcome)))
    if outcome.marks:
        yield html.heading("Events")
        yield html.table(
            (
                (f"{mark.at:.1f} s", mark.label, mark.failure or f"done after {mark.ended - mark.at:.1f} s")
                for mark in outcome.marks
            ),
            kind="wide",
        )
    if outcome.anomalies:
        yield html.heading("Anomalies")
        yield html.preformatted("\n".join(outcome.anomalies))
    yield html.heading("How to read it")
    for text in _EXPLANATIONS:
        yield html.paragraph(text.format(prices=outcome.prices))
    yield html.heading("Experiment")
    yield html.preformatted(outcome.source)
    yield html.heading("Machine and versions")
    yield html.table(outcome.machine.items(), kind="wide")


_EXPLANATIONS = (
    "Latency is from when a record was due to its acknowledgement, whatever the cluster did meanwhile, and belongs to the second "
    "in which the record was due. Warm-up is not in it; lost, doubled and reordered are judged from the very first record.",
    "Time without a leader is that of one partition at one change of its leadership, as its producer saw it: from the last "
    "acknowledgement before, or from when the next record was due, to the first acknowledgement after. It is never shorter than "
    "an ordinary acknowledgement. Moves are all changes that no kill, preemption or pause has forced: of a drain, of a node "
    "that has joined, of the balance.",
    "Dollars are what the requests would cost at list prices ({prices}), whatever the bucket of this run was.",
)


def verdict(outcome: Outcome) -> str:
    """One sentence."""
    wrong = [f"{outcome.counts[kind]} {kind}" for kind in ANOMALY_KINDS if outcome.counts[kind]]
    failed = [mark.label for mark in outcome.marks if mark.failure]
    if wrong:
        return f"Not sound: {', '.join(wrong)}."
    kept = f"{outcome.counts['acknowledged']:,} acknowledged records: none lost, none doubled, none reordered"
    return f"{kept}; but what could not be done: {', '.join(failed)}." if failed else f"{kept}."


def _of(group: str, known: list[Fact]) -> list[Fact]:
    return [fact for fact in known if fact.group == group]


def _card(title: str, group: str, known: list[Fact]) -> str:
    return html.card(title, ((fact.name, fact.text) for fact in _of(group, known)))


def charts(outcome: Outcome) -> Iterator[Chart]:
    """In the order of the page; those of which nothing is known are left out."""
    series = outcome.series
    yield _chart(
        outcome,
        "Throughput, records/s",
        {"due": series["offered"], "acknowledged": series["acknowledged"], "read by groups": series["read"]},
    )
    yield _chart(
        outcome,
        "Latency, ms",
        {"p50": series["p50_ms"], "p99": series["p99_ms"], "p99.9": series["p999_ms"]},
        is_log=True,
    )
    if outcome.p99_ms_of:
        yield _chart(outcome, "Latency p99 of each load, ms", outcome.p99_ms_of, is_log=True)
    without, moving = {"partitions": series["without_leader"]}, {"partitions": series["moving"]}
    yield _chart(outcome, "Partitions without a leader", without, is_whole=True)
    nodes = {"nodes": series["nodes"], "leaders": series["leaders"]}
    yield _chart(outcome, "Nodes, and leaders that lead something", nodes, is_whole=True)
    yield _chart(outcome, "Partitions by their leader's node, internal ones too", outcome.led, is_whole=True)
    yield _chart(outcome, "Partitions on their way", moving, is_whole=True)
    if outcome.requests:
        yield _chart(outcome, "Requests to the bucket, 1/s", outcome.requests)
        yield _chart(outcome, "Dollars so far, for requests", {outcome.prices: series["dollars"]})


def _chart(
    outcome: Outcome, title: str, lines: Mapping[str, Values], *, is_log: bool = False, is_whole: bool = False
) -> Chart:
    return Chart(
        title=title,
        lines=[Line(name=name, values=values) for name, values in lines.items()],
        seconds=outcome.seconds,
        window_s=outcome.window_s,
        events=chart_events(outcome),
        is_log=is_log,
        is_whole=is_whole,
    )


def chart_events(outcome: Outcome, prefix: str = "") -> list[Event]:
    """What lasts is a band; a kill is over at once, however long it takes to see that it is."""
    return [
        Event(at=mark.at, ended=mark.at if mark.kind == Kind.KILL.value else mark.ended, label=f"{prefix}{mark.label}")
        for mark in outcome.marks
    ]
