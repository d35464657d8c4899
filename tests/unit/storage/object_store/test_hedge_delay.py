"""The delay follows the recent PUTs' 95th percentile, within its bounds."""

import pytest

from raylog.storage.hedge_delay import HedgeDelay


def test_it_hedges_late_until_it_has_seen_enough() -> None:
    delay = HedgeDelay(min_s=0.01, max_s=1.0)
    for _ in range(19):
        delay.record(0.05)
    assert delay.current_s == 1.0
    delay.record(0.05)
    assert delay.current_s == pytest.approx(0.05)


def test_it_follows_the_store_and_keeps_its_bounds() -> None:
    delay = HedgeDelay(min_s=0.01, max_s=1.0)
    for number in range(200):
        delay.record(0.1 if number % 10 == 0 else 0.02)
    assert delay.current_s == pytest.approx(0.1)
    for _ in range(200):
        delay.record(0.001)
    assert delay.current_s == 0.01
    for _ in range(200):
        delay.record(9.0)
    assert delay.current_s == 1.0
