"""Leaders that fall silent get a successor: first soon, then ever more rarely, and never because the controller was away."""

import asyncio

import pytest

from controller.launcher import LeaderSite
from controller.leader_watch import LeaderWatch
from raylog.model.logs import role_logger

SILENCE_S = 10.0
TICK_S = 2.0


class StepClock:
    """Sleepers wait until the test lets time pass."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def monotonic(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now_s + seconds, woken))
        await woken

    async def step(self, seconds: float) -> None:
        """One jump of time; then everybody runs."""
        self.now_s += seconds
        due = [sleeper for sleeper in self._sleepers if sleeper[0] <= self.now_s]
        self._sleepers = [sleeper for sleeper in self._sleepers if sleeper not in due]
        for _, woken in due:
            woken.set_result(None)
        for _ in range(10):
            await asyncio.sleep(0)

    async def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK_S)):
            await self.step(TICK_S)


@pytest.fixture
def clock():
    return StepClock()


@pytest.fixture
async def watch(cluster, clock):
    needed = {1: LeaderSite(wal_class="file"), 2: LeaderSite(wal_class="object")}
    made = LeaderWatch(cluster.launcher, lambda: needed, clock, SILENCE_S, role_logger("test"))
    made.needed = needed
    running = asyncio.ensure_future(made.run())
    await asyncio.sleep(0)
    yield made
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_leader_that_polls_is_left_alone(cluster, clock, watch):
    for _ in range(20):
        watch.heard(1)
        await clock.pass_time(8)
    assert cluster.launcher.replaced == []


async def test_a_silent_leader_gets_one_successor_and_later_ones_ever_more_rarely(cluster, clock, watch):
    watch.heard(1)
    watch.heard(2)
    for _ in range(5):
        await clock.pass_time(2)
        watch.heard(1)
    assert cluster.launcher.replaced == []
    await clock.pass_time(2)
    assert cluster.launcher.replaced == [(2, "object")]
    await clock.pass_time(10)
    watch.heard(1)
    await clock.pass_time(18)
    watch.needed.pop(1)
    assert cluster.launcher.replaced.count((2, "object")) == 1
    await clock.pass_time(6)
    assert cluster.launcher.replaced.count((2, "object")) == 2
    await clock.pass_time(80)
    assert cluster.launcher.replaced.count((2, "object")) == 2


async def test_a_successor_that_was_heard_is_judged_like_any_leader(cluster, clock, watch):
    watch.heard(1)
    await clock.pass_time(12)
    watch.heard(1)
    await clock.pass_time(12)
    assert cluster.launcher.replaced == [(1, "file")] * 2


async def test_nobody_is_judged_who_was_never_heard_or_is_not_needed(cluster, clock, watch):
    watch.heard(2)
    watch.needed.pop(2)
    await clock.pass_time(100)
    assert cluster.launcher.replaced == []


async def test_a_controller_that_was_away_judges_nobody(cluster, clock, watch):
    watch.heard(1)
    await clock.step(1000)
    assert cluster.launcher.replaced == []
    await clock.pass_time(12)
    assert cluster.launcher.replaced == [(1, "file")]


async def test_a_successor_that_cannot_be_started_is_tried_again(cluster, clock, watch):
    cluster.launcher.refusals = 3
    watch.heard(1)
    await clock.pass_time(12)
    assert cluster.launcher.replaced == []
    await clock.pass_time(6)
    assert cluster.launcher.replaced == [(1, "file")]


async def test_a_leader_without_work_is_there_as_long_as_it_is_heard(watch, clock, cluster):
    watch.heard(1)
    del watch.needed[1]
    await clock.pass_time(SILENCE_S)
    assert watch.is_there(1)
    await clock.pass_time(TICK_S)
    assert not watch.is_there(1)
    assert not watch.is_there(3)
    watch.heard(1)
    assert watch.is_there(1)
    assert cluster.launcher.replaced == []


async def test_a_leader_whose_node_is_gone_is_not_there_until_it_is_heard_again(watch):
    watch.heard(1)
    watch.lost_node(1)
    watch.lost_node(2)
    assert not watch.is_there(1)
    watch.heard(1)
    assert watch.is_there(1)


async def test_a_leader_that_is_being_started_again_gets_no_successor_until_it_has_been_up_for_a_while(
    cluster, clock, watch
):
    watch.heard(1)
    cluster.launcher.starting.add(1)
    await clock.pass_time(SILENCE_S + 20)
    cluster.launcher.starting.clear()
    await clock.pass_time(SILENCE_S)
    assert cluster.launcher.replaced == []
    await clock.pass_time(2 * TICK_S)
    assert cluster.launcher.replaced == [(1, "file")]


async def test_a_leader_that_does_not_come_up_gets_a_successor(cluster, clock, watch):
    watch.heard(1)
    cluster.launcher.starting.add(1)
    await clock.pass_time(SILENCE_S + 30)
    assert cluster.launcher.replaced == []
    await clock.pass_time(3 * TICK_S)
    assert cluster.launcher.replaced == [(1, "file")]
