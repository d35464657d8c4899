"""How long partitions were without a leader, as their producers saw it. Pure.

A record's leader epoch says under which leadership it was appended, and rises at each fail-over and each move. So where the epoch
rises in a partition's log, leadership has changed hands; the producer was without a leader from the last acknowledgement of the
old leadership, or from when the first record of the new one was due if that was later, until this one was acknowledged. That is
never less than an ordinary acknowledgement takes, and says nothing of changes during which nobody wanted to write.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

from lab.history.history import Found, Part

MOVE: Final = "moves"
"""What is said of a change that no event has forced: a drain's, the balance's."""
_BEGINS_LATE_S: Final = 2.0
"""So long after a leader's end may the first record be due that notices it."""
_BEGINS_EARLY_S: Final = 1.0
"""So long before may the first be due that it has not acknowledged: what was on its way."""


class Times(NamedTuple):
    """Of one record, in seconds."""

    due: float
    acknowledged: float | None


class Blow(NamedTuple):
    """An event that has taken leaders away without a handover."""

    at: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """One partition's change of leadership, while records were waiting."""

    partition: str
    begin: float
    end: float
    cause: str
    """The event that took the leader away, or ``MOVE``."""

    @property
    def seconds(self) -> float:
        return self.end - self.begin


def absences(logs: Mapping[Part, Sequence[Found]], times: Mapping[str, Times], blows: Iterable[Blow]) -> list[Absence]:
    """In the order of their ends. ``logs`` are whole; ``times`` are by the records' values."""
    known = sorted(blows)
    found = [
        Absence(partition=str(part), begin=begin, end=end, cause=_cause(begin, end, known))
        for part, log in logs.items()
        for begin, end in _spans(log, times)
    ]
    return sorted(found, key=lambda absence: (absence.end, absence.partition))


def _spans(log: Sequence[Found], times: Mapping[str, Times]) -> Iterator[tuple[float, float]]:
    last_acknowledged = 0.0
    for before, after in pairwise(log):
        old, new = times.get(before.value), times.get(after.value)
        if old is not None and old.acknowledged is not None:
            last_acknowledged = max(last_acknowledged, old.acknowledged)
        if after.leader_epoch > before.leader_epoch and new is not None and new.acknowledged is not None:
            yield min(max(last_acknowledged, new.due), new.acknowledged), new.acknowledged


def _cause(begin: float, end: float, blows: Sequence[Blow]) -> str:
    """The last event that may have been it."""
    earliest, latest = begin - _BEGINS_LATE_S, min(begin + _BEGINS_EARLY_S, end)
    hits = [blow.label for blow in blows if earliest <= blow.at <= latest]
    return hits[-1] if hits else MOVE


def without_leader(found: Iterable[Absence], count: int, window_s: float) -> list[int]:
    """How many partitions were without a leader at some time in each window."""
    counts = [0] * count
    for absence in found:
        first, last = int(max(absence.begin, 0) // window_s), int(absence.end // window_s)
        for number in range(first, min(last, count - 1) + 1):
            counts[number] += 1
    return counts
