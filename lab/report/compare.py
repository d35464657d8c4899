"""Two runs beside each other: every fact of both, and their lines in the same charts. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from lab.facts import Better, Fact, facts, number
from lab.outcome import Outcome
from lab.report import html
from lab.report.chart import Chart, Line
from lab.report.page import GROUPS, chart_events, verdict

_SAME_SHARE = 0.02
"""Values that differ by less are called the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A fact of two runs; None where one has it not."""

    group: str
    name: str
    first: Fact | None
    second: Fact | None

    @property
    def change(self) -> str:
        """From the first to the second, in words; empty where there is nothing to compare."""
        if self.first is None or self.second is None:
            return ""
        before, after = self.first.value, self.second.value
        if before == after or abs(after - before) <= _SAME_SHARE * max(abs(before), abs(after)):
            return "same"
        text = f"{100 * (after - before) / before:+.0f} %" if before else f"+{number(after)}"
        if self.first.better is Better.NEITHER:
            return text
        is_better = (after < before) == (self.first.better is Better.LESS)
        return f"{text}, {'better' if is_better else 'worse'}"


def differences(first: Outcome, second: Outcome) -> list[Difference]:
    """In the order of the first's facts, then what only the second has, each in its group."""
    before = {(fact.group, fact.name): fact for fact in facts(first)}
    after = {(fact.group, fact.name): fact for fact in facts(second)}
    keys = dict.fromkeys((*before, *after))
    groups = list(dict.fromkeys(group for group, _ in keys))
    return [
        Difference(group=group, name=name, first=before.get((group, name)), second=after.get((group, name)))
        for group, name in sorted(keys, key=lambda key: groups.index(key[0]))
    ]


def comparison(first: Outcome, second: Outcome) -> str:
    """A whole HTML file."""
    return html.page(f"{first.title} and {second.title} · raylog lab", _body(first, second))


def _body(first: Outcome, second: Outcome) -> Iterator[str]:
    yield html.heading("Two runs compared", 1)
    for letter, outcome in (("A", first), ("B", second)):
        machine = " · ".join((outcome.name, outcome.machine.get("date", ""), outcome.machine.get("machine", "")))
        yield html.paragraph(f"{letter}: {outcome.title} · {machine}", "soft")
        yield html.paragraph(f"{letter}: {verdict(outcome)}", "good" if outcome.is_sound else "bad")
    if first.source != second.source:
        yield html.paragraph("The two were not given the same experiment.")
    found = differences(first, second)
    groups = dict.fromkeys(difference.group for difference in found)
    yield html.grid(
        "charts",
        (
            html.card(
                GROUPS[group],
                ((one.name, _text(one.first), _text(one.second), one.change) for one in found if one.group == group),
                ("", "A", "B", "A to B"),
            )
            for group in groups
        ),
    )
    yield html.heading("Over time")
    yield html.grid("charts", (html.figure(chart) for chart in _charts(first, second)))
    for letter, outcome in (("A", first), ("B", second)):
        yield html.heading(f"Experiment {letter}")
        yield html.preformatted(outcome.source)


def _text(fact: Fact | None) -> str:
    return "-" if fact is None else fact.text


def _charts(first: Outcome, second: Outcome) -> Iterator[Chart]:
    for title, name, is_log, is_whole in (
        ("Acknowledged, records/s", "acknowledged", False, False),
        ("Latency p50, ms", "p50_ms", True, False),
        ("Latency p99, ms", "p99_ms", True, False),
        ("Partitions without a leader", "without_leader", False, True),
        ("Nodes", "nodes", False, True),
        ("Dollars so far, for requests", "dollars", False, False),
    ):
        yield Chart(
            title=title,
            lines=[Line(name="A", values=first.series[name]), Line(name="B", values=second.series[name])],
            seconds=max(first.seconds, second.seconds),
            window_s=first.window_s,
            events=[*chart_events(first, "A: "), *chart_events(second, "B: ")],
            is_log=is_log,
            is_whole=is_whole,
        )
