"""How long committed offsets and groups are kept (KIP-211), and what happens to those of deleted topics."""

from typing import Any
from uuid import UUID

from kio.schema.errors import ErrorCode

from raylog.coordination import messages

WEEK_MS = 7 * 24 * 3_600_000


def test_offsets_of_a_consumer_without_a_group_live_a_week_from_their_commit(driver: Any) -> None:
    driver.commit(1, partition=0)
    driver.advance(WEEK_MS // 2)
    driver.commit(2, partition=1)
    driver.advance(WEEK_MS // 2)
    driver.expire()
    assert (driver.committed(partition=0), driver.committed(partition=1)) == (-1, 2)
    driver.advance(WEEK_MS // 2)
    driver.expire()
    assert driver.describe().error is ErrorCode.group_id_not_found
    assert driver.crash().describe().error is ErrorCode.group_id_not_found


def test_offsets_of_a_group_live_a_week_after_its_last_member(eager: Any) -> None:
    (member,), generation = eager.stable_group(session_timeout_ms=1_800_000)
    eager.commit(1, member_id=member, generation=generation)
    for _ in range(600):
        eager.advance(1_700_000)
        eager.heartbeat(member, generation)
    eager.expire()
    assert eager.committed() == 1
    eager.leave(member)
    eager.advance(WEEK_MS - 1)
    eager.expire()
    assert eager.committed() == 1
    eager = eager.crash()
    eager.advance(1)
    eager.expire()
    assert eager.committed() == -1
    assert eager.describe().error is ErrorCode.group_id_not_found


def test_topics_that_no_member_reads_any_more_expire_beside_those_that_are_read(eager: Any) -> None:
    (member,), generation = eager.stable_group(session_timeout_ms=1_800_000)
    for topic in ("orders", "other"):
        eager.commit(1, topic=topic, member_id=member, generation=generation)
    for _ in range(400):
        eager.advance(1_700_000)
        eager.heartbeat(member, generation)
    eager.expire()
    assert (eager.committed(topic="orders"), eager.committed(topic="other")) == (1, -1)


def test_a_retention_of_the_clients_own_counts(driver: Any) -> None:
    driver.commit(1, partition=0, retention_ms=1_000)
    driver.commit(2, partition=1)
    for coordinator in (driver, driver.crash()):
        coordinator.advance(999)
        coordinator.expire()
        assert coordinator.committed(partition=0) == 1
        coordinator.advance(1)
        coordinator.expire()
        assert (coordinator.committed(partition=0), coordinator.committed(partition=1)) == (-1, 2)


def test_an_empty_group_without_offsets_goes_at_once(eager: Any) -> None:
    (member,), _ = eager.stable_group()
    eager.leave(member)
    assert eager.describe().error is ErrorCode.none
    eager.expire()
    assert eager.describe().error is ErrorCode.group_id_not_found
    assert eager.crash().describe().error is ErrorCode.group_id_not_found


def test_a_group_with_members_stays_without_offsets(eager: Any) -> None:
    (member,), generation = eager.stable_group()
    eager.expire()
    assert eager.heartbeat(member, generation) is ErrorCode.none


def test_offsets_of_deleted_topics_go(driver: Any) -> None:
    old, new = UUID(int=1), UUID(int=2)
    for topic, topic_id in (("kept", old), ("gone", old), ("again", old), ("unnamed", None)):
        driver.commit(1, topic=topic, topic_id=topic_id)
    driver.advance(1_000)
    driver.commit(1, topic="young", topic_id=new)
    driver.expire(existing={"kept": old, "again": new, "unnamed": new}, as_of_ms=driver.now_ms)
    for coordinator in (driver, driver.crash()):
        found = {topic.topic for topic in coordinator.call(messages.FetchOffsets, topics=None).topics}
        assert found == {"kept", "unnamed", "young"}
