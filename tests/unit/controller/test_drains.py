"""A node that drains: its partitions go to leaders elsewhere, then clients are sent elsewhere, then nothing is left on it."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace
from uuid import UUID

import pytest

from controller.drains import emptied, evacuate, with_drains
from controller.nodes import Node, settle
from controller.records import Adoption, Departure, NodeDraining, PartitionsAdopted, PartitionsReleased
from controller.rules import ClusterRules
from controller.state import MetadataState
from controller.topics import create_topic
from raylog.model.admin import NewTopic
from raylog.model.errors import InvalidError, RetryError

RULES = ClusterRules(wal_classes=("file", "object"), default_wal="file", leaders_per_class=1, topic_partitions_max=100)
MOUNTS = {"file": "", "object": ""}
A, B, C = (Node(name=name, start_id=f"start-{name}", mounts=MOUNTS) for name in "abc")
A_LEAVES = replace(A, is_draining=True)


class World:
    def __init__(self, *nodes: Node) -> None:
        self.state = MetadataState()
        self.nodes = nodes
        self.topics = 0

    def create(self, partitions: int, **configs: str) -> None:
        self.topics += 1
        topic = NewTopic(name=f"t{self.topics}", partitions=partitions, configs=dict(configs))
        rules = replace(RULES, nodes=self.nodes)
        self.apply(create_topic(self.state, rules, topic, UUID(int=self.topics)).records)

    def adopt(self) -> None:
        for leader_id in list(self.state.leaders):
            led = tuple(
                Adoption(*partition, 7)
                for partition in self.state.led_by(leader_id)
                if self.state.partition(partition).epoch_base is None
            )
            self.apply([PartitionsAdopted(leader_id=leader_id, adopted=led)])

    def release(self) -> None:
        """Every leader hands over what is to move."""
        for leader_id in list(self.state.leaders):
            leaving = tuple(
                Departure(*partition, 1, 9)
                for partition in self.state.led_by(leader_id)
                if self.state.partition(partition).moving_to is not None
            )
            self.apply([PartitionsReleased(leader_id=leader_id, released=leaving)])

    def apply(self, records) -> None:
        for record in records:
            self.state.apply(record)
            self.state.validate()

    def drain(self, *nodes: Node) -> None:
        self.nodes = nodes
        self.apply([*settle(self.state, nodes), *evacuate(self.state, nodes)])

    def led(self) -> Counter:
        """Partitions by node."""
        return Counter(
            self.state.leaders[partition.leader_id].node
            for topic in self.state.topics.values()
            for partition in topic.partitions
        )


def test_all_that_a_draining_node_leads_moves_to_the_least_loaded_elsewhere():
    world = World(A, B, C)
    world.create(9)
    world.adopt()
    world.drain(A_LEAVES, B, C)
    assert emptied(world.state, world.nodes) == []
    assert evacuate(world.state, world.nodes) == (), "once is enough"
    world.release()
    assert world.led() == {"b": 5, "c": 4} or world.led() == {"b": 4, "c": 5}
    assert emptied(world.state, world.nodes) == [A_LEAVES]


def test_what_is_still_being_taken_over_moves_later():
    world = World(A, B)
    world.create(4)
    world.drain(A_LEAVES, B)
    world.release()
    assert world.led() == {"a": 2, "b": 2}
    world.adopt()
    world.drain(A_LEAVES, B)
    world.release()
    assert world.led() == {"b": 4}


def test_a_move_to_a_node_that_drains_as_well_goes_elsewhere():
    world = World(A, B, C)
    world.create(3)
    world.adopt()
    world.drain(A_LEAVES, B, C)  # a's partition is to go to b or c
    [partition] = world.state.led_by(1)
    target = world.state.partition(partition).moving_to
    leaving = B if world.state.leaders[target].node == "b" else C
    others = [node if node is not leaving else replace(node, is_draining=True) for node in (B, C)]
    world.drain(A_LEAVES, *others)
    assert world.state.leaders[world.state.partition(partition).moving_to].node not in ("a", leaving.name)


def test_a_move_to_a_node_that_drains_meanwhile_is_called_off():
    world = World(A, B)
    world.create(2)
    world.adopt()
    world.drain(A_LEAVES, B)
    [partition] = world.state.led_by(1)
    assert world.state.partition(partition).moving_to == 2
    world.drain(A, replace(B, is_draining=True))
    assert world.state.partition(partition).moving_to is None
    world.release()
    assert world.led() == {"a": 2}


def test_a_dedicated_leaders_partition_gets_another_dedicated_leader():
    world = World(A, B)
    world.create(2, **{"raylog.leader": "dedicated"})
    world.adopt()
    world.drain(A_LEAVES, B)
    world.release()
    assert world.led() == {"b": 2}
    assert all(leader.dedicated for leader in world.state.leaders.values())


def test_what_no_other_node_can_lead_stays():
    world = World(A, Node(name="b", mounts={"object": ""}))
    world.create(1)
    world.adopt()
    world.drain(A_LEAVES, world.nodes[1])
    world.release()
    assert world.led() == {"a": 1}
    assert emptied(world.state, world.nodes) == []


def test_an_operators_drain_lasts_until_the_node_is_gone():
    world = World(A, B)
    world.apply([NodeDraining(node="a", is_draining=True)])
    assert with_drains(world.state, (A, B)) == (A_LEAVES, B)
    world.apply(settle(world.state, (A, B)))
    assert world.state.draining == {"a"}
    world.apply(settle(world.state, (B,)))
    assert world.state.draining == set()


@dataclass
class NodeLauncher:
    """Records what it was asked for."""

    calls: list[tuple[object, ...]] = field(default_factory=list)
    refusals: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def ensure_gateways(self, node: str) -> None:
        self._note("open", node)

    async def clear(self, node: str, leaders) -> None:
        self._note("clear", node, *leaders)

    def _note(self, *call: object) -> None:
        if self.refusals:
            self.refusals -= 1
            raise RetryError("Not now.")
        self.calls.append(call)
        self.news.set()

    async def called(self, call: tuple[object, ...]) -> None:
        while call not in self.calls:
            self.news.clear()
            await self.news.wait()


async def test_the_controller_opens_nodes_and_clears_those_that_are_drained(cluster):
    nodes = NodeLauncher(refusals=2)
    controller = await cluster.start((), nodes=[A, B], node_launcher=nodes, leaders_per_class=1)
    await nodes.called(("open", "a"))
    await nodes.called(("open", "b"))
    await controller.register_broker("a", "h", 1, None)
    with pytest.raises(InvalidError, match="the nodes are a, b"):
        await controller.drain_node("c")
    await controller.drain_node("b")
    # b's leader has not adopted anything: it is not cleared before it has, and has released it again.
    assert ("clear", "b", 2) not in nodes.calls
    await controller.see_nodes([A])
    assert (await controller.status())["nodes"][0]["draining"] is False
    nodes.calls.clear()
    await controller.see_nodes([A, replace(B, start_id="again")])
    await nodes.called(("open", "b"))
    state = await controller.status()
    assert [node["draining"] for node in state["nodes"]] == [False, False]


async def test_a_node_that_leads_nothing_is_cleared_at_once_and_opened_again_when_the_drain_is_taken_back(cluster):
    nodes = NodeLauncher()
    empty = replace(C, mounts={})
    controller = await cluster.start((), nodes=[A, empty], node_launcher=nodes, leaders_per_class=1)
    await nodes.called(("open", "c"))
    broker = await controller.register_broker("c", "h", 3, None)
    await controller.drain_node("c")
    await nodes.called(("clear", "c"))
    assert broker not in (await controller.watch_routes(0)).brokers
    nodes.calls.clear()
    await controller.drain_node("c", drain=False)
    await nodes.called(("open", "c"))
