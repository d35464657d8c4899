"""Budgets and the log's limit."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.budget import Budget
from gateway.log_limit import LogLimit
from raylog.model.clock import SystemClock


@given(st.lists(st.integers(1, 50), max_size=60))
def test_waiters_go_on_in_order_and_only_below_the_limit(sizes):
    budget = Budget(100)
    called, held = [], []
    for number, size in enumerate(sizes):
        budget.take(size)
        held.append(size)
        if budget.is_over:
            budget.when_below(lambda number=number: called.append((number, budget.is_over)))
    for size in held:
        budget.give_back(size)
    assert budget.taken_bytes == 0
    assert [number for number, _ in called] == sorted(number for number, _ in called)
    assert not any(was_over for _, was_over in called)
    assert not budget._waiters


class Still(SystemClock):
    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


def test_lines_beyond_the_limit_are_counted_and_told_later():
    clock = Still()
    limit = LogLimit(clock, lines=2, interval_s=10)
    assert [limit.allows() for _ in range(5)] == [True, True, False, False, False]
    clock.now += 10
    assert limit.allows()
    assert limit.take_suppressed() == 3
    assert limit.take_suppressed() == 0
