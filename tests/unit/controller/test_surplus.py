"""Leaders of whom a node has too many are ended once they lead nothing, and not before."""

import logging
from dataclasses import dataclass, field
from uuid import UUID

import pytest

from controller.nodes import Node
from controller.records import LeaderPlaced, LeaderRegistered
from controller.rules import ClusterRules
from controller.state import MetadataState
from controller.surplus import SurplusEnder
from controller.topics import create_topic, delete_topic
from raylog.model.admin import NewTopic, TopicSelector
from raylog.model.clock import SystemClock
from raylog.model.errors import RetryError

NODES = tuple(Node(name=name, mounts={"file": ""}) for name in "ab")
RULES = ClusterRules(
    wal_classes=("file",), default_wal="file", leaders_per_class=1, topic_partitions_max=100, nodes=NODES
)


@dataclass
class World:
    """A journal without a log, and who ends leaders."""

    durable: MetadataState = field(default_factory=MetadataState)
    ended: list[int] = field(default_factory=list)
    forgotten: list[int] = field(default_factory=list)
    fails: bool = False
    topics: int = 0

    @property
    def planned(self):
        return self.durable

    def submit(self, records):
        for record in records:
            self.durable.apply(record)

    def create(self, partitions):
        self.topics += 1
        topic = NewTopic(name=f"t{self.topics}", partitions=partitions)
        self.submit(create_topic(self.durable, RULES, topic, UUID(int=self.topics)).records)

    def delete_all(self):
        self.submit(delete_topic(self.durable, RULES, TopicSelector(name="t1")).records)

    async def end_leader(self, leader_id):
        if self.fails:
            raise RetryError("Ray is away.")
        self.ended.append(leader_id)

    async def look(self):
        ender = SurplusEnder(
            self,
            journal=lambda: self,
            nodes=lambda: NODES,
            forget=self.forgotten.append,
            clock=SystemClock(),
            look_s=1,
            log=logging.LoggerAdapter(logging.getLogger("test"), {}),
        )
        await ender.look()


@pytest.fixture
def world():
    """Leader 2, of node b, was started on node a, which is to have one."""
    made = World()
    made.create(2)
    made.submit(
        [LeaderRegistered(leader_id=2, log_epoch=1, node_id="a", unix_path="", host="", port=1)],
    )
    return made


async def test_one_that_leads_something_goes_on(world):
    await world.look()
    assert world.ended == world.forgotten == []


async def test_one_that_leads_nothing_is_ended_and_belongs_nowhere(world):
    world.delete_all()
    await world.look()
    assert world.ended == world.forgotten == [2]
    assert world.durable.leaders[2].node == ""
    await world.look()
    assert world.ended == [2]


async def test_one_that_cannot_be_ended_is_ended_later(world):
    world.delete_all()
    world.fails = True
    await world.look()
    assert (world.ended, world.forgotten, world.durable.leaders[2].node) == ([], [2], "a")
    world.fails = False
    await world.look()
    assert world.ended == [2]


async def test_one_that_is_needed_again_while_it_ends_is_started_again_where_it_was(world):
    world.delete_all()
    end = world.end_leader

    async def end_leader(leader_id):
        await end(leader_id)
        world.submit([LeaderPlaced(leader_id=1, node="b")])  # now leader 2 is the only one there
        world.create(2)

    world.end_leader = end_leader
    await world.look()
    assert (world.forgotten, world.durable.leaders[2].node) == ([2], "a")
    assert world.durable.is_needed(2)
