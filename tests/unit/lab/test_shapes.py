"""Loads as functions of time."""

from itertools import pairwise, takewhile

import pytest

from lab.shapes import Diurnal, Later, PartOf, Shape, Spike, Steady, arrivals, even, zipf
from raylog.model.clock import Random


def _until(shape: Shape, seconds: float, *, parts: int = 1) -> list:
    made = arrivals(shape, even(parts), 100, Random(7))
    return list(takewhile(lambda arrival: arrival.at_s < seconds, made))


def test_steady_is_steady() -> None:
    assert Steady(per_second=50).rate(0) == Steady(per_second=50).rate(1e6) == 50


def test_a_spike_is_as_long_as_it_says() -> None:
    spike = Spike(per_second=10, peak=100, from_s=5, for_s=2)
    assert [spike.rate(at) for at in (0, 4.99, 5, 6.99, 7)] == [10, 10, 100, 100, 10]
    assert spike.most == 100


def test_a_day_begins_and_ends_at_night() -> None:
    day = Diurnal(per_second=10, peak=50, period_s=60)
    assert [round(day.rate(at)) for at in (0, 15, 30, 45, 60)] == [10, 30, 50, 30, 10]


def test_a_later_shape_begins_at_its_first_rate() -> None:
    later = Later(shape=Spike(per_second=1, peak=9, from_s=0, for_s=1), by_s=5)
    assert [later.rate(at) for at in (0, 4, 5.5, 6.5)] == [9, 9, 9, 1]


def test_parts_of_a_shape_add_up() -> None:
    part = PartOf(shape=Steady(per_second=30), count=3)
    assert part.rate(0) * 3 == part.most * 3 == 30


@pytest.mark.parametrize("exponent", [0.0, 0.8, 2.0])
def test_shares_are_all_of_it_and_fall_with_the_rank(exponent: float) -> None:
    shares = zipf(10, exponent)
    assert sum(shares) == pytest.approx(1)
    assert all(before >= after for before, after in pairwise(shares))
    assert (shares == pytest.approx(even(10))) == (exponent == 0)


def test_arrivals_come_in_the_order_of_time_at_the_shapes_rate() -> None:
    made = _until(Spike(per_second=50, peak=500, from_s=10, for_s=10), 30)
    assert all(before.at_s <= after.at_s for before, after in pairwise(made))
    in_spike = sum(10 <= arrival.at_s < 20 for arrival in made)
    assert in_spike == pytest.approx(5000, rel=0.1)
    assert len(made) - in_spike == pytest.approx(1000, rel=0.15)


def test_the_same_seed_gives_the_same_arrivals() -> None:
    assert _until(Steady(per_second=100), 5) == _until(Steady(per_second=100), 5)


def test_a_skewed_load_goes_where_its_shares_say() -> None:
    shares = zipf(4, 1.0)
    made = list(takewhile(lambda one: one.at_s < 100, arrivals(Steady(per_second=100), shares, 1, Random(3))))
    for place, share in enumerate(shares):
        assert sum(one.place == place for one in made) / len(made) == pytest.approx(share, rel=0.1)


def test_a_shape_that_never_sends_has_no_arrivals() -> None:
    assert list(arrivals(Steady(per_second=0), even(1), 1, Random(1))) == []
