"""The log of a coordinator stays short, and wherever a crash falls the next coordinator finds the same state."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from raylog.coordination import messages
from raylog.coordination.effects import KeyValue
from raylog.coordination.records import CommittedOffset

SMALL = {"rewrite_bytes_min": 3_000, "rewrite_chunk_bytes": 400, "rewrite_factor": 2, "initial_rebalance_delay_ms": 0}

MakeDriver = Callable[..., Any]


def table(records: Iterable[KeyValue]) -> dict[bytes, bytes]:
    """What a reader of the records knows at their end."""
    known: dict[bytes, bytes] = {}
    for key, value in records:
        known.pop(key, None)
        if value is not None:
            known[key] = value
    return known


def commits(driver: Any, count: int) -> None:
    for offset in range(count):
        driver.commit(offset, partition=offset % 5)


def test_the_log_stays_short(make_driver: MakeDriver) -> None:
    driver = make_driver(**SMALL)
    driver.stable_group(3)
    longest = 0
    for offset in range(2_000):
        driver.commit(offset, group_id="tool", partition=offset % 5)
        longest = max(longest, driver.log.size_bytes)
    assert longest < 3 * SMALL["rewrite_bytes_min"]
    assert len(driver.trims) > 10


def test_state_that_is_larger_than_the_limit_is_not_rewritten_all_the_time(make_driver: MakeDriver) -> None:
    driver = make_driver(**SMALL)
    for partition in range(500):
        driver.commit(1, partition=partition)
    rewrites = len(driver.trims)
    appended = driver.log.end_offset
    commits(driver, 500)
    assert len(driver.trims) - rewrites <= 2
    assert driver.log.end_offset - appended < 3 * 500


def test_one_group_may_be_larger_than_a_chunk(make_driver: MakeDriver) -> None:
    driver = make_driver(**SMALL)
    for partition in range(200):
        driver.commit(partition, partition=partition)
    assert driver.trims
    assert [driver.crash().committed(partition=at) for at in range(0, 200, 20)] == list(range(0, 200, 20))


def test_members_survive_a_rewrite_and_a_crash(make_driver: MakeDriver) -> None:
    driver = make_driver(**SMALL)
    members, generation = driver.stable_group(3)
    for offset in range(300):
        driver.commit(offset, member_id=members[0], generation=generation)
    assert driver.trims
    successor = driver.crash()
    assert successor.committed() == 299
    assert [successor.answer(successor.sync(member, generation)).assignment for member in members] == [b"0", b"1", b"2"]


def test_a_rebalance_under_way_is_rewritten_as_it_was_before(make_driver: MakeDriver) -> None:
    driver = make_driver(**SMALL)
    members, generation = driver.stable_group(2)
    driver.new_member()
    assert driver.state() == "PreparingRebalance"
    for offset in range(300):
        driver.commit(offset, group_id="tool")
    assert driver.trims
    successor = driver.crash()
    assert [successor.answer(successor.sync(member, generation)).assignment for member in members] == [b"0", b"1"]


def test_a_chunk_of_several_batches_is_waited_for(make_driver: MakeDriver) -> None:
    driver = make_driver(**SMALL, append_bytes_max=50)
    driver.holds_appends = True
    for offset in range(100):
        driver.commit(offset, group_id=f"tool-{offset % 7}")
        driver.settle(2)
        known = table(record for base, records in driver.log.batches for record in records)
        if not driver.under_way:
            assert table(driver.crash().log.records()) == known
    while driver.under_way:
        driver.settle(1)
        found = driver.crash().call(messages.ListGroups).groups
        assert len(found) == 7
    assert driver.trims


def test_a_rewrite_waits_for_open_transactions(make_driver: MakeDriver) -> None:
    driver = make_driver(**SMALL)
    driver.commit(0)
    driver.core.offsets["readers"].stage(1, "orders", 0, CommittedOffset(offset=9, commit_timestamp_ms=0))
    commits(driver, 200)
    assert not driver.trims
    driver.core.offsets["readers"].settle(1, is_commit=False)
    commits(driver, 5)
    assert driver.trims


def test_a_coordinator_that_loads_a_long_log_rewrites_it(make_driver: MakeDriver) -> None:
    driver = make_driver(**{**SMALL, "rewrite_bytes_min": 10**9})
    commits(driver, 500)
    assert not driver.trims
    successor = make_driver(driver.log, **SMALL)
    successor.commit(500)
    assert successor.log.size_bytes < SMALL["rewrite_bytes_min"]
    assert successor.crash().committed() == 500


def test_nothing_is_rewritten_while_there_is_nothing(make_driver: MakeDriver) -> None:
    driver = make_driver(**SMALL)
    for _ in range(200):
        driver.commit(1)
        driver.call(messages.DeleteGroup)
    assert driver.log.size_bytes < 3 * SMALL["rewrite_bytes_min"]
    assert driver.crash().call(messages.ListGroups).groups == ()


@pytest.mark.parametrize("seed", range(5))
def test_a_crash_at_any_point_finds_what_was_durable(make_driver: MakeDriver, seed: int) -> None:
    import random

    rng = random.Random(seed)
    driver = make_driver(**SMALL)
    driver.holds_appends = True
    for _ in range(400):
        group_id, partition = f"tool-{rng.randrange(4)}", rng.randrange(8)
        match rng.randrange(12):
            case 0:
                driver.ask(messages.DeleteGroup, group_id=group_id)
            case 1:
                topics = (messages.TopicPartitions(topic="orders", partitions=(partition,)),)
                driver.ask(messages.DeleteOffsets, group_id=group_id, topics=topics)
            case _:
                driver.commit(rng.randrange(1_000), group_id=group_id, partition=partition)
        driver.settle(rng.randrange(3))
        first_lost = min((base for _, base in driver.under_way), default=driver.log.end_offset)
        durable = [record for base, records in driver.log.batches if base < first_lost for record in records]
        assert table(driver.crash().log.records()) == table(durable)
    assert len(driver.trims) > 3
