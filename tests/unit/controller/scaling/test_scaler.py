"""The size in a controller: load has it ask for nodes, empty one and give it back, and take it back, also across restarts."""

import asyncio
from dataclasses import dataclass, field

import pytest

from controller.nodes import Node
from controller.scaling.rooms import Request
from raylog.model.admin import Adopted, ConfigAlteration, ConfigChange, NewTopic, Released
from raylog.model.errors import RetryError
from raylog.model.ids import LeaderId, LogEpoch
from raylog.model.limits import BalanceLimits, Limits, ScalingLimits
from raylog.model.load import LoadReport, PartitionLoad
from raylog.model.routing import LeaderEndpoint

LIMITS = Limits(
    balance=BalanceLimits(leader_bytes_max=1000),
    scaling=ScalingLimits(up_s=1e-6, down_s=1e-6),
)
CONFIGS = {
    "offsets.topic.num.partitions": "1",
    "auto.leader.rebalance.enable": "false",
    "raylog.scaling.nodes.max": "3",
}
A = Node(name="a", start_id="a", mounts={"file": "", "object": ""}, cpus=2.0, is_head=True)
B = Node(name="b", start_id="b", mounts={"file": "", "object": ""}, cpus=2.0)
EPOCH = LogEpoch(1)


@dataclass
class Ray:
    """Takes requests for room, and has roles started and ended on nodes at once."""

    requests: list[Request] = field(default_factory=list)
    cleared: list[str] = field(default_factory=list)
    refusals: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, request: Request) -> None:
        if self.refusals:
            self.refusals -= 1
            raise RetryError("Ray's GCS is away.")
        self.requests.append(request)
        self.news.set()

    async def ensure_gateways(self, node: str) -> None: ...

    async def clear(self, node: str, leaders) -> None:
        self.cleared.append(node)

    async def asked(self, rooms: int, *without: str) -> None:
        """Until so many nodes are what is asked for."""
        while not self.requests or (len(self.requests[-1].rooms), self.requests[-1].without) != (rooms, without):
            self.news.clear()
            await self.news.wait()


class Leaders:
    """Leader n is on the n-th node; each does what it is told to, and one load is on whoever leads the topic. Each node has a
    gateway."""

    def __init__(self, controller):
        self.controller = controller
        self.load = 0.0
        self.gateways_cpu = 0.0
        self.nodes = {}
        self.assigned = {}
        self.base = -1

    async def register(self, leader_id: int, node: str) -> None:
        endpoint = LeaderEndpoint(
            leader_id=LeaderId(leader_id), log_epoch=EPOCH, node_id=node, unix_path="", host="h", port=leader_id
        )
        self.nodes[leader_id] = node
        self.assigned[leader_id] = await self.controller.register_leader(endpoint)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(0)
            for leader_id in list(self.assigned):
                await self._turn(LeaderId(leader_id))

    async def _turn(self, leader_id: LeaderId) -> None:
        await self.controller.report_gateway(self.nodes[leader_id], 0, self.gateways_cpu)
        known = self.assigned[leader_id]
        parts = tuple(PartitionLoad(a.partition, self.load, 0.0, 0.0) for a in known.partitions if a.topic_name == "t")
        call = self.controller.watch_assignments(leader_id, EPOCH, known.version, LoadReport(partitions=parts))
        polling = asyncio.ensure_future(call)
        for _ in range(10):
            await asyncio.sleep(0)
        if not polling.done():
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)
            return
        known = self.assigned[leader_id] = polling.result() or known
        self.base += 2
        fresh = [Adopted(partition=a.partition, epoch_base=self.base) for a in known.partitions if not a.adopted]
        await self.controller.report_adopted(leader_id, EPOCH, fresh)
        durable = self.controller._journal.durable
        gone = [
            Released(partition=p, epoch_base=durable.partition(p).epoch_base, handover=1) for p in known.handing_over
        ]
        await self.controller.report_released(leader_id, EPOCH, gone)


@pytest.fixture
async def world(cluster):
    """One node with one leader that leads everything, and a Ray."""
    cluster.limits = LIMITS
    ray = Ray()
    made = World(cluster, ray)
    yield made
    await made.end()


class World:
    def __init__(self, cluster, ray):
        self.cluster = cluster
        self.ray = ray
        self.tasks = []

    async def start(self, *nodes: Node, **configs: str) -> None:
        self.controller = await self.cluster.start(
            (),
            nodes=list(nodes),
            node_launcher=self.ray,
            room_asker=self.ray,
            own_node="a",
            broker_configs={**CONFIGS, **configs},
        )
        self.leaders = Leaders(self.controller)
        self.tasks.append(asyncio.ensure_future(self.leaders.run()))

    async def serve(self, leader_id: int, node: str) -> None:
        await self.controller.register_broker(node, "h", leader_id, None)
        await self.leaders.register(leader_id, node)

    async def size(self):
        return (await self.controller.status())["size"]

    async def drained(self):
        return [node["node"] for node in (await self.controller.status())["nodes"] if node["draining"]]

    async def end(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def grown(world) -> None:
    """Two nodes, as load wanted them."""
    await world.start(A)
    await world.controller.create_topics([NewTopic(name="t", partitions=1)], timeout_ms=0)
    await world.serve(1, "a")
    await world.ray.asked(1)
    world.leaders.load = 900.0
    await world.ray.asked(2)
    assert (await world.size())["wanted"] == 2
    await world.controller.see_nodes([A, B])
    await world.serve(2, "b")


async def shrunk(world) -> None:
    """The second node is empty, and given back."""
    await grown(world)
    world.leaders.load = 100.0
    await world.ray.asked(1, "b")
    assert world.ray.cleared == ["b"]
    assert await world.drained() == ["b"]


async def test_load_has_nodes_asked_for_and_its_end_has_them_emptied_and_given_back(world):
    await shrunk(world)
    size = await world.size()
    assert (size["verdict"], size["serving"], size["given_back"]) == ("enough", 1, ["b"])
    assert len([request for request in world.ray.requests if len(request.rooms) == 1 and not request.without]) > 0
    await world.controller.see_nodes([A])
    await world.ray.asked(1)
    assert await world.drained() == []


async def test_gateways_with_too_much_to_do_have_nodes_asked_for(world):
    await world.start(A)
    await world.serve(1, "a")
    await world.ray.asked(1)
    world.leaders.gateways_cpu = 0.9
    await world.ray.asked(2)
    assert (await world.size())["demand"]["kind"] == "gateways"


async def test_a_node_that_nobody_took_serves_again_when_load_comes_back(world):
    await shrunk(world)
    world.leaders.load = 900.0
    await world.ray.asked(2)
    assert await world.drained() == []


async def test_what_is_given_back_stays_so_across_a_restart_and_can_be_taken_back(world):
    await shrunk(world)
    asked = len(world.ray.requests)
    await world.controller.close()
    await world.start(A, B)
    assert await world.drained() == ["b"]
    await asyncio.sleep(0)
    assert len(world.ray.requests) == asked, "nothing is asked for before it is known what is needed"
    world.leaders.load = 900.0
    await world.leaders.register(1, "a")
    await world.ray.asked(2)
    assert await world.drained() == []


async def test_an_operators_drain_is_not_taken_back(world):
    await shrunk(world)
    await world.controller.drain_node("b")
    world.leaders.load = 900.0
    await world.ray.asked(3)
    assert await world.drained() == ["b"]


async def test_while_ray_takes_no_request_it_is_asked_again(world):
    world.ray.refusals = 5
    await grown(world)


async def test_the_bounds_can_be_changed_and_scaling_be_ended_while_it_runs(world):
    await shrunk(world)
    change = ConfigChange(key="raylog.scaling.nodes.max", op=0, value="0")
    await world.controller.alter_configs([ConfigAlteration(resource_type=4, name="", changes=(change,))])
    await world.ray.asked(0)
    assert await world.drained() == []
    assert await world.size() is None


async def test_a_cluster_whose_size_is_nobodys_business_asks_for_nothing(world):
    await world.start(A, **{"raylog.scaling.nodes.max": "1"})
    await world.serve(1, "a")
    for _ in range(100):
        await asyncio.sleep(0)
    assert await world.size() is None
    assert world.ray.requests == []
