"""An outcome as a table of facts: what a report shows, what two reports are compared by, and what documentation quotes. Pure."""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from lab.absences import MOVE
from lab.outcome import ANOMALY_KINDS, Outcome
from lab.percentiles import percentile

_GIB = 1 << 30
_HOUR_S = 3600


class Better(Enum):
    """Which of two values one would rather have."""

    LESS = "less"
    MORE = "more"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    group: str
    name: str
    value: float
    unit: str = ""
    better: Better = Better.NEITHER

    @property
    def text(self) -> str:
        return f"{number(self.value)}{f' {self.unit}' if self.unit else ''}"


def facts(outcome: Outcome) -> list[Fact]:
    """In the order of a reader's interest; what is not known is left out."""
    return [*_history(outcome), *_load(outcome), *_absences(outcome), *_bucket(outcome)]


def _history(outcome: Outcome) -> Iterator[Fact]:
    names = {"lost": "lost", "doubled": "doubled", "reordered": "reordered", "other": "other anomalies"}
    for kind in ANOMALY_KINDS:
        yield Fact(group="history", name=names[kind], value=outcome.counts[kind], better=Better.LESS)
    yield Fact(group="history", name="records sent", value=outcome.counts["sent"])
    yield Fact(group="history", name="records acknowledged", value=outcome.counts["acknowledged"])
    yield Fact(group="history", name="records read by groups", value=outcome.counts["read"])


def _load(outcome: Outcome) -> Iterator[Fact]:
    for name in ("acknowledged", "mib"):
        known = [value for value in outcome.series[name] if value is not None]
        unit = "records/s" if name == "acknowledged" else "MiB/s"
        yield Fact(group="load", name=f"throughput, {unit}", value=sum(known) / max(len(known), 1), better=Better.MORE)
    for share, value in outcome.latency_ms.items():
        yield Fact(group="load", name=f"latency {share}", value=value, unit="ms", better=Better.LESS)
    for topics, shares in outcome.latency_ms_of.items():
        for share, value in shares.items():
            yield Fact(group="load", name=f"{topics}: latency {share}", value=value, unit="ms", better=Better.LESS)


def _absences(outcome: Outcome) -> Iterator[Fact]:
    by_cause: defaultdict[str, list[float]] = defaultdict(list)
    for absence in outcome.absences:
        by_cause[absence.cause].append(1000 * absence.seconds)
    for cause, milliseconds in sorted(by_cause.items(), key=lambda item: item[0] == MOVE):
        ordered = sorted(milliseconds)
        name = "a move" if cause == MOVE else cause
        yield Fact(group="without a leader", name=f"{name}: partitions", value=len(ordered))
        for share, text in ((0.5, "p50"), (0.99, "p99")):
            value = percentile(ordered, share)
            yield Fact(group="without a leader", name=f"{name}: {text}", value=value, unit="ms", better=Better.LESS)


def _bucket(outcome: Outcome) -> Iterator[Fact]:
    for kind, count in outcome.request_totals.items():
        yield Fact(group="bucket", name=f"{kind} requests", value=count, better=Better.LESS)
    if outcome.request_totals:
        yield Fact(group="bucket", name="requests, dollars", value=outcome.dollars, better=Better.LESS)
        per_hour = outcome.dollars / outcome.seconds * _HOUR_S
        yield Fact(group="bucket", name="requests, dollars an hour", value=per_hour, better=Better.LESS)
        if outcome.bytes_acknowledged:
            per_gib = outcome.dollars / outcome.bytes_acknowledged * _GIB
            yield Fact(group="bucket", name="requests, dollars per GiB written", value=per_gib, better=Better.LESS)


def number(value: float) -> str:
    """Three figures, or all of a whole number."""
    if value == int(value):
        return f"{int(value):,}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    places = 2 - math.floor(math.log10(abs(value)))
    return f"{value:.{places}f}"
