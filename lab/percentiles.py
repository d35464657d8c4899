"""Percentiles, of everything and over windows of time. Pure."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest of the values (in order, at least one) that at least ``share`` of them do not exceed."""
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


def in_windows(points: Iterable[tuple[float, float]], count: int, window_s: float) -> list[list[float]]:
    """The values of (time, value) by window, in order; what is before 0 or after the last window is left out."""
    windows: list[list[float]] = [[] for _ in range(count)]
    for at, value in points:
        number = math.floor(at / window_s)
        if 0 <= number < count:
            windows[number].append(value)
    for window in windows:
        window.sort()
    return windows


def counts_in_windows(times: Iterable[float], count: int, window_s: float) -> list[int]:
    """How many of the times are in each window."""
    counts = [0] * count
    for at in times:
        number = math.floor(at / window_s)
        if 0 <= number < count:
            counts[number] += 1
    return counts


def at_windows_end(samples: Sequence[tuple[float, float]], count: int, window_s: float) -> list[float | None]:
    """The newest sample (time, value; in the order of time) at the end of each window that is not older than two windows."""
    times = [at for at, _ in samples]
    found: list[float | None] = []
    for number in range(count):
        end = (number + 1) * window_s
        place = bisect_left(times, end) - 1
        found.append(samples[place][1] if place >= 0 and times[place] >= end - 2 * window_s else None)
    return found
