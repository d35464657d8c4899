"""Percentiles, of everything and over windows."""

import pytest

from lab.percentiles import at_windows_end, counts_in_windows, in_windows, percentile


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.25, 1), (0.26, 2), (0.5, 2), (0.75, 3), (0.99, 4), (1.0, 4)]
)
def test_the_smallest_value_that_the_share_does_not_exceed(share: float, expected: float) -> None:
    assert percentile([1, 2, 3, 4], share) == expected


def test_one_value_is_every_percentile() -> None:
    assert {percentile([7], share) for share in (0.0, 0.5, 0.999, 1.0)} == {7}


def test_windows_have_what_falls_into_them_in_order() -> None:
    points = [(0.0, 3.0), (0.9, 1.0), (1.0, 5.0), (-0.1, 9.0), (3.0, 9.0)]
    assert in_windows(points, 3, 1.0) == [[1.0, 3.0], [5.0], []]


def test_counts_leave_out_what_is_before_and_after() -> None:
    assert counts_in_windows([-0.5, 0.0, 1.9, 2.0, 4.0, 9.0], 2, 2.0) == [2, 1]


def test_a_sample_holds_for_two_windows_and_then_nothing_is_known() -> None:
    assert at_windows_end([(-0.5, 1.0), (1.5, 2.0)], 5, 1.0) == [1.0, 2.0, 2.0, None, None]
