"""The size planner in time: loads go up and down, nodes come and go, and what is asked for follows, fast up and slowly down."""

from dataclasses import replace

import pytest

from controller.scaling.leaving import Stays
from controller.scaling.sizer import Sizer, Verdict
from controller.scaling.views import ClusterSight, Demand, Kind, NodeView, SizeGoals, Standing

GOALS = SizeGoals(nodes_min=1, nodes_max=5, use=0.5, band=0.1, up_s=15.0, down_s=300.0)
LOOK_S = 5.0


class World:
    """Equal nodes, and a load in nodes' worth. Ray is as told: ``rooms`` were asked for last, and come and go as ``ray`` says."""

    def __init__(self, nodes=1, goals=GOALS):
        self.sizer = Sizer()
        self.goals = goals
        self.now_s = 0.0
        self.load = 0.0
        self.is_measured = True
        self.nodes = {"head": NodeView(name="head", is_head=True, has_controller=True, mounts={"file": ""})}
        self.request = None
        self.came = 0
        for _ in range(nodes - 1):
            self.join()

    def join(self):
        self.came += 1
        self.nodes[f"n{self.came}"] = NodeView(name=f"n{self.came}", mounts={"file": ""})

    def serving(self):
        return [node for node in self.nodes.values() if node.standing is Standing.SERVES]

    def look(self):
        use = self.load / len(self.serving())
        sight = ClusterSight(
            nodes=tuple(
                replace(node, use=use if node.standing is Standing.SERVES else 0) for node in self.nodes.values()
            ),
            demands=(Demand(kind=Kind.LOAD, wal_class="file", use=use),) if self.load else (),
            is_measured=self.is_measured,
        )
        plan = self.sizer.look(self.now_s, sight, self.goals)
        self.now_s += LOOK_S
        if plan.verdict is Verdict.SHRINKS:
            self.stand(plan.node, Standing.LEAVING)
        elif plan.verdict is Verdict.TAKES_BACK:
            self.stand(plan.node, Standing.SERVES)
        self.request = plan.request or self.request
        return plan

    def stand(self, name, standing):
        self.nodes[name] = replace(self.nodes[name], standing=standing)

    def ray(self):
        """What Ray does: starts what there is no room for, takes what is empty and not asked for. Drains are over at once."""
        for name in [name for name, node in self.nodes.items() if node.standing is Standing.LEFT]:
            if name in self.request.without:
                del self.nodes[name]
        for name, node in self.nodes.items():
            if node.standing is Standing.LEAVING:
                self.stand(name, Standing.LEFT)
        while self.request is not None and len(self.request.rooms) > len(self.nodes):
            self.join()

    def run(self, seconds):
        """Verdicts and numbers of serving nodes, each once."""
        seen = []
        for _ in range(round(seconds / LOOK_S)):
            plan = self.look()
            self.ray()
            if not seen or seen[-1] != (plan.verdict, len(self.serving())):
                seen.append((plan.verdict, len(self.serving())))
        return seen


def test_load_goes_up_and_down_and_nodes_follow():
    world = World()
    world.load = 0.4
    assert {verdict for verdict, _ in world.run(60)} == {Verdict.ENOUGH}
    world.load = 1.9
    assert len(world.serving()) == 1
    world.run(30)
    assert len(world.serving()) == 4
    assert world.run(600) == [(Verdict.ENOUGH, 4)]
    world.load = 0.4
    assert world.run(295) == [(Verdict.SHRINKS_LATER, 4)]
    world.run(60)
    assert len(world.serving()) == len(world.nodes) == 1
    assert world.run(600) == [(Verdict.ENOUGH, 1)]


def test_one_node_at_a_time_goes_and_each_is_empty_before_the_next():
    world = World(nodes=4)
    world.load = 0.4
    while world.look().verdict is not Verdict.SHRINKS:
        pass
    for _ in range(10):
        assert world.look().verdict is Verdict.EMPTIES
    assert [node.standing for node in world.nodes.values()].count(Standing.LEAVING) == 1
    assert len(world.request.rooms) == 4, "it is still asked for"
    world.ray()
    assert world.look().verdict is Verdict.SHRINKS
    assert len(world.request.rooms) == 3


def test_a_node_that_goes_is_taken_back_when_more_is_wanted():
    world = World(nodes=3)
    world.load = 0.4
    while world.look().verdict is not Verdict.SHRINKS:
        pass
    world.load = 1.5
    verdicts = [world.look().verdict for _ in range(5)]
    assert verdicts[-1] is Verdict.ENOUGH
    assert Verdict.TAKES_BACK in verdicts
    assert Verdict.GROWS not in verdicts
    assert len(world.serving()) == 3


def test_an_empty_node_that_nobody_takes_serves_again_before_others_are_asked_for():
    world = World(nodes=2)
    world.load = 0.2
    while world.look().verdict is not Verdict.SHRINKS:
        pass
    world.stand("n1", Standing.LEFT)
    for _ in range(100):
        assert world.look().verdict in (Verdict.ENOUGH,)
        assert len(world.request.rooms) == 1
    world.load = 1.0
    assert Verdict.TAKES_BACK in [world.look().verdict for _ in range(5)]
    assert len(world.serving()) == 2
    world.load = 1.5
    assert Verdict.GROWS in [world.look().verdict for _ in range(5)]


def test_nothing_is_given_back_while_a_leader_has_not_told_what_it_does():
    world = World(nodes=3)
    world.load = 0.1
    world.is_measured = False
    assert world.run(1000) == [(Verdict.UNMEASURED, 3)]
    world.is_measured = True
    assert world.run(295)[-1][1] == 3
    world.run(100)
    assert len(world.serving()) == 1


def test_a_drain_does_not_begin_while_a_leader_has_not_told_what_it_does():
    world = World(nodes=3)
    world.load = 0.1
    world.run(295)
    world.is_measured = False
    assert world.run(300) == [(Verdict.UNMEASURED, 3)]


def test_what_is_known_to_be_needed_is_asked_for_though_not_all_is_known():
    world = World()
    world.load = 1.0
    world.is_measured = False
    world.run(30)
    assert len(world.serving()) == 2


def test_a_controller_that_starts_asks_for_nothing_before_it_knows_what_is_needed():
    world = World(nodes=2)
    world.load = 0.3
    world.is_measured = False
    assert [world.look().request for _ in range(10)] == [None] * 10
    world.is_measured = True
    assert len(world.look().request.rooms) == 2


def test_a_node_that_is_lost_is_asked_for_again():
    world = World(nodes=3)
    world.load = 1.2
    world.run(60)
    del world.nodes["n2"]
    plan = world.look()
    assert (plan.verdict, len(plan.request.rooms)) == (Verdict.GROWS, 3)


def test_the_bounds_are_told_when_they_bind():
    world = World(nodes=2, goals=replace(GOALS, nodes_max=2))
    world.load = 3.0
    assert world.run(60)[-1] == (Verdict.AT_MOST, 2)
    world = World(nodes=2, goals=replace(GOALS, nodes_min=2))
    world.load = 0.1
    assert world.run(400)[-1] == (Verdict.AT_LEAST, 2)


def test_fewer_than_the_least_are_made_more():
    world = World(goals=replace(GOALS, nodes_min=3))
    world.run(60)
    assert len(world.serving()) == 3


def test_that_each_node_must_stay_is_told_with_its_reason():
    world = World(nodes=2)
    world.nodes["n1"] = replace(world.nodes["n1"], mounts={"file": "", "fast": "disk-1"})
    world.load = 0.1
    world.run(400)
    plan = world.look()
    assert plan.verdict is Verdict.ALL_STAY
    assert plan.staying == {"head": Stays.HEAD, "n1": Stays.ONLY_TAKER}


def test_before_the_windows_are_over_it_says_that_it_waits():
    world = World(nodes=2)
    world.load = 1.0
    world.run(60)
    world.load = 2.0
    assert world.look().verdict is Verdict.GROWS_SOON
    world.load = 0.1
    assert world.look().verdict is Verdict.SHRINKS_LATER


@pytest.mark.parametrize("low", [0.45, 0.9])
def test_a_load_that_swings_faster_than_the_windows_moves_nothing(low):
    world = World(nodes=4)
    world.load = 2.0
    world.run(60)
    for _ in range(20):
        world.load = low
        world.run(100)
        world.load = 2.0
        world.run(10)
    assert len(world.serving()) == 4
