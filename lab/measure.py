"""From a run's journal to its ``Outcome``. Pure: the same lines give the same outcome."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from lab import percentiles, prices
from lab.absences import Blow, Times, absences, without_leader
from lab.experiment import Experiment, LocalCluster
from lab.history.checker import check
from lab.history.verdict import Event, history_of
from lab.outcome import Mark, Outcome, Series, count_anomalies, priced

WINDOW_S: Final = 1.0
_ANOMALIES_SHOWN: Final = 50
_SHARES: Final = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}


@dataclass(slots=True)
class _Lines:
    """A journal by what its lines are about, with times from the measured load's beginning."""

    began: float
    ended: float
    due: dict[str, tuple[float, int]] = field(default_factory=dict)
    """Of each record by its value: when it was due, and its bytes."""
    topic: dict[str, str] = field(default_factory=dict)
    """Of each record by its value."""
    acknowledged: dict[str, float] = field(default_factory=dict)
    reads: list[float] = field(default_factory=list)
    """Of groups, a time for each record."""
    looks: list[Event] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    blows: list[Blow] = field(default_factory=list)


def measure(lines: Sequence[Event], experiment: Experiment, machine: Mapping[str, str]) -> Outcome:
    """``lines`` are a whole journal, of a run that has come to its end."""
    seen = _sort(lines)
    history = history_of(iter(lines))
    anomalies = check(history)
    count = max(round((seen.ended - seen.began) / WINDOW_S), 1)
    times = {value: Times(due, seen.acknowledged.get(value)) for value, (due, _) in seen.due.items()}
    found = [one for one in absences(history.logs, times, seen.blows) if one.end >= 0]
    latencies = _latencies(times.values(), count * WINDOW_S)
    by_load = _latencies_by_load(times, seen.topic, experiment, count * WINDOW_S)
    list_prices = prices_of(experiment)
    requests = _requests(seen.looks)
    totals = _totals(requests, count * WINDOW_S)
    return Outcome(
        name=experiment.name,
        title=experiment.title,
        about=experiment.about,
        source=experiment.source,
        machine=machine,
        seconds=count * WINDOW_S,
        window_s=WINDOW_S,
        series={
            "offered": _rates((due for due, _ in seen.due.values()), count),
            "acknowledged": _rates(seen.acknowledged.values(), count),
            "read": _rates(seen.reads, count),
            "mib": _mib(seen, count),
            **_latency_series(latencies, count),
            "without_leader": list(without_leader(found, count, WINDOW_S)),
            "nodes": _looked(seen.looks, "brokers", count),
            "leaders": _looked(seen.looks, "leaders", count),
            "moving": _looked(seen.looks, "moving", count),
            "dollars": _spent(requests, list_prices, count),
        },
        p99_ms_of={name: _latency_series(some, count)["p99_ms"] for name, some in by_load.items()},
        led=_led(seen.looks, count),
        requests={kind: _differences(samples, count) for kind, samples in requests.items()},
        marks=seen.marks,
        absences=found,
        latency_ms=_shares(latencies),
        latency_ms_of={name: _shares(some) for name, some in by_load.items()},
        counts={
            "sent": len(seen.due),
            "acknowledged": len(seen.acknowledged),
            "read": len(seen.reads),
            **count_anomalies(anomalies),
        },
        anomalies=anomalies[:_ANOMALIES_SHOWN],
        bytes_acknowledged=sum(seen.due[value][1] for value in seen.acknowledged),
        request_totals=totals,
        dollars=list_prices.dollars(totals),
        prices=priced(list_prices),
    )


def prices_of(experiment: Experiment) -> prices.Prices:
    """Those of the bucket's class."""
    cluster = experiment.cluster
    return prices.for_latency(cluster.latency if isinstance(cluster, LocalCluster) else "")


def _sort(lines: Iterable[Event]) -> _Lines:
    known = list(lines)
    bounds = {line["event"]: line["t"] for line in known if line["event"] in ("began", "ended")}
    seen = _Lines(bounds["began"], bounds["ended"])
    values: dict[tuple[str, int], str] = {}
    for line in known:
        at = line["t"] - seen.began
        match line["event"]:
            case "send":
                values[line["producer"], line["number"]] = line["value"]
                seen.due[line["value"]] = line["due"] - seen.began, line["size"]
                seen.topic[line["value"]] = line["topic"]
            case "ack":
                seen.acknowledged[values[line["producer"], line["number"]]] = at
            case "poll" if line["group"]:
                seen.reads += [at] * len(line["found"])
            case "look":
                seen.looks.append({**line, "at": line["at"] - seen.began})
            case "struck":
                _note_mark(seen, line)
    seen.marks.sort(key=lambda mark: mark.at)
    return seen


def _note_mark(seen: _Lines, line: Mapping[str, Any]) -> None:
    at = line["at"] - seen.began
    seen.marks.append(
        Mark(
            at=round(at, 3),
            ended=round(line["ended"] - seen.began, 3),
            kind=line["kind"],
            label=line["label"],
            failure=line["failure"],
        )
    )
    seen.blows += [Blow(blow - seen.began, line["label"]) for blow in line["blows"]]


def _rates(times: Iterable[float], count: int) -> Series:
    return [number / WINDOW_S for number in percentiles.counts_in_windows(times, count, WINDOW_S)]


def _mib(seen: _Lines, count: int) -> Series:
    sized = ((at, float(seen.due[value][1])) for value, at in seen.acknowledged.items())
    windows = percentiles.in_windows(sized, count, WINDOW_S)
    return [round(sum(sizes) / WINDOW_S / (1 << 20), 4) for sizes in windows]


def _latencies(times: Iterable[Times], seconds: float) -> list[tuple[float, float]]:
    """When due, and how many milliseconds it took; of what was due in the measured load and was acknowledged."""
    return [
        (one.due, 1000 * (one.acknowledged - one.due))
        for one in times
        if one.acknowledged is not None and 0 <= one.due < seconds
    ]


def _latencies_by_load(
    times: Mapping[str, Times], topics: Mapping[str, str], experiment: Experiment, seconds: float
) -> dict[str, list[tuple[float, float]]]:
    """By the name of the load's topics; nothing where there is one load."""
    loaded = dict.fromkeys(load.topics for load in experiment.loads)
    if len(loaded) < 2:
        return {}
    name_of = {topic: name for name in loaded for topic in experiment.topics_named(name).names}
    by_load: dict[str, list[Times]] = {name: [] for name in loaded}
    for value, one in times.items():
        by_load[name_of[topics[value]]].append(one)
    return {name: _latencies(some, seconds) for name, some in by_load.items()}


def _latency_series(latencies: Iterable[tuple[float, float]], count: int) -> dict[str, Series]:
    windows = percentiles.in_windows(latencies, count, WINDOW_S)
    return {
        name: [round(percentiles.percentile(window, share), 3) if window else None for window in windows]
        for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99), ("p999_ms", 0.999))
    }


def _shares(latencies: Iterable[tuple[float, float]]) -> dict[str, float]:
    ordered = sorted(latency for _, latency in latencies)
    return {name: round(percentiles.percentile(ordered, share), 3) for name, share in _SHARES.items() if ordered}


def _looked(looks: Iterable[Event], key: str, count: int) -> Series:
    return percentiles.at_windows_end([(look["at"], look[key]) for look in looks if key in look], count, WINDOW_S)


def _led(looks: Sequence[Event], count: int) -> dict[str, Series]:
    """A node that nobody names any more leads nothing."""
    answered = [look for look in looks if "led" in look]
    nodes = sorted({node for look in answered for node in look["led"]})
    return {
        node: percentiles.at_windows_end([(look["at"], look["led"].get(node, 0)) for look in answered], count, WINDOW_S)
        for node in nodes
    }


Samples = list[tuple[float, float]]


def _requests(looks: Iterable[Event]) -> dict[str, Samples]:
    """How many there have been when, by kind. Counters never go down; a node that is gone takes its own along (``/metrics`` of a
    running cluster), and what is known stays."""
    found: dict[str, Samples] = {}
    for look in looks:
        for kind, total in look.get("requests", {}).items():
            samples = found.setdefault(kind, [])
            samples.append((look["at"], max(total, samples[-1][1] if samples else 0.0)))
    return dict(sorted(found.items()))


def _at(samples: Samples, when: float) -> float:
    """Interpolated; before the first the first, after the last the last."""
    place = bisect_right(samples, when, key=lambda sample: sample[0])
    if place == 0:
        return samples[0][1]
    if place == len(samples):
        return samples[-1][1]
    (t0, v0), (t1, v1) = samples[place - 1], samples[place]
    return v0 + (v1 - v0) * (when - t0) / (t1 - t0)


def _differences(samples: Samples, count: int) -> Series:
    bounds = [_at(samples, number * WINDOW_S) for number in range(count + 1)]
    return [round((after - before) / WINDOW_S, 3) for before, after in pairwise(bounds)]


def _totals(requests: Mapping[str, Samples], until: float) -> dict[str, float]:
    return {kind: round(_at(samples, until) - _at(samples, 0.0), 1) for kind, samples in requests.items()}


def _spent(requests: Mapping[str, Samples], list_prices: prices.Prices, count: int) -> Series:
    if not requests:
        return [None] * count
    return [round(list_prices.dollars(_totals(requests, (number + 1) * WINDOW_S)), 8) for number in range(count)]
