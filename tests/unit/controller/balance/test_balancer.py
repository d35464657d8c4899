"""The balancer in a controller: what leaders report makes partitions move, once, and not more than are to."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from controller.nodes import Node
from raylog.model.admin import Adopted, ConfigAlteration, ConfigChange, Move, NewTopic, Released
from raylog.model.ids import LeaderId, LogEpoch, TopicPartition
from raylog.model.limits import BalanceLimits, Limits
from raylog.model.load import LoadReport, PartitionLoad

EPOCH = LogEpoch(1)
LIMITS = Limits(balance=BalanceLimits(move_bytes_min=1000, move_partitions_min=100, moves_max=3))
ON = {"offsets.topic.num.partitions": "2", "auto.leader.rebalance.enable": "true"}
OFF = {**ON, "auto.leader.rebalance.enable": "false"}


class Leaders:
    """Leaders 1 and 2, which hand over and take over at once what they are told to, and report the loads that they are given."""

    def __init__(self, controller: Any, make_endpoint: Any) -> None:
        self.controller = controller
        self.make_endpoint = make_endpoint
        self.base = -1
        self.loads: dict[str, float] = {}
        """Of each of a topic's partitions."""
        self.assigned: dict[int, Any] = {}

    async def register(self, *leaders: int) -> None:
        for leader_id in leaders:
            self.assigned[leader_id] = await self.controller.register_leader(self.make_endpoint(leader_id))
        await self.settle()

    async def settle(self) -> None:
        """Until nothing is to be done."""
        while any([await self._follow(LeaderId(leader_id)) for leader_id in self.assigned]):
            pass

    async def report(self) -> None:
        for leader_id in self.assigned:
            partitions = tuple(
                PartitionLoad(a.partition, self.loads[a.topic_name], 0.0, 0.0)
                for a in self.assigned[leader_id].partitions
                if a.topic_name in self.loads
            )
            await self._poll(LeaderId(leader_id), LoadReport(partitions=partitions, cpu=0.1))

    def led(self, leader_id: int, topic: str) -> int:
        return sum(a.topic_name == topic for a in self.assigned[leader_id].partitions)

    async def _poll(self, leader_id: LeaderId, load: LoadReport | None = None) -> None:
        version = self.assigned[leader_id].version
        polling = asyncio.ensure_future(self.controller.watch_assignments(leader_id, EPOCH, version, load))
        for _ in range(20):
            await asyncio.sleep(0)
        if polling.done():
            self.assigned[leader_id] = polling.result() or self.assigned[leader_id]
        else:
            polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)

    async def _follow(self, leader_id: LeaderId) -> bool:
        await self._poll(leader_id)
        assigned = self.assigned[leader_id]
        new = [a for a in assigned.partitions if not a.adopted]
        if new:
            self.base += 2
            adopted = [Adopted(partition=a.partition, epoch_base=self.base) for a in new]
            await self.controller.report_adopted(leader_id, EPOCH, adopted)
            known = tuple(replace(a, adopted=True) for a in assigned.partitions)
            self.assigned[leader_id] = replace(assigned, partitions=known)
        for partition in assigned.handing_over:
            base = self.controller._journal.durable.partition(partition).epoch_base
            released = [Released(partition=partition, epoch_base=base, handover=7)]
            await self.controller.report_released(leader_id, EPOCH, released)
        if assigned.handing_over:
            self.assigned[leader_id] = replace(self.assigned[leader_id], handing_over=())
        return bool(new or assigned.handing_over)


@pytest.fixture
def make(cluster: Any, leader_endpoint: Any) -> Any:
    cluster.limits = LIMITS

    async def start(broker_configs: dict[str, str], **topics: int) -> Leaders:
        controller = await cluster.start((), broker_configs=broker_configs)
        for name, count in topics.items():
            await controller.create_topics([NewTopic(name=name, partitions=count)], timeout_ms=0)
        leaders = Leaders(controller, leader_endpoint)
        await leaders.register(1, 2)
        return leaders

    return start


async def skewed(leaders: Leaders, topic: str = "hot") -> None:
    """All of the topic's partitions to leader 1, and its load reported."""
    controller = leaders.controller
    moves = [
        Move(topic=topic, partition=number, to_leader=LeaderId(1))
        for number in range(leaders.led(1, topic) + leaders.led(2, topic))
    ]
    await controller.move_partitions(moves)
    await leaders.settle()
    controller._balancer.book._moved_s.clear()  # as if that had been long ago
    leaders.loads[topic] = 10_000.0
    await leaders.report()


async def test_a_round_moves_what_levels_the_loads_and_the_next_one_nothing(make: Any) -> None:
    leaders = await make(OFF, hot=4)
    await skewed(leaders)
    assert leaders.led(1, "hot") == 4
    seen = await leaders.controller.balance()
    assert [(move["from"], move["to"], move["reason"]) for move in seen["moves"]] == [(1, 2, "load")] * 2
    moved = await leaders.controller.balance_now()
    assert len(moved["hot"]) == 2
    await leaders.settle()
    assert (leaders.led(1, "hot"), leaders.led(2, "hot")) == (2, 2)
    assert await leaders.controller.balance_now() == {}
    await leaders.report()
    assert await leaders.controller.balance_now() == {}


async def test_no_more_moves_are_under_way_than_are_to(make: Any) -> None:
    leaders = await make(OFF, hot=12)
    await skewed(leaders)
    assert len((await leaders.controller.balance_now())["hot"]) == LIMITS.balance.moves_max
    assert await leaders.controller.balance_now() == {}
    seen = await leaders.controller.balance(("hot", 11))
    assert seen["moving"] == LIMITS.balance.moves_max
    assert seen["pools"][0]["verdict"] == "bound"


async def test_partitions_move_by_themselves_when_that_is_switched_on(make: Any) -> None:
    leaders = await make(OFF, hot=4)
    await skewed(leaders)
    for _ in range(200):
        await asyncio.sleep(0)
    assert leaders.led(1, "hot") == 4
    change = ConfigChange(key="auto.leader.rebalance.enable", op=0, value="true")
    await leaders.controller.alter_configs([ConfigAlteration(resource_type=4, name="", changes=(change,))])
    async with asyncio.timeout(20):
        while leaders.led(1, "hot") > 2:
            await leaders.settle()
            await asyncio.sleep(0)
    assert (leaders.led(1, "hot"), leaders.led(2, "hot")) == (2, 2)


async def test_a_silent_cluster_is_not_planned_for_again(make: Any) -> None:
    leaders = await make(OFF, hot=4)
    await leaders.report()
    balancer = leaders.controller._balancer
    assert not balancer._nothing_is_new()
    await leaders.controller.balance_now()
    assert balancer._nothing_is_new()
    await leaders.report()
    assert balancer._nothing_is_new()
    leaders.loads["hot"] = 10_000.0
    await leaders.report()
    assert not balancer._nothing_is_new()


async def test_a_topic_that_becomes_dedicated_gets_leaders_of_its_own(make: Any) -> None:
    leaders = await make(OFF, own=2, other=2)
    change = ConfigChange(key="raylog.leader", op=0, value="dedicated")
    [result] = await leaders.controller.alter_configs(
        [ConfigAlteration(resource_type=2, name="own", changes=(change,))]
    )
    assert result.error_code == 0, result
    assert sorted((await leaders.controller.balance_now())["own"]) == [0, 1]
    state = leaders.controller._journal.durable
    new = sorted(leader_id for leader_id, leader in state.leaders.items() if leader.dedicated)
    assert len(new) == 2
    await leaders.register(*new)
    assert [leaders.led(leader_id, "own") for leader_id in new] == [1, 1]
    assert leaders.led(1, "own") == leaders.led(2, "own") == 0
    explained = (await leaders.controller.balance(("own", 0)))["explanation"]
    assert explained["stay"] == "own_leader"

    back = ConfigChange(key="raylog.leader", op=1, value=None)
    await leaders.controller.alter_configs([ConfigAlteration(resource_type=2, name="own", changes=(back,))])
    assert sorted((await leaders.controller.balance_now())["own"]) == [0, 1]
    await leaders.settle()
    assert [leaders.led(leader_id, "own") for leader_id in new] == [0, 0]


async def test_a_move_whose_leader_never_comes_is_called_off(make: Any, monkeypatch: Any) -> None:
    leaders = await make(OFF, own=1)
    change = ConfigChange(key="raylog.leader", op=0, value="dedicated")
    await leaders.controller.alter_configs([ConfigAlteration(resource_type=2, name="own", changes=(change,))])
    assert (await leaders.controller.balance_now())["own"] == [0]
    journal = leaders.controller._journal
    topic = journal.durable.topic("own")
    place = TopicPartition(topic.topic_id, 0)
    assert journal.durable.partition(place).moving_to == 3
    balancer = leaders.controller._balancer
    monkeypatch.setattr(balancer, "_limits", replace(LIMITS.balance, move_s_max=1e-9))
    balancer._call_off_what_hangs()
    await journal.settled()
    assert journal.durable.partition(place).moving_to is None


async def test_the_balance_is_plain_data(make: Any) -> None:
    leaders = await make(OFF, hot=2)
    seen = json.loads(json.dumps(await leaders.controller.balance(("hot", 0))))
    assert [row["leader"] for row in seen["leaders"]] == [1, 2]
    assert seen["leaders"][0]["cpu"] is None and not seen["enabled"]
    assert seen["explanation"]["stay"] == "unmeasured"
    await leaders.report()
    seen = await leaders.controller.balance(("hot", 0))
    assert seen["leaders"][0]["cpu"] == 0.1
    assert seen["explanation"]["stay"] == "balanced"
    assert (await leaders.controller.balance(("hot", 9)))["explanation"] is None


async def test_no_leader_is_added_for_what_no_node_takes_that_does_not_drain(
    cluster: Any, leader_endpoint: Any
) -> None:
    nodes = [
        Node(name="node-a", start_id="a", mounts={"file": "", "object": ""}),
        Node(name="node-b", start_id="b", mounts={"object": ""}),
    ]
    controller = await cluster.start((), broker_configs=OFF, nodes=nodes, leaders_per_class=1)
    leaders = Leaders(controller, leader_endpoint)
    await leaders.register(1)
    await controller.drain_node("node-a")
    seen = await controller.balance()
    assert [leader["standing"] for leader in seen["leaders"]] == ["draining"]
    assert seen["shortages"] == [{"wal": "file", "dedicated": False, "partitions": 2}]
    assert await controller.balance_now() == {}
    assert len((await controller.status())["leaders"]) == 1
