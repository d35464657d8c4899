"""JoinGroup and SyncGroup of dynamic members, from an empty group to a stable one, as Kafka's coordinator answers."""

from collections.abc import Callable
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from raylog.coordination import messages


def test_a_new_member_is_first_told_its_id(driver: Any) -> None:
    told = driver.answer(driver.join(new_member_uuid="4711"))
    assert (told.error, told.member_id) == (ErrorCode.member_id_required, "client-4711")
    assert told.generation == -1


def test_an_old_client_joins_at_once(eager: Any) -> None:
    token = eager.join(requires_member_id=False, new_member_uuid="4711")
    eager.advance(1)
    joined = eager.answer(token)
    assert (joined.error, joined.member_id, joined.leader) == (ErrorCode.none, "client-4711", "client-4711")


def test_the_first_generation_waits_for_more_members(driver: Any) -> None:
    _, first = driver.new_member()
    driver.advance(2_999)
    assert first not in driver.answers
    driver.advance(1)
    assert driver.answer(first).generation == 1


def test_the_wait_is_extended_for_each_that_comes(driver: Any) -> None:
    _, first = driver.new_member()
    driver.advance(2_000)
    _, second = driver.new_member()
    driver.advance(1_000)
    assert first not in driver.answers
    driver.advance(3_000)
    assert driver.answer(first).generation == driver.answer(second).generation == 1


def test_the_wait_ends_with_the_rebalance_timeout(driver: Any) -> None:
    first = driver.new_member(rebalance_timeout_ms=7_000)[1]
    for _ in range(20):
        driver.advance(500)
        driver.new_member(rebalance_timeout_ms=7_000)
    assert driver.answer(first).error is ErrorCode.none


def test_only_the_leader_is_told_who_is_in(eager: Any) -> None:
    members, generation = eager.stable_group(3)
    tokens = [eager.join(member, protocols=(("range", b"new"),)) for member in members]
    answers = [eager.answer(token) for token in tokens]
    assert [answer.generation for answer in answers] == [generation + 1] * 3
    assert [member.member_id for member in answers[0].members] == members
    assert [member.metadata for member in answers[0].members] == [b"new"] * 3
    assert answers[1].members == answers[2].members == ()
    assert {answer.leader for answer in answers} == {members[0]}


def test_everyone_gets_the_leaders_assignment(eager: Any) -> None:
    members, _ = eager.stable_group(3)
    assert eager.state() == "Stable"
    described = {member.member_id: member for member in eager.describe().members}
    assert [described[member].assignment for member in members] == [b"0", b"1", b"2"]
    assert described[members[0]].client_host == "/10.0.0.1"


def test_members_that_the_leader_forgets_get_an_empty_assignment(eager: Any) -> None:
    first, second = (eager.new_member() for _ in range(2))
    eager.advance(1)
    leader = eager.answer(first[1])
    waiting = eager.sync(second[0], 1)
    eager.sync(leader.leader, 1, {first[0]: b"all"})
    assert eager.answer(waiting).assignment == b""


def test_a_sync_waits_for_the_leader(eager: Any) -> None:
    first, second = (eager.new_member() for _ in range(2))
    eager.advance(1)
    follower = eager.sync(second[0], 1)
    assert follower not in eager.answers
    eager.sync(first[0], 1, {first[0]: b"a", second[0]: b"b"})
    answer = eager.answer(follower)
    assert (answer.assignment, answer.protocol_type, answer.protocol_name) == (b"b", "consumer", "range")


def test_a_repeated_sync_gets_the_same_assignment(eager: Any) -> None:
    members, generation = eager.stable_group(2)
    assert eager.answer(eager.sync(members[1], generation)).assignment == b"1"


@pytest.mark.parametrize("size", [1, 3])
def test_a_member_that_joins_a_stable_group_makes_a_rebalance(eager: Any, size: int) -> None:
    members, generation = eager.stable_group(size)
    newcomer, waiting = eager.new_member()
    assert waiting not in eager.answers
    assert [eager.heartbeat(member, generation) for member in members] == [ErrorCode.rebalance_in_progress] * size
    tokens = [eager.join(member) for member in members]
    assert {eager.answer(token).generation for token in [*tokens, waiting]} == {generation + 1}
    assert newcomer in {member.member_id for member in eager.answer(tokens[0]).members}


def test_a_follower_that_joins_again_without_change_makes_no_rebalance(eager: Any) -> None:
    members, generation = eager.stable_group(2)
    answer = eager.answer(eager.join(members[1]))
    assert (answer.error, answer.generation, answer.members) == (ErrorCode.none, generation, ())
    assert eager.state() == "Stable"


def test_the_leader_makes_a_rebalance_by_joining_again(eager: Any) -> None:
    members, generation = eager.stable_group(2)
    waiting = eager.join(members[0])
    assert waiting not in eager.answers
    eager.join(members[1])
    assert eager.answer(waiting).generation == generation + 1


def test_a_join_repeated_before_the_sync_is_answered_with_the_same_generation(eager: Any) -> None:
    first, second = (eager.new_member() for _ in range(2))
    eager.advance(1)
    again = eager.answer(eager.join(first[0]))
    assert again.generation == 1
    assert len(again.members) == 2
    assert eager.answer(eager.join(second[0])).members == ()
    assert eager.state() == "CompletingRebalance"


def test_changed_metadata_before_the_sync_makes_a_rebalance(eager: Any) -> None:
    first, second = (eager.new_member() for _ in range(2))
    eager.advance(1)
    waiting = eager.sync(second[0], 1)
    eager.join(first[0], protocols=(("range", b"other"),))
    assert eager.answer(waiting).error is ErrorCode.rebalance_in_progress
    assert eager.state() == "PreparingRebalance"


def test_of_two_joins_of_a_member_the_later_counts(driver: Any) -> None:
    member, first = driver.new_member()
    second = driver.join(member)
    assert driver.answer(first).error is ErrorCode.rebalance_in_progress
    driver.advance(3_000)
    assert driver.answer(second).generation == 1


def test_members_agree_on_the_protocol_that_most_prefer(eager: Any) -> None:
    sticky_first = (("sticky", b"s"), ("range", b"r"))
    range_first = (("range", b"r"), ("sticky", b"s"))
    tokens = [eager.new_member(protocols=own)[1] for own in (sticky_first, range_first, range_first)]
    eager.advance(1)
    assert {eager.answer(token).protocol_name for token in tokens} == {"range"}


def test_a_protocol_that_one_member_does_not_speak_is_not_chosen(eager: Any) -> None:
    both = (("sticky", b"s"), ("range", b"r"))
    tokens = [eager.new_member(protocols=own)[1] for own in (both, both, (("range", b"r"),))]
    eager.advance(1)
    assert {eager.answer(token).protocol_name for token in tokens} == {"range"}


@pytest.mark.parametrize(
    "values",
    [{"protocols": (("other", b""),)}, {"protocol_type": "connect"}, {"protocols": ()}, {"protocol_type": ""}],
)
def test_members_without_a_common_protocol_are_refused(eager: Any, values: dict[str, Any]) -> None:
    eager.stable_group()
    assert eager.answer(eager.join(**values)).error is ErrorCode.inconsistent_group_protocol
    assert eager.state() == "Stable"


@pytest.mark.parametrize("values", [{"protocols": ()}, {"protocol_type": ""}])
def test_a_refused_first_member_leaves_no_group(driver: Any, values: dict[str, Any]) -> None:
    assert driver.answer(driver.join(**values)).error is ErrorCode.inconsistent_group_protocol
    assert driver.describe().error is ErrorCode.group_id_not_found


def test_an_empty_group_takes_another_protocol_type(eager: Any) -> None:
    (member,), _ = eager.stable_group()
    eager.leave(member)
    told = eager.answer(eager.join(protocol_type="connect", protocols=(("compatible", b""),)))
    token = eager.join(told.member_id, protocol_type="connect", protocols=(("compatible", b""),))
    eager.advance(1)
    assert eager.answer(token).protocol_type == "connect"


@pytest.mark.parametrize("session_timeout_ms", [5_999, 1_800_001])
def test_session_timeouts_out_of_bounds_are_refused(driver: Any, session_timeout_ms: int) -> None:
    assert driver.answer(driver.join(session_timeout_ms=session_timeout_ms)).error is ErrorCode.invalid_session_timeout


def test_an_id_that_the_group_does_not_know_is_refused(eager: Any) -> None:
    assert eager.answer(eager.join("ghost")).error is ErrorCode.unknown_member_id
    eager.stable_group()
    assert eager.answer(eager.join("ghost")).error is ErrorCode.unknown_member_id


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"generation": 7}, ErrorCode.illegal_generation),
        ({"member_id": "ghost"}, ErrorCode.unknown_member_id),
        ({"protocol_type": "connect"}, ErrorCode.inconsistent_group_protocol),
        ({"protocol_name": "sticky"}, ErrorCode.inconsistent_group_protocol),
        ({"group_instance_id": "nobody"}, ErrorCode.unknown_member_id),
        ({"group_id": "other"}, ErrorCode.unknown_member_id),
    ],
)
def test_syncs_that_do_not_fit_are_refused(eager: Any, change: dict[str, Any], error: ErrorCode) -> None:
    (member,), generation = eager.stable_group()
    values = {"member_id": member, "generation": generation, **change}
    assert eager.call(messages.SyncGroup, **values).error is error


def test_a_sync_during_the_next_rebalance_is_refused(eager: Any) -> None:
    (member,), generation = eager.stable_group()
    eager.new_member()
    assert eager.answer(eager.sync(member, generation)).error is ErrorCode.rebalance_in_progress


def test_a_full_group_takes_no_more_members(make_driver: Callable[..., Any]) -> None:
    driver = make_driver(group_size_max=2, initial_rebalance_delay_ms=0)
    members, generation = driver.stable_group(2)
    refused = driver.answer(driver.join())
    assert (refused.error, refused.member_id) == (ErrorCode.group_max_size_reached, "")
    assert [driver.heartbeat(member, generation) for member in members] == [ErrorCode.none] * 2


def test_ids_are_not_given_out_without_end(make_driver: Callable[..., Any]) -> None:
    driver = make_driver(pending_members_max=3)
    told = [driver.answer(driver.join()).error for _ in range(5)]
    assert told == [ErrorCode.member_id_required] * 3 + [ErrorCode.group_max_size_reached] * 2
    driver.advance(10_000)
    assert driver.answer(driver.join()).error is ErrorCode.member_id_required


def test_a_group_above_a_lowered_limit_sheds_the_last_to_come(make_driver: Callable[..., Any]) -> None:
    driver = make_driver(group_size_max=3, initial_rebalance_delay_ms=0)
    members, _ = driver.stable_group(3)
    smaller = make_driver(log=driver.log, group_size_max=2, initial_rebalance_delay_ms=0)
    assert smaller.state() == "PreparingRebalance"
    tokens = [smaller.join(member) for member in members]
    errors = [smaller.answer(token).error for token in tokens]
    assert errors == [ErrorCode.none, ErrorCode.none, ErrorCode.group_max_size_reached]
