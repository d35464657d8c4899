"""Timers fire once, in order, at the last deadline that was set."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from raylog.leader.timers import Timers


class StepClock:
    """Sleeps until the test says what time it is."""

    def __init__(self) -> None:
        self.now = 0.0
        self._moved = asyncio.Event()

    def wall_ms(self) -> int:
        return int(self.now * 1000)

    def monotonic(self) -> float:
        return self.now

    def boottime(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            await self._moved.wait()

    async def reach(self, now: float) -> None:
        self.now = now
        self._moved.set()
        self._moved = asyncio.Event()
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.fixture
async def world() -> AsyncIterator[tuple[StepClock, "Timers[str]", list[str]]]:
    clock, fired = StepClock(), list[str]()
    timers = Timers[str](clock, fired.append)
    running = asyncio.create_task(timers.run())
    await clock.reach(0.0)
    yield clock, timers, fired
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


World = tuple[StepClock, Any, list[str]]


async def test_in_the_order_of_deadlines(world: World) -> None:
    clock, timers, fired = world
    for key, delay_ms in (("c", 300), ("a", 100), ("b", 200)):
        timers.set(key, delay_ms)
    await clock.reach(0.2)
    assert fired == ["a", "b"]
    await clock.reach(0.3)
    assert fired == ["a", "b", "c"]
    assert len(timers) == 0


async def test_an_earlier_one_wakes_the_sleeper(world: World) -> None:
    clock, timers, fired = world
    timers.set("late", 10_000)
    await clock.reach(0.1)
    timers.set("early", 100)
    await clock.reach(0.2)
    assert fired == ["early"]


async def test_set_again_to_later(world: World) -> None:
    clock, timers, fired = world
    timers.set("a", 100)
    await clock.reach(0.05)
    timers.set("a", 100)
    await clock.reach(0.12)
    assert fired == []
    await clock.reach(0.16)
    assert fired == ["a"]


async def test_set_again_to_earlier(world: World) -> None:
    clock, timers, fired = world
    timers.set("a", 1_000)
    timers.set("a", 100)
    await clock.reach(0.1)
    await clock.reach(1.0)
    assert fired == ["a"]


async def test_cancelled(world: World) -> None:
    clock, timers, fired = world
    timers.set("a", 100)
    timers.set("b", 100)
    timers.cancel("a")
    timers.cancel("never set")
    await clock.reach(0.2)
    assert fired == ["b"]


async def test_cancelled_and_set_again(world: World) -> None:
    clock, timers, fired = world
    timers.set("a", 100)
    timers.cancel("a")
    timers.set("a", 300)
    await clock.reach(0.2)
    assert fired == []
    await clock.reach(0.3)
    assert fired == ["a"]


async def test_cleared(world: World) -> None:
    clock, timers, fired = world
    timers.set("a", 100)
    timers.clear()
    await clock.reach(1.0)
    assert fired == []
