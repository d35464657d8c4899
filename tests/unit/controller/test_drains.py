"""A node that drains: its partitions go to leaders elsewhere, then clients are sent elsewhere, then nothing is left on it."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace
from uuid import UUID

import pytest

from controller.brokers import register_broker, shown_brokers
from controller.drains import (
    emptied,
    evacuate,
    give_back,
    keep_drains,
    left_on,
    order_drain,
    take_back,
    with_drains,
)
from controller.moves import move_partitions
from controller.nodes import Node, settle
from controller.records import Adoption, Departure, PartitionsAdopted, PartitionsReleased
from controller.rules import ClusterRules
from controller.state import MetadataState
from controller.topics import create_topic, delete_topic
from raylog.model.admin import Move, NewTopic, TopicSelector
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
        self.starting: set[int] = set()
        """Leaders that are not there yet."""
        for port, node in enumerate(nodes):
            self.apply(register_broker(self.state, node_id=node.name, host="h", port=port, rack=None)[1])

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
        """These nodes are there, of which Ray drains some."""
        self.apply(keep_drains(self.state, nodes))
        self.nodes = with_drains(self.state, nodes)
        self.apply(settle(self.state, self.nodes))
        self.apply(self.evacuation())

    def evacuation(self):
        return evacuate(self.state, self.nodes, lambda leader_id: leader_id not in self.starting)

    def order(self, name: str, *, drain: bool = True) -> None:
        """By an operator; Ray drains nothing."""
        present = [replace(node, is_draining=False) for node in self.nodes]
        self.apply(order_drain(self.state, present, name, drain=drain))
        self.drain(*present)

    def shown(self) -> list[str]:
        return [broker.node_id for broker in shown_brokers(self.state)]

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
    assert world.evacuation() == (), "once is enough"
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


def test_what_leaves_goes_to_leaders_that_are_there_rather_than_to_those_that_lead_least():
    world = World(A, B, C)
    world.create(9)
    world.adopt()
    world.starting = {3}  # c's, which could take it only when the node may be gone
    world.drain(A_LEAVES, B, C)
    world.release()
    assert world.led() == {"b": 6, "c": 3}


def test_what_waits_for_a_leader_to_start_goes_to_one_that_comes_up_before_it():
    world = World(A, B, C)
    world.create(6)
    world.adopt()
    world.starting = {2, 3}
    world.drain(A_LEAVES, B, C)
    world.starting = {3}
    world.apply(world.evacuation())
    assert world.evacuation() == (), "once is enough"
    world.release()
    assert world.led() == {"b": 4, "c": 2}


def test_what_waits_for_the_only_leader_elsewhere_goes_on_waiting():
    world = World(A, B)
    world.create(2)
    world.adopt()
    world.drain(A_LEAVES, B)
    world.starting = {2}
    assert world.evacuation() == ()
    world.release()
    assert world.led() == {"b": 2}


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

    left = left_on(world.state, world.nodes, "a")
    assert (left.partitions, left.staying) == (1, {"file": 1})


def test_an_operators_drain_lasts_until_that_start_of_the_node_is_gone():
    world = World(A, B)
    world.order("a")
    assert world.nodes == (A_LEAVES, B)
    world.drain(A, B)
    assert world.state.draining == {"a": "start-a"}
    again = replace(A, start_id="start-again")
    world.drain(again, B)
    assert world.nodes == (again, B)
    assert world.state.draining == {}


def test_an_operators_drain_is_taken_back_and_rays_is_not():
    world = World(A, B, C)
    world.order("a")
    world.order("a", drain=False)
    assert (world.nodes, world.state.draining) == ((A, B, C), {})
    world.drain(A_LEAVES, B, C)
    with pytest.raises(InvalidError, match="Ray that takes node 'a' away"):
        order_drain(world.state, world.nodes, "a", drain=False)


def test_clients_are_sent_to_other_nodes_from_a_drains_beginning():
    world = World(A, B, C)
    world.order("b")
    assert world.shown() == ["a", "c"]
    world.order("b", drain=False)
    assert world.shown() == ["a", "b", "c"]
    world.drain(*(replace(node, is_draining=True) for node in (A, B, C)))
    assert world.shown() == ["a", "b", "c"], "somebody must be"


def test_a_node_is_cleared_only_when_clients_have_another_broker():
    world = World(A)
    world.drain(A_LEAVES, B)
    assert emptied(world.state, world.nodes) == []
    world.apply(register_broker(world.state, node_id="b", host="h", port=9, rack=None)[1])
    assert emptied(world.state, world.nodes) == [A_LEAVES]


def test_the_last_node_is_not_drained():
    world = World(A, B)
    world.order("a")
    with pytest.raises(InvalidError, match="last one that is not drained"):
        order_drain(world.state, (A, B), "b", drain=True)
    world.drain(A)
    assert (world.nodes, world.state.draining) == ((A,), {}), "the other has gone, so this one has its share again"


def test_a_node_that_is_given_back_is_emptied_and_can_be_taken_back():
    world = World(A, B)
    world.create(4)
    world.adopt()
    world.apply(give_back(world.state, world.nodes, "b"))
    world.drain(A, B)
    world.release()
    assert world.led() == {"a": 4}
    assert give_back(world.state, world.nodes, "b") == (), "once is enough"
    world.apply(take_back(world.state, "b"))
    world.drain(A, B)
    assert (world.state.draining, world.state.given_back) == ({}, set())
    assert take_back(world.state, "b") == ()


def test_what_is_given_back_is_an_operators_as_soon_as_he_says_so():
    world = World(A, B)
    world.apply(give_back(world.state, world.nodes, "b"))
    world.order("b")
    assert take_back(world.state, "b") == ()
    world.order("b", drain=False)
    assert world.state.draining == {}
    world.apply(give_back(world.state, world.nodes, "b"))
    world.order("b", drain=False)
    assert world.state.draining == {}


def test_of_a_node_that_came_back_nothing_is_given_back():
    world = World(A, B)
    world.apply(give_back(world.state, world.nodes, "b"))
    world.drain(A, replace(B, start_id="again"))
    assert (world.state.draining, world.state.given_back) == ({}, set())
    assert give_back(world.state, world.nodes, "c") == (), "it is not there"


def test_nothing_new_goes_to_a_draining_node():
    world = World(A, B)
    world.create(2)
    world.create(2, **{"raylog.leader": "dedicated"})
    world.adopt()
    world.order("b")
    world.release()
    world.adopt()
    world.create(2)
    world.create(2, **{"raylog.leader": "dedicated"})
    assert world.led() == {"a": 8}
    records, [result] = move_partitions(world.state, [Move(topic="t1", partition=0, to_leader=2)])
    assert records == ()
    assert "on node 'b', which is drained" in result.error_message


def test_a_free_dedicated_leader_elsewhere_is_used_again():
    world = World(A, B)
    world.create(4, **{"raylog.leader": "dedicated"})
    world.adopt()
    count = len(world.state.leaders)
    world.apply(delete_topic(world.state, RULES, TopicSelector(name="t1")).records)
    world.create(1, **{"raylog.leader": "dedicated"})
    world.adopt()
    [node] = world.led()
    world.order(node)
    world.release()
    assert node not in world.led()
    assert len(world.state.leaders) == count


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
    a = await controller.register_broker("a", "h", 1, None)
    await controller.register_broker("b", "h", 2, None)
    with pytest.raises(InvalidError, match=r"no node 'c': .* \(a, b\)"):
        await controller.drain_node("c")
    await controller.drain_node("b")
    assert (await controller.watch_routes(0)).brokers == (a,)
    drain = (await controller.status())["nodes"][1]["drain"]
    assert drain == {"partitions": 2, "staying": {}, "is_over": False}
    # b's leader has not adopted anything: it is not cleared before it has, and has released it again.
    assert ("clear", "b", 2) not in nodes.calls
    await controller.see_nodes([A])
    assert (await controller.status())["nodes"][0]["drain"] is None
    nodes.calls.clear()
    await controller.see_nodes([A, replace(B, start_id="again")])
    await nodes.called(("open", "b"))
    state = await controller.status()
    assert [node["drain"] for node in state["nodes"]] == [None, None]


async def test_a_node_that_leads_nothing_is_cleared_at_once_and_opened_again_when_the_drain_is_taken_back(cluster):
    nodes = NodeLauncher()
    empty = replace(C, mounts={})
    controller = await cluster.start((), nodes=[A, empty], node_launcher=nodes, leaders_per_class=1)
    await nodes.called(("open", "c"))
    a = await controller.register_broker("a", "h", 1, None)
    await controller.register_broker("c", "h", 3, None)
    await controller.drain_node("c")
    await nodes.called(("clear", "c"))
    assert (await controller.watch_routes(0)).brokers == (a,)
    assert (await controller.status())["nodes"][1]["drain"]["is_over"]
    nodes.calls.clear()
    await controller.drain_node("c", drain=False)
    await nodes.called(("open", "c"))


class HangingLauncher(NodeLauncher):
    """Ray does not answer."""

    async def ensure_gateways(self, node: str) -> None:
        await asyncio.get_running_loop().create_future()


async def test_a_node_is_emptied_whatever_is_waited_for_elsewhere(cluster):
    here = replace(A, name="node-a")  # where the leaders of these tests say that they are
    controller = await cluster.start((1,), nodes=[here, B], node_launcher=HangingLauncher(), leaders_per_class=1)
    await controller.drain_node("node-a")
    while (await controller.status())["moving_partitions"] < 2:  # noqa: ASYNC110  (nobody tells)
        await asyncio.sleep(0)
