"""What the size planner is shown: who is to be counted, and what of it is known."""

from dataclasses import replace
from uuid import UUID

import pytest

from controller.balance.book import LoadBook
from controller.nodes import Node
from controller.records import Adoption, LeaderAdded, LeaderRegistered, NodeDraining, PartitionsAdopted
from controller.rules import ClusterRules
from controller.scaling.gateways import GatewayBook
from controller.scaling.observe import Observer
from controller.scaling.views import Demand, Kind, Standing
from controller.state import MetadataState
from controller.topics import create_topic
from raylog.model.admin import NewTopic
from raylog.model.ids import LeaderId, LogEpoch
from raylog.model.limits import BalanceLimits
from raylog.model.load import LoadReport, PartitionLoad
from tests.harness.manual_clock import ManualClock

A = Node(name="a", start_id="a", mounts={"file": ""}, cpus=2.0, leaders=1, is_head=True)
B = replace(A, name="b", start_id="b", is_head=False)
RULES = ClusterRules(wal_classes=("file",), default_wal="file", leaders_per_class=1, topic_partitions_max=100)
CAPACITY = 1000.0


class World:
    def __init__(self, *nodes):
        self.rules = replace(RULES, nodes=nodes)
        self.state = MetadataState()
        self.clock = ManualClock()
        self.book = LoadBook(self.clock, BalanceLimits())
        self.gateways = GatewayBook(self.clock, report_s=10.0)
        for node in nodes:
            self.gateways.report(node.name, 0, 0.0)
        self.cleared = set()
        self.resting = set()
        self.observer = Observer(
            self.book,
            self.gateways,
            lambda node: node.name in self.cleared,
            lambda leader_id: leader_id in self.resting,
            "a",
            capacity=CAPACITY,
        )

    def create(self, partitions, **configs):
        topic = NewTopic(name=f"t{len(self.state.topics)}", partitions=partitions, configs=dict(configs))
        topic_id = UUID(int=len(self.state.topics) + 1)
        self.apply(*create_topic(self.state, self.rules, topic, topic_id).records)
        for leader_id, leader in self.state.leaders.items():
            led = tuple(Adoption(*partition, 7) for partition in self.state.led_by(leader_id))
            self.apply(
                LeaderRegistered(
                    leader_id=leader_id, log_epoch=LogEpoch(1), node_id=leader.node, unix_path="", host="", port=1
                ),
                PartitionsAdopted(leader_id=leader_id, adopted=led),
            )

    def apply(self, *records):
        for record in records:
            self.state.apply(record)

    def drain(self, name, *, for_scaling=True):
        self.apply(NodeDraining(node=name, start_id=name, is_draining=True, for_scaling=for_scaling))
        nodes = tuple(replace(n, is_draining=n.is_draining or n.name == name) for n in self.rules.nodes)
        self.rules = replace(self.rules, nodes=nodes)

    def report(self, leader_id, load, cpu=0.0):
        [first, *_] = self.state.led_by(LeaderId(leader_id))
        report = LoadReport(partitions=(PartitionLoad(first, load, 0.0, 0.0),), cpu=cpu)
        self.book.report(LeaderId(leader_id), LogEpoch(1), report)

    def look(self, now_s=0.0):
        return self.observer.look(self.state, self.rules, now_s)

    def uses(self):
        return {demand.kind: demand.use for demand in self.look().demands}


@pytest.fixture
def world():
    """Two nodes of two CPUs, with one leader each that leads something."""
    made = World(A, B)
    made.create(2)
    return made


def test_load_and_cpu_are_of_all_nodes_together(world):
    world.report(1, 600.0, cpu=0.5)
    assert not world.look().is_measured
    world.report(2, 200.0, cpu=0.1)
    world.gateways.report("a", 0, 0.75)
    world.gateways.report("b", 0, 0.25)
    seen = world.look()
    assert seen.is_measured
    assert seen.demands == (
        Demand(kind=Kind.LOAD, wal_class="file", use=0.4),
        Demand(kind=Kind.GATEWAYS, use=0.5),
        Demand(kind=Kind.CPU, use=(0.6 + 1.0) / 4),
    )
    assert [(node.name, node.use, node.partitions) for node in seen.nodes] == [("a", 0.6, 1), ("b", 0.2, 1)]
    assert [(node.is_head, node.has_controller) for node in seen.nodes] == [(True, True), (False, False)]


def test_what_a_node_that_goes_does_is_to_be_done_by_those_that_stay(world):
    world.report(1, 600.0)
    world.report(2, 200.0)
    world.drain("b")
    assert world.uses()[Kind.LOAD] == 0.8


def test_what_gateways_of_a_node_that_goes_do_is_to_be_done_by_those_that_stay(world):
    world.gateways.report("a", 0, 0.25)
    world.gateways.report("a", 1, 0.25)
    world.gateways.report("b", 0, 0.5)
    assert world.uses()[Kind.GATEWAYS] == pytest.approx(1 / 3)
    world.drain("b")
    assert world.uses()[Kind.GATEWAYS] == 0.5


def test_a_node_whose_gateways_have_not_told_lately_is_not_measured(world):
    world.report(1, 600.0)
    world.report(2, 200.0)
    world.gateways.report("a", 0, 0.25)
    world.clock.now_s += 20
    world.gateways.report("b", 0, 0.75)
    assert world.look().is_measured
    world.clock.now_s += 20
    assert not world.look().is_measured
    assert world.uses()[Kind.GATEWAYS] == 0.75, "that of a gateway that may have ended does not count"


def test_a_leader_that_leads_nothing_any_more_does_nothing(world):
    world.report(1, 600.0)
    world.report(2, 200.0)
    world.apply(LeaderAdded(leader_id=LeaderId(3), wal_class="file", node="b"))
    assert world.uses()[Kind.LOAD] == 0.4
    assert world.look().is_measured, "the new one is not waited for"


def test_a_leader_that_rests_has_nothing_to_tell(world):
    world.resting = {2}
    world.report(1, 600.0)
    assert world.look().is_measured
    assert world.uses()[Kind.LOAD] == 0.3


def test_a_node_without_leaders_yet_counts_with_those_that_it_is_to_get(world):
    world.report(1, 600.0)
    world.report(2, 200.0)
    c = replace(B, name="c", start_id="c", leaders=2)
    world.rules = replace(world.rules, nodes=(A, B, c))
    assert world.uses()[Kind.LOAD] == 0.2


def test_dedicated_leaders_count_by_their_cpu_alone():
    world = World(A, B)
    world.create(1, **{"raylog.leader": "dedicated"})
    world.report(1, 600.0, cpu=1.0)
    assert world.uses() == {Kind.GATEWAYS: 0.0, Kind.CPU: 0.25}


def test_a_leader_that_waits_for_its_volume_is_not_waited_for():
    disk = replace(B, mounts={"file": "vol-b"})
    world = World(replace(A, mounts={"file": "vol-a"}), disk)
    world.create(2)
    world.report(1, 600.0)
    world.rules = replace(world.rules, nodes=world.rules.nodes[:1])
    assert world.look().is_measured
    assert world.uses()[Kind.LOAD] == 0.6


def test_who_wants_a_drain_and_how_far_it_is_are_told(world):
    world.drain("b")
    assert [node.standing for node in world.look().nodes] == [Standing.SERVES, Standing.LEAVING]
    world.cleared.add("b")
    assert [node.standing for node in world.look().nodes] == [Standing.SERVES, Standing.LEFT]
    world.drain("b", for_scaling=False)
    assert [node.standing for node in world.look().nodes] == [Standing.SERVES, Standing.DRAINED]


def test_a_node_is_as_old_as_its_start_is_known(world):
    assert [node.age_s for node in world.look(10.0).nodes] == [0.0, 0.0]
    world.rules = replace(world.rules, nodes=(A, replace(B, start_id="again")))
    assert [node.age_s for node in world.look(25.0).nodes] == [15.0, 0.0]


def test_where_ray_counts_no_cpus_none_are_judged(world):
    world.rules = replace(world.rules, nodes=(replace(A, cpus=0.0), replace(B, cpus=0.0)))
    world.report(1, 600.0, cpu=1.0)
    assert Kind.CPU not in world.uses()
