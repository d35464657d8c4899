"""A run's figures, from its journal: what was done, what it cost, and what became of the records."""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rich.console import Group
from rich.table import Table

from lab.history.history import UNKNOWN_OFFSET
from lab.history.verdict import Event

_NAMES = {"lost write": "lost", "duplicate": "doubled", "moved write": "moved", "order": "reordered"}


@dataclass(slots=True)
class _Times:
    """Of one partition's acknowledged records."""

    sent: list[float] = field(default_factory=list)
    acknowledged: list[float] = field(default_factory=list)

    def recovery_after(self, at: float) -> float | None:
        """From ``at`` to the acknowledgement of the first record that was sent later."""
        place = bisect_right(self.sent, at)
        return min(self.acknowledged[place:]) - at if place < len(self.sent) else None


@dataclass(slots=True)
class _Kind:
    strikes: int = 0
    recoveries: list[float] = field(default_factory=list)
    longest_silence: float = 0.0


def tables(events: Iterable[Event], anomalies: Sequence[str]) -> Group:
    acknowledged_sends: dict[str, list[tuple[float, float]]] = defaultdict(list)
    sent_at: dict[tuple[str, int], tuple[float, str]] = {}
    counts: Counter[str] = Counter()
    faults: list[tuple[str, float]] = []
    for event in events:
        counts[event["event"]] += 1
        match event["event"]:
            case "send":
                sent_at[event["producer"], event["number"]] = (event["t"], f"{event['topic']}-{event['part']}")
            case "ack":
                at, partition = sent_at.pop((event["producer"], event["number"]))
                acknowledged_sends[partition].append((at, event["t"]))
                counts["without offset"] += event["offset"] == UNKNOWN_OFFSET
            case "fault":
                faults.append((event["kind"], event["at"]))
            case "poll":
                counts["read"] += len(event["found"])
    return Group(_faults(faults, acknowledged_sends), _records(counts, anomalies))


def _faults(faults: Sequence[tuple[str, float]], sends: dict[str, list[tuple[float, float]]]) -> Table:
    times = [_times(pairs) for pairs in sends.values()]
    silences = [_silences(sorted(acknowledged for _, acknowledged in pairs)) for pairs in sends.values()]
    kinds: defaultdict[str, _Kind] = defaultdict(_Kind)
    for name, at in faults:
        kind = kinds[name]
        kind.strikes += 1
        recoveries = [after for one in times if (after := one.recovery_after(at)) is not None]
        if recoveries:
            kind.recoveries.append(max(recoveries))
        kind.longest_silence = max(kind.longest_silence, *(_silence_at(each, at) for each in silences))
    table = Table(title="Faults; times are those of the partition that waited longest, and other faults may overlap")
    for heading in ("fault", "times", "longest without an ack", "until acked again p50", "p99"):
        table.add_column(heading, justify="left" if heading == "fault" else "right")
    for name, kind in sorted(kinds.items()):
        table.add_row(
            name,
            str(kind.strikes),
            f"{kind.longest_silence:.1f} s",
            f"{_quantile(kind.recoveries, 0.5):.1f} s",
            f"{_quantile(kind.recoveries, 0.99):.1f} s",
        )
    return table


def _times(pairs: Iterable[tuple[float, float]]) -> _Times:
    """Each acknowledgement is replaced by the earliest of those sent later, so that a look-up is one step."""
    ordered = sorted(pairs)
    times = _Times([sent for sent, _ in ordered], [acknowledged for _, acknowledged in ordered])
    for place in range(len(ordered) - 2, -1, -1):
        times.acknowledged[place] = min(times.acknowledged[place], times.acknowledged[place + 1])
    return times


def _silences(acknowledged: Sequence[float]) -> tuple[list[float], list[float]]:
    """Begins and ends of the times between two acknowledgements."""
    return list(acknowledged[:-1]), list(acknowledged[1:])


def _silence_at(silences: tuple[list[float], list[float]], at: float) -> float:
    """The length of the longest one that a fault at ``at`` began in or just before."""
    begins, ends = silences
    first = max(bisect_left(begins, at) - 1, 0)
    return max(
        (end - begin for begin, end in zip(begins[first:], ends[first:], strict=True) if begin <= at + 1.0),
        default=0.0,
    )


def _records(counts: Counter[str], anomalies: Sequence[str]) -> Table:
    table = Table(title="Records")
    rows = {
        "sent": counts["send"],
        "acknowledged": counts["ack"],
        "of these, as known duplicates": counts["without offset"],
        "refused or unknown (plain producers)": counts["fail"],
        "read while it ran": counts["read"],
        "commits acknowledged": counts["commit-ack"],
        "server ended by itself": counts["ended"],
        "anomalies": len(anomalies),
    }
    kinds = Counter(anomaly.partition(":")[0] for anomaly in anomalies)
    rows |= {name: kinds[word] for word, name in _NAMES.items()}
    table.add_column("")
    table.add_column("", justify="right")
    for name, count in rows.items():
        table.add_row(name, str(count))
    return table


def _quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0
