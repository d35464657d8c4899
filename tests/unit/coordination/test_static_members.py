"""Static members (KIP-345, KIP-814): they keep their place through a restart, and two with one name cannot be."""

from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from raylog.coordination import messages


@pytest.fixture
def group(eager: Any) -> tuple[Any, list[str], int]:
    """A stable group of two static members ``one`` (it leads) and ``two``."""
    tokens = [eager.join(group_instance_id=name) for name in ("one", "two")]
    eager.advance(1)
    members = [eager.answer(token).member_id for token in tokens]
    followers = [eager.sync(members[1], 1, group_instance_id="two")]
    eager.sync(members[0], 1, dict(zip(members, (b"a", b"b"), strict=True)), group_instance_id="one")
    assert eager.answer(followers[0]).assignment == b"b"
    return eager, members, 1


Group = tuple[Any, list[str], int]


def test_a_static_member_is_not_asked_to_join_twice(group: Group) -> None:
    _, members, _ = group
    assert members[0].startswith("one-")


def test_a_follower_that_restarts_keeps_its_assignment_without_a_rebalance(group: Group) -> None:
    driver, members, generation = group
    answer = driver.answer(driver.join(group_instance_id="two"))
    assert (answer.error, answer.generation, answer.members) == (ErrorCode.none, generation, ())
    assert answer.member_id != members[1]
    assert answer.leader == members[0]
    assert driver.answer(driver.sync(answer.member_id, generation, group_instance_id="two")).assignment == b"b"
    assert driver.heartbeat(members[0], generation, group_instance_id="one") is ErrorCode.none


def test_a_leader_that_restarts_leads_on_and_does_not_assign(group: Group) -> None:
    driver, members, generation = group
    answer = driver.answer(driver.join(group_instance_id="one"))
    assert answer.skip_assignment
    assert answer.leader == answer.member_id
    assert {member.group_instance_id for member in answer.members} == {"one", "two"}
    assert driver.answer(driver.sync(answer.member_id, generation)).assignment == b"a"
    assert driver.heartbeat(members[1], generation) is ErrorCode.none


def test_an_old_client_that_restarts_as_leader_is_told_of_the_leader_that_was(group: Group) -> None:
    driver, members, generation = group
    answer = driver.answer(driver.join(group_instance_id="one", supports_skip_assignment=False))
    assert (answer.leader, answer.members, answer.skip_assignment) == (members[0], (), False)
    assert driver.answer(driver.sync(answer.member_id, generation)).assignment == b"a"


def test_the_one_before_is_fenced(group: Group) -> None:
    driver, members, generation = group
    driver.join(group_instance_id="two")
    fenced = ErrorCode.fenced_instance_id
    old = {"member_id": members[1], "group_instance_id": "two"}
    assert driver.heartbeat(members[1], generation, group_instance_id="two") is fenced
    assert driver.answer(driver.sync(members[1], generation, group_instance_id="two")).error is fenced
    assert driver.answer(driver.join(members[1], group_instance_id="two")).error is fenced
    assert driver.commit_error(5, generation=generation, **old) is fenced
    leaving = messages.LeavingMember(member_id=members[1], group_instance_id="two")
    assert driver.call(messages.LeaveGroup, members=(leaving,)).errors == (fenced,)
    assert driver.heartbeat(members[1], generation) is ErrorCode.unknown_member_id


def test_two_with_one_name_in_a_new_group(driver: Any) -> None:
    first = driver.join(group_instance_id="one")
    second = driver.join(group_instance_id="one")
    assert driver.answer(first).error is ErrorCode.fenced_instance_id
    driver.advance(6_000)
    assert len(driver.answer(second).members) == 1


def test_one_that_restarts_during_a_rebalance_joins_it(group: Group) -> None:
    driver, members, generation = group
    newcomer = driver.join(group_instance_id="three")
    leader = driver.join(members[0], group_instance_id="one")
    restarted = driver.join(group_instance_id="two")
    assert {driver.answer(token).generation for token in (newcomer, leader, restarted)} == {generation + 1}


def test_one_that_restarts_before_the_assignment_makes_a_rebalance(eager: Any) -> None:
    tokens = [eager.join(group_instance_id=name) for name in ("one", "two")]
    eager.advance(1)
    first, second = (eager.answer(token).member_id for token in tokens)
    waiting = eager.sync(second, 1)
    restarted = eager.join(group_instance_id="two")
    assert eager.answer(waiting).error is ErrorCode.fenced_instance_id
    assert eager.answer(eager.sync(first, 1, {first: b"a"})).error is ErrorCode.rebalance_in_progress
    eager.join(first, group_instance_id="one")
    assert eager.answer(restarted).generation == 2


def test_one_that_restarts_with_another_protocol_makes_a_rebalance(eager: Any) -> None:
    both = (("sticky", b""), ("range", b""))
    token = eager.join(group_instance_id="one", protocols=both)
    eager.advance(1)
    member = eager.answer(token).member_id
    eager.sync(member, 1, {member: b"a"})
    answer = eager.answer(eager.join(group_instance_id="one", protocols=both[::-1]))
    assert (answer.generation, answer.protocol_name) == (2, "range")


def test_the_new_id_is_known_to_the_next_coordinator(group: Group) -> None:
    driver, members, generation = group
    answer = driver.answer(driver.join(group_instance_id="two"))
    successor = driver.crash()
    assert successor.heartbeat(answer.member_id, generation, group_instance_id="two") is ErrorCode.none
    assert successor.heartbeat(members[1], generation, group_instance_id="two") is ErrorCode.fenced_instance_id


def test_the_new_id_is_told_only_when_it_is_durable(group: Group) -> None:
    driver, members, generation = group
    driver.holds_appends = True
    waiting = driver.join(group_instance_id="two")
    assert waiting not in driver.answers
    successor = driver.crash()
    assert successor.heartbeat(members[1], generation, group_instance_id="two") is ErrorCode.none
    driver.settle()
    assert driver.answer(waiting).error is ErrorCode.none


def test_static_members_are_kept_through_a_rebalance_that_they_miss(group: Group) -> None:
    driver, members, generation = group
    driver.advance(1)
    newcomer = driver.join(group_instance_id="three", rebalance_timeout_ms=5_000, session_timeout_ms=120_000)
    joined = driver.join(members[0], group_instance_id="one", rebalance_timeout_ms=5_000)
    assert joined not in driver.answers
    for _ in range(8):
        driver.advance(8_000)
        driver.heartbeat(members[1], generation, group_instance_id="two")
    answer = driver.answer(joined)
    assert driver.answer(newcomer).generation == answer.generation == generation + 1
    assert [member.group_instance_id for member in answer.members] == ["one", "two", "three"]


def test_an_administrator_removes_a_member_by_its_instance_id(group: Group) -> None:
    driver, members, generation = group
    leaving = [messages.LeavingMember(member_id="", group_instance_id=name) for name in ("two", "nobody")]
    errors = driver.call(messages.LeaveGroup, members=tuple(leaving)).errors
    assert errors == (ErrorCode.none, ErrorCode.unknown_member_id)
    assert driver.heartbeat(members[0], generation) is ErrorCode.rebalance_in_progress


def test_static_members_time_out_like_others(group: Group) -> None:
    driver, _, _ = group
    driver.advance(10_000)
    assert driver.state() == "Empty"


def test_an_id_given_to_a_dynamic_member_is_not_taken_by_a_static_one(driver: Any) -> None:
    told = driver.answer(driver.join())
    refused = driver.answer(driver.join(told.member_id, group_instance_id="one"))
    assert refused.error is ErrorCode.invalid_request
