"""Leaders that nobody asks for anything are ended, and started again for whoever wants them, whenever that is."""

import asyncio
from dataclasses import dataclass, field

import pytest

from raylog.model.admin import ConfigAlteration, ConfigChange, Move, NewTopic
from raylog.model.errors import RetryError
from raylog.model.ids import LeaderId, LogEpoch
from raylog.model.load import LoadReport

CONFIGS = {
    "offsets.topic.num.partitions": "2",
    "auto.leader.rebalance.enable": "false",
    "raylog.leader.idle.ms": "60000",
}
EPOCH = LogEpoch(1)


@dataclass
class Ender:
    """Ends leaders, as soon as it may."""

    ended: list[int] = field(default_factory=list)
    refusals: int = 0
    may_end: asyncio.Event = field(default_factory=asyncio.Event)

    async def end_leader(self, leader_id: LeaderId) -> None:
        await self.may_end.wait()
        if self.refusals:
            self.refusals -= 1
            raise RetryError("Ray is away.")
        self.ended.append(leader_id)


@pytest.fixture
async def world(cluster):
    """Leaders 1 and 2, which lead the partitions of the groups' topic."""
    made = World(cluster)
    await made.start()
    return made


class World:
    def __init__(self, cluster):
        self.cluster = cluster
        self.ender = Ender()
        self.ender.may_end.set()

    async def start(self):
        self.controller = await self.cluster.start(broker_configs=CONFIGS, leader_ender=self.ender)
        await self.cluster.launcher.wait_for(2)
        while (await self.controller.status())["unadopted_partitions"]:  # noqa: ASYNC110  (nobody tells)
            await asyncio.sleep(0)
        for leader in self.cluster.leaders:  # from here on the test says what they do
            leader.cancel()
        await asyncio.gather(*self.cluster.leaders, return_exceptions=True)
        self.cluster.leaders.clear()

    async def report(self, leader_id, idle_s):
        load = LoadReport(idle_s=idle_s)
        await self.controller.watch_assignments(LeaderId(leader_id), EPOCH, 0, load)

    async def look(self):
        """It looks all the time, as its clock does not wait."""
        for _ in range(100):
            await asyncio.sleep(0)

    async def rest(self, *leaders):
        for leader_id in leaders:
            await self.report(leader_id, 60.0)
        await self.look()

    async def resting(self):
        return [row["leader_id"] for row in (await self.controller.status())["leaders"] if row["rests"]]

    def started(self):
        """After the first start."""
        return [leader_id for leader_id, _ in self.cluster.launcher.started[2:]]

    async def starts(self, leader_id):
        while leader_id not in self.started():  # noqa: ASYNC110  (nobody tells)
            await asyncio.sleep(0)


async def test_who_was_asked_for_nothing_for_long_enough_is_ended(world):
    await world.report(1, 60.0)
    await world.report(2, 59.0)
    await world.look()
    assert (world.ender.ended, await world.resting()) == ([1], [1])
    await world.look()
    assert world.ender.ended == [1], "once is enough"


async def test_all_may_rest_and_the_one_that_is_needed_is_started(world):
    await world.rest(1, 2)
    assert (world.ender.ended, world.started()) == ([1, 2], [])
    await world.controller.wake_leader(LeaderId(2))
    await world.starts(2)
    assert (await world.resting(), world.started()) == ([1], [2])


async def test_one_that_does_not_rest_is_not_started_again_for_being_needed(world):
    await world.controller.wake_leader(LeaderId(1))
    await world.controller.wake_leader(LeaderId(77))
    await world.look()
    assert world.started() == []


async def test_one_that_is_needed_while_it_ends_is_started_when_it_has(world):
    world.ender.may_end.clear()
    await world.report(1, 60.0)
    await world.look()
    assert await world.resting() == [1]
    await world.controller.wake_leader(LeaderId(1))
    await world.look()
    assert world.started() == [], "it would be found, and then end"
    world.ender.may_end.set()
    await world.starts(1)
    assert await world.resting() == []


async def test_one_that_cannot_be_ended_goes_on_and_may_rest_later(world):
    world.ender.refusals = 1
    await world.rest(1)
    await world.starts(1)
    assert (world.ender.ended, await world.resting()) == ([], [])
    await world.rest(1)
    assert world.ender.ended == [1]


async def test_what_the_controller_has_for_a_leader_wakes_it(world):
    await world.rest(1, 2)
    await world.controller.create_topics([NewTopic(name="t", partitions=2)], timeout_ms=0)
    await world.starts(1)
    await world.starts(2)
    assert await world.resting() == []


async def test_one_that_something_moves_to_or_from_is_awake(world):
    table = await world.controller.watch_routes(0)
    [mine] = [n for n, p in enumerate(table.topics["__consumer_offsets"].partitions) if p.leader_id == 1]
    await world.rest(1, 2)
    await world.controller.move_partitions([Move(topic="__consumer_offsets", partition=mine, to_leader=LeaderId(2))])
    await world.starts(1)
    await world.starts(2)
    await world.rest(1, 2)
    assert await world.resting() == [], "and does not rest before that has arrived"


async def test_a_controller_that_starts_has_all_started(world):
    await world.rest(1, 2)
    await world.controller.close()
    world.controller = await world.cluster.start((), broker_configs=CONFIGS, leader_ender=world.ender)
    await world.starts(1)
    await world.starts(2)


async def test_nobody_rests_any_more_once_that_is_switched_off(world):
    await world.rest(1)
    change = ConfigChange(key="raylog.leader.idle.ms", op=0, value="0")
    await world.controller.alter_configs([ConfigAlteration(resource_type=4, name="", changes=(change,))])
    await world.starts(1)
    await world.rest(2)
    assert await world.resting() == []
