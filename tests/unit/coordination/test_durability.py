"""No answer shows what is not durable, and the next coordinator knows all that anybody has been told."""

from typing import Any

from kio.schema.errors import ErrorCode

from raylog.coordination import messages


def test_a_commit_is_acknowledged_when_it_is_durable(driver: Any) -> None:
    driver.holds_appends = True
    token = driver.commit(42)
    assert token not in driver.answers
    driver.settle()
    assert driver.answer(token).errors == (ErrorCode.none,)


def test_a_fetch_waits_for_the_commit_that_it_would_show(driver: Any) -> None:
    driver.commit(1)
    driver.holds_appends = True
    driver.commit(2)
    token = driver.ask(messages.FetchOffsets, topics=None)
    assert token not in driver.answers
    assert driver.crash().committed() == 1
    driver.settle()
    assert driver.answer(token).topics[0].offsets[0].offset == 2


def test_other_groups_do_not_wait(driver: Any) -> None:
    driver.commit(1, group_id="other")
    driver.holds_appends = True
    driver.commit(2)
    assert driver.committed(group_id="other") == 1


def test_error_answers_wait_too(eager: Any) -> None:
    (member,), generation = eager.stable_group()
    eager.holds_appends = True
    eager.ask(messages.LeaveGroup, members=(messages.LeavingMember(member_id=member),))
    refused = eager.ask(messages.Heartbeat, member_id=member, generation=generation)
    assert refused not in eager.answers
    assert eager.crash().heartbeat(member, generation) is ErrorCode.none
    eager.settle()
    assert eager.answer(refused).error is ErrorCode.unknown_member_id


def test_the_absence_of_a_group_is_told_when_its_deletion_is_durable(driver: Any) -> None:
    driver.commit(1)
    driver.holds_appends = True
    driver.ask(messages.DeleteGroup)
    described = driver.ask(messages.DescribeGroup)
    listed = driver.ask(messages.ListGroups)
    assert not {described, listed} & driver.answers.keys()
    driver.settle()
    assert driver.answer(described).error is ErrorCode.group_id_not_found
    assert driver.answer(listed).groups == ()


def test_an_assignment_is_told_when_it_is_durable(eager: Any) -> None:
    first, second = (eager.new_member() for _ in range(2))
    eager.advance(1)
    eager.holds_appends = True
    waiting = [eager.sync(second[0], 1), eager.sync(first[0], 1, {first[0]: b"a", second[0]: b"b"})]
    assert not set(waiting) & eager.answers.keys()
    eager.settle()
    assert [eager.answer(token).assignment for token in waiting] == [b"b", b"a"]


def test_answers_leave_in_the_order_of_their_appends(driver: Any) -> None:
    driver.holds_appends = True
    tokens = [driver.commit(offset) for offset in range(3)]
    driver.settle(1)
    assert set(tokens) & driver.answers.keys() == {tokens[0]}
    driver.settle(1)
    assert set(tokens) & driver.answers.keys() == set(tokens[:2])


def test_members_stay_through_a_change_of_coordinator(eager: Any) -> None:
    members, generation = eager.stable_group(3)
    successor = eager.crash()
    assert [successor.heartbeat(member, generation) for member in members] == [ErrorCode.none] * 3
    assert [successor.answer(successor.sync(member, generation)).assignment for member in members] == [b"0", b"1", b"2"]
    answer = successor.answer(successor.join(members[1]))
    assert (answer.generation, answer.leader) == (generation, members[0])


def test_sessions_begin_anew_with_the_next_coordinator(eager: Any) -> None:
    members, generation = eager.stable_group(2)
    successor = eager.crash()
    successor.advance(9_999)
    assert successor.heartbeat(members[0], generation) is ErrorCode.none
    successor.advance(1)
    assert successor.heartbeat(members[1], generation) is ErrorCode.unknown_member_id


def test_a_rebalance_that_the_coordinator_did_not_survive_begins_again(eager: Any) -> None:
    members, generation = eager.stable_group(2)
    tokens = [eager.join(member, protocols=(("range", b"new"),)) for member in members]
    assert eager.answer(tokens[0]).generation == generation + 1
    successor = eager.crash()
    lost = successor.answer(successor.sync(members[0], generation + 1, {}))
    assert lost.error is ErrorCode.illegal_generation
    again = [successor.join(member, protocols=(("range", b"new"),)) for member in members]
    assert [successor.answer(token).generation for token in again] == [generation + 1] * 2


def test_generations_go_on_after_all_members_have_left(eager: Any) -> None:
    (member,), _ = eager.stable_group()
    eager.leave(member)
    successor = eager.crash()
    assert successor.state() == "Empty"
    _, generation = successor.stable_group()
    assert generation == 3


def test_the_log_of_a_group_that_never_formed_is_empty(driver: Any) -> None:
    driver.new_member()
    assert list(driver.log.records()) == []
