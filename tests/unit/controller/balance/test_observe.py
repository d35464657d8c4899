"""What the planner is shown of leaders on nodes that drain, of which there are too many, or whose node is gone."""

from uuid import UUID

import pytest

from controller.balance.book import LoadBook
from controller.balance.observe import sight, view_of
from controller.balance.plan import Reason
from controller.balance.planner import plan
from controller.balance.views import Goals, Standing
from controller.nodes import Node
from controller.records import Adoption, LeaderAdded, LeaderPlaced, LeaderRegistered, NodeDraining, PartitionsAdopted
from controller.rules import ClusterRules
from controller.state import MetadataState
from controller.topics import create_topic
from raylog.model.admin import NewTopic
from raylog.model.limits import BalanceLimits
from tests.harness.manual_clock import ManualClock

NODES = tuple(Node(name=name, start_id=name, mounts={"file": ""}) for name in "ab")
RULES = ClusterRules(
    wal_classes=("file",), default_wal="file", leaders_per_class=1, topic_partitions_max=100, nodes=NODES
)


@pytest.fixture
def state():
    """Leader 1 is on node a and leads two partitions, leader 2 as many on node b, which drains."""
    made = MetadataState()
    topic = NewTopic(name="t", partitions=4)
    for record in create_topic(made, RULES, topic, UUID(int=1)).records:
        made.apply(record)
    for leader_id in made.leaders:
        adopted = tuple(Adoption(*partition, 7) for partition in made.led_by(leader_id))
        made.apply(PartitionsAdopted(leader_id=leader_id, adopted=adopted))
    made.apply(NodeDraining(node="b", start_id="b", is_draining=True))
    return made


def seen(state, is_there, is_resting=lambda _: False):
    return view_of(sight(state, RULES, LoadBook(ManualClock(), BalanceLimits()), is_there, is_resting, capacity=1e6))


def test_leaders_of_a_draining_node_are_draining_and_only_lose_partitions(state):
    view = seen(state, lambda _: True)
    assert [leader.standing for leader in view.leaders] == [Standing.OPEN, Standing.DRAINING]
    moves = plan(view, Goals()).moves
    assert [(move.source, move.target, move.reason) for move in moves] == [(2, 1, Reason.DRAINED)] * 2


def test_one_that_does_not_answer_is_away(state):
    view = seen(state, lambda leader_id: leader_id == 1)
    assert [leader.standing for leader in view.leaders] == [Standing.OPEN, Standing.AWAY]


def test_one_that_rests_is_open_and_has_nothing_to_do(state):
    view = seen(state, lambda leader_id: leader_id == 2, lambda leader_id: leader_id == 1)
    assert [leader.standing for leader in view.leaders] == [Standing.OPEN, Standing.DRAINING]
    assert [leader.is_measured for leader in view.leaders] == [True, False]


def test_of_two_leaders_on_a_node_that_is_to_have_one_the_other_is_emptied(state):
    state.apply(NodeDraining(node="b", start_id="b", is_draining=False))
    state.apply(LeaderRegistered(leader_id=2, log_epoch=1, node_id="a", unix_path="", host="", port=1))
    view = seen(state, lambda _: True)
    assert [leader.standing for leader in view.leaders] == [Standing.OPEN, Standing.SURPLUS]
    moves = plan(view, Goals()).moves
    assert [(move.source, move.target, move.reason) for move in moves] == [(2, 1, Reason.SURPLUS)] * 2


def test_one_that_leads_nothing_and_belongs_nowhere_gets_nothing(state):
    for leader_id in (3, 4):
        state.apply(LeaderAdded(leader_id=leader_id, wal_class="file", node="a"))
    state.apply(LeaderPlaced(leader_id=4, node=""))
    view = seen(state, lambda leader_id: leader_id < 3)
    assert [leader.standing for leader in view.leaders[2:]] == [Standing.SURPLUS, Standing.AWAY]
