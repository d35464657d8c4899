"""Which leaders nodes get, and where leaders may run when nodes come and go."""

from collections import Counter
from dataclasses import replace
from uuid import UUID

import pytest

from controller.nodes import Node, settle, surplus, waits_for_a_node
from controller.records import LeaderAdded, LeaderPlaced, LeaderRegistered
from controller.rules import ClusterRules
from controller.state import MetadataState
from controller.topics import create_topic
from raylog.model.admin import NewTopic

RULES = ClusterRules(wal_classes=("file", "object"), default_wal="file", leaders_per_class=2, topic_partitions_max=100)


def node(name, *, disk="", leaders=1, draining=False):
    """One that has both WAL classes, the file class's on its ``disk``."""
    return Node(name=name, mounts={"file": disk, "object": ""}, leaders=leaders, is_draining=draining)


class World:
    """A state, and the nodes that it is told of."""

    def __init__(self, *nodes):
        self.state = MetadataState()
        self.nodes = nodes
        self.topics = 0

    def create(self, partitions, **configs):
        """A topic; its partitions by node."""
        self.topics += 1
        topic = NewTopic(name=f"t{self.topics}", partitions=partitions, configs=configs)
        rules = replace(RULES, nodes=self.nodes)
        decided = create_topic(self.state, rules, topic, UUID(int=self.topics))
        self.apply(decided.records)
        led = self.state.topics[decided.topic_id].partitions
        return Counter(self.state.leaders[partition.leader_id].node for partition in led)

    def see(self, *nodes):
        self.nodes = nodes
        records = settle(self.state, nodes)
        self.apply(records)
        return [record for record in records if isinstance(record, LeaderAdded | LeaderPlaced)]

    def apply(self, records):
        for record in records:
            self.state.apply(record)
            self.state.validate()

    def register(self, leader_id, node_id):
        self.apply([LeaderRegistered(leader_id=leader_id, log_epoch=1, node_id=node_id, unix_path="", host="", port=1)])


def test_partitions_are_spread_over_the_leaders_of_all_nodes():
    world = World(node("a", leaders=2), node("b"))
    assert world.create(6) == {"a": 4, "b": 2}
    assert [leader.node for leader in world.state.leaders.values()] == ["a", "a", "b"]


def test_a_node_that_joins_gets_leaders_of_the_classes_in_use_which_later_topics_have():
    world = World(node("a"))
    world.create(2)
    added = world.see(node("a"), node("b"))
    assert [(record.wal_class, record.node) for record in added] == [("file", "b")]
    assert world.create(2) == {"a": 1, "b": 1}
    assert world.see(node("a"), node("b")) == []


def test_several_classes_get_leaders_of_different_numbers():
    world = World(node("a"))
    world.create(1)
    world.create(1, **{"raylog.wal": "object"})
    added = world.see(node("a"), node("b"), node("c"))
    assert [record.leader_id for record in added] == [3, 4, 5, 6]
    assert world.see(node("a"), node("b"), node("c")) == []


def test_a_leader_that_is_started_elsewhere_belongs_there_from_then_on():
    world = World(node("a"), node("b"))
    world.create(2)
    world.register(2, "a")
    assert world.state.leaders[2].node == "a"
    assert world.create(2) == {"a": 1, "b": 1}, "the node has a leader of its own again"


def test_a_leader_that_a_dead_node_left_is_one_too_many_and_gets_nothing_new():
    world = World(node("a"), node("b"))
    world.create(4)
    assert surplus(world.state, world.nodes) == set()
    world.register(2, "a")
    world.see(node("a"))
    assert surplus(world.state, world.nodes) == {2}, "of equals the younger"
    assert world.create(2) == {"a": 2}
    assert world.state.partition_count(1) == 4
    world.see(node("a", leaders=2))
    assert surplus(world.state, world.nodes) == set()


def test_the_leader_that_leads_least_is_the_one_too_many():
    world = World(node("a"), node("b"), node("c"))
    world.create(3)
    world.create(1, **{"raylog.leader": "dedicated"})
    world.create(1)
    for leader_id in world.state.leaders:
        world.register(leader_id, "a")
    assert surplus(world.state, world.nodes) == {2, 3}, "the first leads two, and dedicated ones do not count"


def test_one_too_many_that_has_ended_is_the_next_nodes():
    world = World(node("a"))
    world.create(1)
    world.see(node("a"), node("b"))
    world.register(2, "a")
    world.apply([LeaderPlaced(leader_id=2, node="")])
    assert surplus(world.state, world.nodes) == set()
    assert world.see(node("a"), node("c")) == [LeaderPlaced(leader_id=2, node="c")]


def test_nodes_that_come_and_go_under_new_names_do_not_gather_leaders():
    world = World(node("a"))
    world.create(2)
    for number in range(5):
        world.see(node("a"), node(f"spot-{number}"))
    assert [leader.node for leader in world.state.leaders.values()] == ["a", "spot-4"]


def test_an_idle_leader_is_not_placed_where_its_wal_is_not():
    world = World(node("a", disk="da"), node("b", disk="db"))
    world.create(1)
    assert [(leader.node, leader.mount) for leader in world.state.leaders.values()] == [("a", "da"), ("b", "db")]
    [added] = world.see(node("a", disk="da"), node("c", disk="dc"))
    assert isinstance(added, LeaderAdded)
    [placed] = world.see(node("a", disk="da"), node("c", disk="dc"), node("d", disk="db"))
    assert placed == LeaderPlaced(leader_id=2, node="d", mount="db")


def test_a_leader_waits_for_its_mount_and_takes_it_from_any_node():
    world = World(node("a", disk="da"), node("b", disk="db"))
    world.create(2)
    leader = world.state.leaders[2]
    assert not waits_for_a_node(leader, world.nodes)
    assert waits_for_a_node(leader, [node("a", disk="da")])
    assert waits_for_a_node(leader, [Node(name="none", mounts={"object": ""})])
    assert not waits_for_a_node(leader, [node("a", disk="da"), node("c", disk="db")])
    assert not waits_for_a_node(leader, [node("anywhere")]), "the class is declared to be everywhere by now"
    assert not waits_for_a_node(leader, []), "nobody tells of nodes"


def test_a_draining_node_gets_nothing_new():
    world = World(node("a"), node("b", draining=True))
    assert world.create(4) == {"a": 4}
    assert world.create(2, **{"raylog.leader": "dedicated"}) == {"a": 2}


def test_a_class_that_no_node_has_is_placed_all_the_same_and_waits():
    world = World(Node(name="a", mounts={"object": ""}))
    assert world.create(2) == {"": 2}
    assert all(waits_for_a_node(leader, world.nodes) for leader in world.state.leaders.values())


def test_dedicated_leaders_are_spread_over_nodes():
    world = World(node("a"), node("b"), node("c"))
    assert world.create(7, **{"raylog.leader": "dedicated"}) == {"a": 3, "b": 2, "c": 2}


@pytest.mark.parametrize("leaders", [1, 3])
def test_brokers_of_nodes_that_are_gone_are_retired(leaders):
    from controller.brokers import register_broker

    world = World(node("a"), node("b"))
    for number, name in enumerate("ab"):
        world.apply(register_broker(world.state, node_id=name, host="h", port=number, rack=None)[1])
    world.see(node("b", leaders=leaders))
    assert [name for name, broker in world.state.brokers.items() if not broker.retired] == ["b"]
