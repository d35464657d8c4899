"""The shape of a load: how many records a second at which time, and which partition gets how many. Pure; randomness is given.

Arrivals are a Poisson process: they do not wait for answers, as many independent clients would not.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple, Protocol

from raylog.model.clock import Random


class Arrival(NamedTuple):
    """One record that is to be sent."""

    at_s: float
    """From the load's start."""
    place: int
    """Which of its partitions, from 0."""
    size_bytes: int


class Shape(Protocol):
    """Records a second over time."""

    @property
    def most(self) -> float:
        """No rate is above it."""
        ...

    def rate(self, at_s: float) -> float: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Steady:
    """The same all the time."""

    per_second: float

    @property
    def most(self) -> float:
        return self.per_second

    def rate(self, at_s: float) -> float:
        return self.per_second


@dataclass(frozen=True, slots=True, kw_only=True)
class Spike:
    """Steady, with one time of more."""

    per_second: float
    peak: float
    from_s: float
    for_s: float

    @property
    def most(self) -> float:
        return max(self.per_second, self.peak)

    def rate(self, at_s: float) -> float:
        return self.peak if self.from_s <= at_s < self.from_s + self.for_s else self.per_second


@dataclass(frozen=True, slots=True, kw_only=True)
class Diurnal:
    """A day in little: up and down between two rates as a cosine does, from the lower one on."""

    per_second: float
    peak: float
    period_s: float

    @property
    def most(self) -> float:
        return max(self.per_second, self.peak)

    def rate(self, at_s: float) -> float:
        share = (1 - math.cos(2 * math.pi * at_s / self.period_s)) / 2
        return self.per_second + (self.peak - self.per_second) * share


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """A shape that begins after a time at its first rate, so that clients and servers are warm by then."""

    shape: Shape
    by_s: float

    @property
    def most(self) -> float:
        return self.shape.most

    def rate(self, at_s: float) -> float:
        return self.shape.rate(max(at_s - self.by_s, 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class PartOf:
    """One of ``count`` equal parts of a shape."""

    shape: Shape
    count: int

    @property
    def most(self) -> float:
        return self.shape.most / self.count

    def rate(self, at_s: float) -> float:
        return self.shape.rate(at_s) / self.count


def even(count: int) -> tuple[float, ...]:
    """Every partition the same share."""
    return (1 / count,) * count


def zipf(count: int, exponent: float) -> tuple[float, ...]:
    """Shares that fall with the rank by Zipf's law: the first partition has the most; an exponent of 0 is even."""
    weights = [1 / rank**exponent for rank in range(1, count + 1)]
    total = sum(weights)
    return tuple(weight / total for weight in weights)


def arrivals(shape: Shape, shares: Sequence[float], size_bytes: int, rng: Random) -> Iterator[Arrival]:
    """Without end, in the order of time; none at all for a shape that never sends.

    By thinning: candidates come at the shape's highest rate, and each is kept with the probability that its own time's rate has.
    """
    if shape.most <= 0:
        return
    places, bounds = range(len(shares)), list(accumulate(shares))
    at_s = 0.0
    while True:
        at_s += rng.expovariate(shape.most)
        if rng.random() * shape.most < shape.rate(at_s):
            [place] = rng.choices(places, cum_weights=bounds)
            yield Arrival(at_s, place, size_bytes)
