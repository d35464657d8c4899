"""Requests that come before their partitions: they wait for these, in their order, and not for long."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from raylog.leader.early_calls import EarlyCalls
from raylog.model.ids import TopicId, TopicPartition
from tests.harness.manual_clock import ManualClock

TOPIC = TopicId(UUID(int=1))
FIRST, SECOND = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)


class Call:
    size_bytes = 10

    def __init__(self, name: str) -> None:
        self.name = name


class Kit:
    def __init__(self, *, s_max: float = 60.0, bytes_max: int = 100) -> None:
        self.early = EarlyCalls(ManualClock(), bytes_max=bytes_max, s_max=s_max)
        self.served: list[str] = []
        self.has_served = asyncio.Event()

    def hold(self, name: str, *asked: tuple[Any, int]) -> bool:
        call: Any = Call(name)
        return self.early.hold(call, self._serve, asked)

    def _serve(self, call: Any) -> None:
        self.served.append(call.name)
        self.has_served.set()


async def test_only_what_asks_for_a_partition_on_its_way_waits() -> None:
    kit = Kit()
    assert not kit.early.is_expecting
    kit.early.expect(FIRST, "t")
    assert kit.early.is_expecting
    assert not kit.hold("another partition", ("t", 1))
    assert not kit.hold("another topic", ("u", 0))
    assert kit.hold("by name", ("t", 0))
    assert kit.hold("by id", (TOPIC, 0))
    kit.early.forget(FIRST)
    assert not kit.early.is_expecting and kit.served == []
    kit.early.serve_ready()
    assert kit.served == ["by name", "by id"]
    kit.early.stop()


async def test_requests_for_a_partition_keep_their_order_and_others_do_not_wait_for_them() -> None:
    kit = Kit()
    for partition in (FIRST, SECOND):
        kit.early.expect(partition, "t")
    for name, asked in (("both", [("t", 0), ("t", 1)]), ("first", [("t", 0)]), ("second", [("t", 1)])):
        assert kit.hold(name, *asked)
    kit.early.forget(FIRST)
    kit.early.serve_ready()
    assert kit.served == [], "'first' came after 'both'"
    kit.early.forget(SECOND)
    kit.early.serve_ready()
    assert kit.served == ["both", "first", "second"]
    kit.early.stop()


async def test_there_is_a_limit_to_what_waits() -> None:
    kit = Kit(bytes_max=25)
    kit.early.expect(FIRST, "t")
    assert [kit.hold(str(n), ("t", 0)) for n in range(3)] == [True, True, False]
    kit.early.forget(FIRST)
    kit.early.serve_ready()
    kit.early.expect(FIRST, "t")
    assert kit.hold("again", ("t", 0))
    kit.early.stop()


async def test_a_partition_that_does_not_come_is_not_waited_for_again() -> None:
    kit = Kit(s_max=0.0)
    kit.early.expect(FIRST, "t")
    assert kit.hold("early", ("t", 0))
    async with asyncio.timeout(10):
        await kit.has_served.wait()
    assert not kit.hold("late", ("t", 0))
    kit.early.expect(FIRST, "t")
    assert kit.hold("offered anew", ("t", 0))
    kit.early.stop()


@pytest.mark.parametrize("is_held", [False, True])
async def test_nothing_is_served_once_it_is_stopped(is_held: bool) -> None:
    kit = Kit()
    kit.early.expect(FIRST, "t")
    if is_held:
        kit.hold("early", ("t", 0))
    kit.early.stop()
    kit.early.forget(FIRST)
    kit.early.serve_ready()
    assert kit.served == []
