"""Heartbeat and LeaveGroup, and what happens to members that are not heard of any more."""

from collections.abc import Callable
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from raylog.coordination import messages


def test_heartbeats_keep_a_member_in(eager: Any) -> None:
    (member,), generation = eager.stable_group()
    for _ in range(10):
        eager.advance(9_999)
        assert eager.heartbeat(member, generation) is ErrorCode.none


def test_a_member_that_is_not_heard_of_is_dropped(eager: Any) -> None:
    members, generation = eager.stable_group(2)
    eager.advance(9_000)
    eager.heartbeat(members[0], generation)
    eager.advance(1_000)
    assert eager.heartbeat(members[0], generation) is ErrorCode.rebalance_in_progress
    assert eager.answer(eager.join(members[0])).generation == generation + 1
    assert eager.heartbeat(members[1], generation) is ErrorCode.unknown_member_id


def test_when_the_last_member_fails_the_group_is_empty_and_stays(eager: Any) -> None:
    (member,), generation = eager.stable_group()
    eager.advance(10_000)
    assert eager.state() == "Empty"
    assert eager.heartbeat(member, generation) is ErrorCode.unknown_member_id


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"generation": 7}, ErrorCode.illegal_generation),
        ({"member_id": "ghost"}, ErrorCode.unknown_member_id),
        ({"group_id": "other"}, ErrorCode.unknown_member_id),
        ({"group_instance_id": "nobody"}, ErrorCode.unknown_member_id),
    ],
)
def test_heartbeats_that_do_not_fit_are_refused(eager: Any, change: dict[str, Any], error: ErrorCode) -> None:
    (member,), generation = eager.stable_group()
    values = {"member_id": member, "generation": generation, **change}
    assert eager.call(messages.Heartbeat, **values).error is error


def test_a_heartbeat_before_the_assignment_is_good(eager: Any) -> None:
    member, _ = eager.new_member()
    eager.advance(1)
    assert eager.state() == "CompletingRebalance"
    assert eager.heartbeat(member, 1) is ErrorCode.none


def test_an_id_that_nobody_comes_with_is_forgotten(eager: Any) -> None:
    eager.stable_group()
    told = eager.answer(eager.join())
    eager.advance(9_000)
    eager.heartbeat(eager.describe().members[0].member_id, 1)
    eager.advance(1_000)
    assert eager.answer(eager.join(told.member_id)).error is ErrorCode.unknown_member_id
    assert eager.state() == "Stable"


def test_an_id_given_out_delays_a_rebalance_only_for_its_session(eager: Any) -> None:
    members, generation = eager.stable_group(2)
    eager.answer(eager.join())
    tokens = [eager.join(member) for member in members]
    assert tokens[0] not in eager.answers
    eager.advance(10_000)
    assert [eager.answer(token).generation for token in tokens] == [generation + 1] * 2


def test_a_new_member_waits_in_its_first_join_for_five_minutes_only(make_driver: Callable[..., Any]) -> None:
    driver = make_driver(initial_rebalance_delay_ms=0)
    (member,), generation = driver.stable_group(rebalance_timeout_ms=1_800_000)
    waiting = driver.join(requires_member_id=False)
    for _ in range(30):
        driver.advance(9_900)
        assert driver.heartbeat(member, generation) is ErrorCode.rebalance_in_progress
    assert waiting not in driver.answers
    driver.advance(3_000)
    assert driver.answer(waiting).error is ErrorCode.unknown_member_id


def test_members_that_do_not_come_to_a_rebalance_are_dropped(eager: Any) -> None:
    members, generation = eager.stable_group(3, rebalance_timeout_ms=5_000)
    tokens = [eager.join(member, rebalance_timeout_ms=5_000) for member in members[:2]]
    assert tokens[0] not in eager.answers
    eager.advance(5_000)
    assert [eager.answer(token).generation for token in tokens] == [generation + 1] * 2
    assert len(eager.answer(tokens[0]).members) == 2
    assert eager.answer(eager.join(members[2])).error is ErrorCode.unknown_member_id


def test_a_leader_that_does_not_come_is_replaced(eager: Any) -> None:
    members, _ = eager.stable_group(3, rebalance_timeout_ms=5_000)
    changed = {"protocols": (("range", b"new"),), "rebalance_timeout_ms": 5_000}
    tokens = [eager.join(member, **changed) for member in members[1:]]
    eager.advance(5_000)
    answer = eager.answer(tokens[0])
    assert answer.leader == members[1]
    assert len(answer.members) == 2


def test_a_member_that_waits_in_a_join_needs_no_heartbeat(eager: Any) -> None:
    members, generation = eager.stable_group(2, rebalance_timeout_ms=40_000)
    waiting = eager.join(members[0])
    for _ in range(4):
        eager.advance(9_000)
        eager.heartbeat(members[1], generation)
    assert waiting not in eager.answers
    eager.join(members[1])
    assert eager.answer(waiting).error is ErrorCode.none


def test_members_that_do_not_ask_for_their_assignment_are_dropped(eager: Any) -> None:
    first, second = (eager.new_member(rebalance_timeout_ms=8_000) for _ in range(2))
    eager.advance(1)
    eager.sync(first[0], 1, {first[0]: b"a"})
    assert eager.state() == "Stable"
    eager.advance(8_000)
    assert eager.state() == "PreparingRebalance"
    assert eager.heartbeat(second[0], 1) is ErrorCode.unknown_member_id
    assert eager.heartbeat(first[0], 1) is ErrorCode.rebalance_in_progress


def test_a_leader_that_never_assigns_does_not_hold_the_others_for_ever(eager: Any) -> None:
    first, second = (eager.new_member(rebalance_timeout_ms=8_000) for _ in range(2))
    eager.advance(1)
    waiting = eager.sync(second[0], 1)
    eager.advance(8_000)
    assert eager.answer(waiting).error is ErrorCode.rebalance_in_progress
    assert eager.answer(eager.join(second[0])).leader == second[0]
    assert eager.heartbeat(first[0], 1) is ErrorCode.unknown_member_id


def test_leaving_makes_a_rebalance(eager: Any) -> None:
    members, generation = eager.stable_group(2)
    assert eager.leave(members[1]) == (ErrorCode.none,)
    assert eager.heartbeat(members[0], generation) is ErrorCode.rebalance_in_progress
    assert eager.answer(eager.join(members[0])).generation == generation + 1


def test_when_the_leader_leaves_another_leads(eager: Any) -> None:
    members, _ = eager.stable_group(2)
    eager.leave(members[0])
    answer = eager.answer(eager.join(members[1]))
    assert answer.leader == members[1]
    assert len(answer.members) == 1


def test_when_all_leave_the_group_is_empty(eager: Any) -> None:
    members, _ = eager.stable_group(2)
    assert eager.leave(*members) == (ErrorCode.none, ErrorCode.none)
    assert eager.state() == "Empty"
    assert not eager.timers


def test_each_leaving_member_has_its_own_error(eager: Any) -> None:
    members, _ = eager.stable_group(2)
    assert eager.leave("ghost", members[1]) == (ErrorCode.unknown_member_id, ErrorCode.none)
    assert eager.leave("a", "b", group_id="other") == (ErrorCode.unknown_member_id,) * 2


def test_an_unknown_member_that_leaves_disturbs_nobody(eager: Any) -> None:
    (member,), generation = eager.stable_group()
    eager.leave("ghost")
    assert eager.heartbeat(member, generation) is ErrorCode.none


def test_a_pending_member_that_leaves_disturbs_nobody(eager: Any) -> None:
    (member,), generation = eager.stable_group()
    told = eager.answer(eager.join())
    assert eager.leave(told.member_id) == (ErrorCode.none,)
    assert eager.heartbeat(member, generation) is ErrorCode.none
    assert eager.answer(eager.join(told.member_id)).error is ErrorCode.unknown_member_id


def test_one_that_leaves_during_a_rebalance_is_not_waited_for(eager: Any) -> None:
    members, generation = eager.stable_group(3)
    waiting = [eager.join(member) for member in members[:2]]
    eager.leave(members[2])
    assert [eager.answer(token).generation for token in waiting] == [generation + 1] * 2


def test_one_that_leaves_while_its_join_waits_is_answered(driver: Any) -> None:
    member, waiting = driver.new_member()
    driver.leave(member)
    assert driver.answer(waiting).error is ErrorCode.unknown_member_id
    driver.advance(3_000)
    assert driver.state() == "Empty"


def test_one_removed_while_its_sync_waits_is_answered(eager: Any) -> None:
    first, second = (eager.new_member() for _ in range(2))
    eager.advance(1)
    waiting = eager.sync(second[0], 1)
    eager.leave(second[0])
    assert eager.answer(waiting).error is ErrorCode.unknown_member_id
    assert eager.answer(eager.join(first[0])).generation == 2
