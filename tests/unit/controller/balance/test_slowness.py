"""Slow nodes, told by what their leaders need for a byte."""

from controller.balance.slowness import levels


def judged(costs, before=None, cpu=0.5):
    """``costs``: CPU for each unit of load, by leader."""
    return levels(before or {}, {leader: (cpu, cpu / cost) for leader, cost in costs.items()})


def test_leaders_that_need_about_as_much_are_as_fast():
    assert judged({1: 1.0, 2: 1.3, 3: 0.8}) == {}


def test_a_leader_that_needs_twice_or_four_times_as_much_is_slow():
    assert judged({1: 1.0, 2: 2.0, 3: 1.1, 4: 4.2, 5: 0.9}) == {2: 1, 4: 2}


def test_a_level_is_left_only_when_another_is_clearly_nearer():
    before = {2: 1}
    assert judged({1: 1.0, 2: 1.3, 3: 1.0}, before) == {2: 1}
    assert judged({1: 1.0, 2: 1.05, 3: 1.0}, before) == {2: 0}
    assert judged({1: 1.0, 2: 3.2, 3: 1.0}, before) == {2: 1}


def test_who_does_little_keeps_its_level_and_is_no_measure():
    assert judged({1: 1.0, 2: 1.0, 3: 9.0}, {2: 2}, cpu=0.1) == {2: 2}
    assert judged({1: 1.0, 2: 9.0}) == {}, "of two nobody knows which one is usual"


def test_nobody_is_slower_than_there_are_levels():
    assert judged({1: 1.0, 2: 1000.0, 3: 1.0, 4: 0.001, 5: 1.0}) == {2: 3, 4: 0}
