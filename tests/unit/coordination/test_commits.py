"""OffsetCommit, OffsetFetch and OffsetDelete: who may, and what is then there."""

from typing import Any
from uuid import UUID

import pytest
from kio.schema.errors import ErrorCode

from raylog.coordination import messages
from raylog.coordination.records import CommittedOffset

ID, LATER_ID = UUID(int=1), UUID(int=2)
ALL_STATES = ("Empty", "PreparingRebalance", "CompletingRebalance", "Stable")


def test_a_member_commits_and_anyone_fetches(eager: Any) -> None:
    (member,), generation = eager.stable_group()
    assert eager.commit_error(42, member_id=member, generation=generation) is ErrorCode.none
    assert eager.committed() == 42


def test_metadata_and_leader_epoch_are_kept(driver: Any) -> None:
    one = messages.OffsetToCommit(
        topic="orders", topic_id=ID, partition=3, offset=7, leader_epoch=5, metadata="ß" * 100
    )
    driver.call(messages.CommitOffsets, offsets=(one,))
    for coordinator in (driver, driver.crash()):
        topics = coordinator.call(messages.FetchOffsets, topics=None).topics
        expected = messages.FetchedOffset(partition=3, offset=7, leader_epoch=5, metadata="ß" * 100)
        assert topics == (messages.FetchedTopic(topic="orders", topic_id=ID, offsets=(expected,)),)


def test_a_consumer_without_a_group_commits_too(driver: Any) -> None:
    assert driver.commit_error(42) is ErrorCode.none
    assert driver.committed() == 42
    assert driver.state() == "Empty"
    assert driver.crash().committed() == 42


def test_what_was_never_committed_is_minus_one(driver: Any) -> None:
    assert driver.committed() == -1
    driver.commit(42)
    assert driver.committed(partition=1) == driver.committed(topic="other") == -1
    assert driver.committed(group_id="other") == -1


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({}, ErrorCode.none),
        ({"generation": 7}, ErrorCode.illegal_generation),
        ({"member_id": "ghost"}, ErrorCode.unknown_member_id),
        ({"group_instance_id": "nobody"}, ErrorCode.unknown_member_id),
        ({"generation": -1, "member_id": ""}, ErrorCode.unknown_member_id),
        ({"generation": -1}, ErrorCode.illegal_generation),
        ({"group_id": "other"}, ErrorCode.group_id_not_found),
    ],
)
def test_who_may_commit_to_a_stable_group(eager: Any, change: dict[str, Any], error: ErrorCode) -> None:
    (member,), generation = eager.stable_group()
    values = {"member_id": member, "generation": generation, **change}
    assert eager.commit_error(42, **values) is error
    assert eager.committed() == (42 if error is ErrorCode.none else -1)


def test_a_refused_commit_makes_no_group(driver: Any) -> None:
    assert driver.commit_error(42, generation=3, member_id="ghost") is ErrorCode.group_id_not_found
    assert driver.describe().error is ErrorCode.group_id_not_found


def test_a_member_of_an_emptied_group_may_not_commit(eager: Any) -> None:
    (member,), generation = eager.stable_group()
    eager.leave(member)
    assert eager.commit_error(42, member_id=member, generation=generation) is ErrorCode.unknown_member_id


def test_commits_go_on_while_a_rebalance_is_prepared(eager: Any) -> None:
    (member,), generation = eager.stable_group()
    eager.new_member()
    assert eager.state() == "PreparingRebalance"
    assert eager.commit_error(42, member_id=member, generation=generation) is ErrorCode.none


def test_before_its_assignment_a_member_has_nothing_to_commit(eager: Any) -> None:
    (member,), generation = eager.stable_group()
    eager.join(member)
    assert eager.state() == "CompletingRebalance"
    assert eager.commit_error(42, member_id=member, generation=generation) is ErrorCode.illegal_generation
    error = eager.commit_error(42, member_id=member, generation=generation + 1)
    assert error is ErrorCode.rebalance_in_progress


def test_commits_keep_a_member_in(eager: Any) -> None:
    (member,), generation = eager.stable_group()
    for offset in range(5):
        eager.advance(9_000)
        assert eager.commit_error(offset, member_id=member, generation=generation) is ErrorCode.none


def test_metadata_that_is_too_long_is_refused_alone(driver: Any) -> None:
    offsets = [
        messages.OffsetToCommit(topic="orders", topic_id=None, partition=at, offset=9, metadata="x" * size)
        for at, size in enumerate((4_096, 4_097))
    ]
    result = driver.call(messages.CommitOffsets, offsets=tuple(offsets))
    assert result.errors == (ErrorCode.none, ErrorCode.offset_metadata_too_large)
    assert (driver.committed(partition=0), driver.committed(partition=1)) == (9, -1)


def test_a_topic_made_again_does_not_inherit_offsets(driver: Any) -> None:
    driver.commit(42, topic_id=ID)
    assert driver.committed(topic_id=ID) == 42
    assert driver.committed(topic_id=LATER_ID) == -1
    driver.commit(3, topic_id=LATER_ID)
    assert driver.committed(topic_id=LATER_ID) == 3


def test_offsets_of_an_unknown_topic_id_are_anybodys(driver: Any) -> None:
    driver.commit(42)
    assert driver.committed(topic_id=ID) == 42


def test_offsets_of_open_transactions_are_unstable(driver: Any) -> None:
    driver.commit(42)
    staged = CommittedOffset(offset=50, commit_timestamp_ms=0)
    driver.core.offsets["readers"].stage(1, "orders", 0, staged)
    wanted = (messages.TopicPartitions(topic="orders", partitions=(0, 1)),)
    stable = driver.call(messages.FetchOffsets, topics=wanted, require_stable=True).topics[0].offsets
    assert [offset.error for offset in stable] == [ErrorCode.unstable_offset_commit, ErrorCode.none]
    assert driver.committed() == 42
    driver.core.offsets["readers"].settle(1, is_commit=True)
    assert driver.committed(require_stable=True) == 50


def test_deleting_offsets(eager: Any) -> None:
    members, generation = eager.stable_group()
    for topic in ("orders", "other"):
        eager.commit(42, topic=topic, member_id=members[0], generation=generation)
    topics = tuple(messages.TopicPartitions(topic=topic, partitions=(0, 1)) for topic in ("orders", "other"))
    result = eager.call(messages.DeleteOffsets, topics=topics)
    assert result.error is ErrorCode.none
    assert result.errors == ((ErrorCode.group_subscribed_to_topic,) * 2, (ErrorCode.none,) * 2)
    for coordinator in (eager, eager.crash()):
        assert coordinator.committed(topic="orders") == 42
        assert coordinator.committed(topic="other") == -1


def test_offsets_of_other_protocols_are_not_deleted_under_their_members(eager: Any) -> None:
    eager.stable_group(protocol_type="connect", protocols=(("compatible", b""),))
    topics = (messages.TopicPartitions(topic="orders", partitions=(0,)),)
    assert eager.call(messages.DeleteOffsets, topics=topics).error is ErrorCode.non_empty_group
    assert eager.call(messages.DeleteOffsets, topics=topics, group_id="x").error is ErrorCode.group_id_not_found


def test_a_group_whose_subscription_cannot_be_read_keeps_its_offsets(eager: Any) -> None:
    eager.stable_group(protocols=(("range", b"\x00"),))
    topics = (messages.TopicPartitions(topic="orders", partitions=(0,)),)
    errors = eager.call(messages.DeleteOffsets, topics=topics).errors
    assert errors == ((ErrorCode.group_subscribed_to_topic,),)
