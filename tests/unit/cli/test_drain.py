"""What ``raylog drain`` makes of the controller's status."""

import pytest

from raylog.cli.drain import what_is_left
from raylog.model.errors import InvalidError


def node(partitions, is_over=False, **staying):
    return {"node": "b", "drain": {"partitions": partitions, "staying": staying, "is_over": is_over}}


def test_it_says_how_far_a_drain_is():
    assert what_is_left(node(27)) == "27 partitions are to move"
    assert what_is_left(node(27, disk=3)) == "27 partitions are to move"
    assert what_is_left(node(0)) == "nothing is led there any more, its gateways close"
    assert what_is_left(node(0, is_over=True)) == ""


def test_it_does_not_wait_for_what_cannot_move():
    with pytest.raises(InvalidError, match=r"keeps 3 partitions of the WAL class 'disk'.* 'raylog drain b --undo'"):
        what_is_left(node(3, disk=3))


def test_it_does_not_wait_for_a_drain_that_was_taken_back():
    with pytest.raises(InvalidError, match="not drained any more"):
        what_is_left({"node": "b", "drain": None})
