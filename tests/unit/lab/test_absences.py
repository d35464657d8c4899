"""Changes of leadership in a partition's log, and what caused them."""

import pytest

from lab.absences import MOVE, Absence, Blow, Times, absences, without_leader
from lab.history.history import Found, Part

PART = Part("orders", 0)


def _log(*epochs: int) -> dict[Part, list[Found]]:
    return {PART: [Found(offset, f"v{offset}", epoch) for offset, epoch in enumerate(epochs)]}


def _times(*pairs: tuple[float, float | None]) -> dict[str, Times]:
    return {f"v{number}": Times(*pair) for number, pair in enumerate(pairs)}


def _one(found: list[Absence]) -> Absence:
    [absence] = found
    return absence


def test_one_leadership_has_no_absence() -> None:
    assert absences(_log(1, 1, 1), _times((0, 1), (1, 2), (2, 9)), []) == []


def test_from_the_last_acknowledgement_before_to_the_first_after() -> None:
    found = _one(absences(_log(1, 2), _times((0, 1.0), (0.5, 4.0)), []))
    assert (found.begin, found.end) == (1.0, 4.0)


def test_not_before_somebody_wanted_to_write() -> None:
    found = _one(absences(_log(1, 2), _times((0, 1.0), (3.9, 4.0)), []))
    assert found.seconds == pytest.approx(0.1)


def test_acknowledgements_that_came_out_of_order_make_no_negative_time() -> None:
    found = _one(absences(_log(1, 2), _times((0, 5.0), (1.0, 4.0)), []))
    assert found.seconds == 0.0


def test_what_was_never_acknowledged_tells_nothing() -> None:
    assert absences(_log(1, 2), _times((0, 1.0), (0.5, None)), []) == []


@pytest.mark.parametrize(
    ("blow_at", "cause"), [(0.9, "kill b"), (1.9, "kill b"), (2.1, MOVE), (-0.9, "kill b"), (-1.1, MOVE)]
)
def test_a_blow_is_the_cause_of_what_it_falls_into(blow_at: float, cause: str) -> None:
    found = _one(absences(_log(1, 2), _times((0, 1.0), (0.5, 4.0)), [Blow(blow_at, "kill b")]))
    assert found.cause == cause


def test_a_move_that_was_under_way_before_a_blow_is_a_move() -> None:
    found = _one(absences(_log(1, 2), _times((0, 1.0), (0.5, 4.0)), [Blow(3.5, "kill b")]))
    assert found.cause == MOVE


def test_the_last_of_several_blows_is_the_cause() -> None:
    blows = [Blow(1.5, "kill b"), Blow(1.0, "pause a")]
    assert _one(absences(_log(1, 2), _times((0, 1.0), (0.5, 4.0)), blows)).cause == "kill b"


def test_each_window_counts_the_partitions_that_were_without_a_leader_in_it() -> None:
    found = [
        Absence(partition="a", begin=-0.5, end=0.5, cause=MOVE),
        Absence(partition="b", begin=0.9, end=2.1, cause=MOVE),
        Absence(partition="c", begin=3.5, end=99.0, cause=MOVE),
    ]
    assert without_leader(found, 5, 1.0) == [2, 1, 1, 1, 1]
