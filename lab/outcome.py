"""What a run has come to: figures over time, events, and the verdict on the history. Made from a journal; pure, and JSON-able.

Times are seconds from the beginning of the measured load. A record's latency is from when it was due to its acknowledgement, and
belongs to the second in which it was due; so who waits while the cluster is away is charged to it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from lab import prices
from lab.absences import Absence
from raylog.model.errors import InvalidError

FORMAT: Final = 1
Series = list[float | None]
"""One value per window; None: not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """An event that has happened."""

    at: float
    ended: float
    kind: str
    label: str
    failure: str
    """Why it could not be done; empty: it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    name: str
    title: str
    about: str
    source: str
    """The experiment's file."""
    machine: Mapping[str, str]
    seconds: float
    window_s: float
    series: Mapping[str, Series]
    """offered, acknowledged and read (records a second), mib (acknowledged MiB a second), p50_ms, p99_ms, p999_ms,
    without_leader, nodes, leaders, moving, dollars (so far)."""
    p99_ms_of: Mapping[str, Series]
    """Of each load by its topics' name, where there is more than one."""
    led: Mapping[str, Series]
    """Partitions by node."""
    requests: Mapping[str, Series]
    """Requests to the bucket a second, by kind."""
    marks: Sequence[Mark]
    absences: Sequence[Absence]
    latency_ms: Mapping[str, float]
    """p50, p99, p99.9, max; empty when nothing was acknowledged."""
    latency_ms_of: Mapping[str, Mapping[str, float]]
    """The same of each load by its topics' name, where there is more than one."""
    counts: Mapping[str, int]
    """sent, acknowledged, read, lost, doubled, reordered, other."""
    anomalies: Sequence[str]
    """The first of them."""
    bytes_acknowledged: int
    request_totals: Mapping[str, float]
    dollars: float
    prices: str
    """Whose, and of when."""

    @property
    def is_sound(self) -> bool:
        """Nothing is wrong with the history, and every event was done."""
        return not any(self.counts[kind] for kind in ANOMALY_KINDS) and not any(mark.failure for mark in self.marks)

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Outcome":
        """Raises InvalidError for what another version has written."""
        if values.get("format") != FORMAT:
            raise InvalidError(f"It has data of format {values.get('format')}, and this Raylog reads {FORMAT}.")
        own = {key: value for key, value in values.items() if key != "format"}
        own["marks"] = [Mark(**mark) for mark in own["marks"]]
        own["absences"] = [Absence(**absence) for absence in own["absences"]]
        return cls(**own)


ANOMALY_KINDS: Final = ("lost", "doubled", "reordered", "other")
_KINDS: Final = {
    "lost write": "lost",
    "lost writes": "lost",
    "unseen by its group": "lost",
    "duplicate": "doubled",
    "order": "reordered",
    "non-monotonic poll": "reordered",
}
"""By the word that a checker's sentence begins with (lab/history/checker.py); all others are ``other``."""


def count_anomalies(anomalies: Iterable[str]) -> dict[str, int]:
    """By ``ANOMALY_KINDS``."""
    found = Counter(_KINDS.get(anomaly.partition(":")[0], "other") for anomaly in anomalies)
    return {kind: found[kind] for kind in ANOMALY_KINDS}


def priced(list_prices: prices.Prices) -> str:
    return f"{list_prices.name}, us-east-1, {prices.AS_OF}"
