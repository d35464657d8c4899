"""Hysteresis: up after a short while, down after a long one, and never for a blip."""

from random import Random

from controller.scaling.window import Window


class Told:
    """A window of 15 s up and 300 s down, told what is needed every 5 s."""

    def __init__(self, first):
        self.window = Window(first)
        self.number = first
        self.now_s = 0.0

    def tell(self, need, seconds=0.0):
        """For so long; what the number was after each look."""
        seen = []
        for _ in range(max(1, round(seconds / 5))):
            self.number = self.window.settle(self.now_s, self.number, need, up_s=15.0, down_s=300.0)
            self.now_s += 5.0
            seen.append(self.number)
        return seen


def test_it_goes_up_once_that_was_needed_for_the_short_window():
    assert Told(2).tell(5, 25) == [2, 2, 2, 2, 5]


def test_it_goes_up_no_further_than_was_needed_all_the_time():
    told = Told(2)
    told.tell(2, 20)
    assert told.tell(5, 10) == [2, 2]
    assert told.tell(3, 15) == [2, 3, 3]


def test_it_goes_down_only_after_the_long_window():
    told = Told(5)
    told.tell(5, 10)
    seen = told.tell(2, 330)
    assert seen.index(2) * 5 == 300
    assert set(seen) == {5, 2}


def test_it_goes_down_to_the_most_that_was_needed_meanwhile():
    told = Told(5)
    told.tell(2, 200)
    told.tell(3, 5)
    assert told.tell(2, 110)[-1] == 3


def test_a_blip_changes_nothing():
    told = Told(3)
    assert set(told.tell(3, 400)) == {3}
    assert set(told.tell(9, 5) + told.tell(3, 400) + told.tell(1, 5) + told.tell(3, 400)) == {3}


def test_it_is_always_within_what_was_needed_lately():
    rng = Random(7)
    told, needs = Told(4), [4]
    for _ in range(500):
        needs.append(rng.randint(1, 8))
        [number] = told.tell(needs[-1])
        assert min(needs[-62:]) <= number <= max(needs[-62:])
