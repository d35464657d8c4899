"""A whole cluster in virtual time: the real shells of every role, as processes that can be killed, paused and started again.

What Ray does in a cluster (start what the controller asks for, start again what ends) is done here.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from prometheus_client import CollectorRegistry

from controller.controller import Controller
from controller.garbage_rounds import collect_in_rounds
from controller.launcher import LeaderSite
from controller.nodes import Node
from gateway.gateway import Gateway
from raylog.leader.leader import Leader
from raylog.model.errors import FencedError, RetryError
from raylog.model.ids import LeaderId
from raylog.model.limits import (
    CompactionLimits,
    ControllerLimits,
    GarbageLimits,
    LeaderLimits,
    Limits,
    LogLimits,
    StoreLimits,
)
from raylog.model.load import ProcessUsage
from raylog.model.logs import role_logger
from raylog.storage.file_wal import FileWal, FileWalLimits
from raylog.storage.hedge_delay import HedgeDelay
from raylog.storage.object_wal import ObjectWal
from raylog.storage.retrying_store import RetryingStore
from raylog.storage.wal import FlushPolicy, Wal
from tests.sim.bucket import Bucket, BucketClient
from tests.sim.clock import SimClock
from tests.sim.control import ControllerClient, ControllerSeat
from tests.sim.disk import SimDisk
from tests.sim.garbage import GarbageTasks
from tests.sim.loop import Process, SimLoop
from tests.sim.network import SimNetwork
from tests.sim.trace import Trace

RUN_DIR = Path("/tmp/raylog-sim")
"""Only its name is used, in addresses: the same in every run, as it is written to the bucket."""


_OBJECT_POLICY = FlushPolicy(interval_ms=100, max_bytes=1 << 20, immediate=True)
_CLOSE_S = 0.25
"""What a role has to close in before it is ended."""

HELD_BYTES = LeaderLimits().unflushed_bytes_max
SPILLING_BYTES = 4 * 1024
"""What a leader holds in memory in runs that are about reading its WAL back: a few batches."""


def limits(
    *,
    checkpoint_slots: int = 12,
    trim_grace_s: float = 8.0,
    garbage_interval_s: float = 3.0,
    unflushed_bytes_max: int = HELD_BYTES,
) -> Limits:
    """Small and quick, so that a short run sees checkpoints, trimming, collections and reads from the bucket."""
    return Limits(
        leader=LeaderLimits(
            checkpoint_slots=checkpoint_slots,
            register_backoff_s_max=1.0,
            tail_cache_bytes=min(16 * 1024, unflushed_bytes_max),
            unflushed_bytes_max=unflushed_bytes_max,
            read_back_bytes_max=min(16 * 1024, unflushed_bytes_max),
        ),
        store=StoreLimits(attempt_s_max=2.0, patience_s=8.0, backoff_s_max=1.0),
        compaction=CompactionLimits(
            interval_s=0.5, segment_bytes=4096, run_bytes_min=2048, sources_max=3, fan_in=2, levels_max=3
        ),
        log=LogLimits(trim_grace_s=trim_grace_s, retry_delay_s_max=1.0, tail_bytes=4096),
        controller=ControllerLimits(
            leader_poll_s_max=1.0,
            leader_silence_s_max=3.0,
            poll_s_max=5.0,
            checkpoint_slots=checkpoint_slots,
            launch_retry_s=0.5,
        ),
        garbage=GarbageLimits(grace_s=trim_grace_s, interval_s=garbage_interval_s, delete_keys_max=5),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a run's cluster is made of."""

    gateways: int = 2
    leaders_per_class: int = 2
    wal_classes: tuple[str, ...] = ("file", "object")
    wal_segment_bytes: int = 12 << 10
    """Of a file WAL. Small ones are soon given back; a large one keeps for long what the bucket has already."""
    wal_spares_max: int = FileWalLimits().spares_max
    """Segments that a file WAL keeps to be used again. With few of them what the bucket has is soon removed, also by a writer who
    is fenced and does not know."""
    is_wal_shared: bool = False
    """The file WAL lies on NFS."""
    has_nodes: bool = False
    """The controller is told of nodes, one for each gateway, and places leaders on them."""
    leaders_rest: bool = False
    """The controller ends leaders that nobody asks for anything."""
    has_zones: bool = False
    """Each node is in a zone of its own, and records go to leaders in others by the bucket, where the WAL is that."""
    broker_configs: dict[str, str] = field(
        default_factory=lambda: {
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "100",
            "offsets.topic.num.partitions": "2",
            "log.retention.check.interval.ms": "700",
        }
    )
    limits: Limits = field(default_factory=limits)

    @classmethod
    def drawn(cls, rng: Random, seed: str) -> "Shape":
        is_spilling = Random(f"{seed}/spilling").random() < 0.4
        return cls(
            gateways=rng.randint(1, 3),
            leaders_per_class=rng.randint(1, 3),
            is_wal_shared=rng.random() < 0.5,
            limits=limits(
                checkpoint_slots=rng.choice((1, 3, 12, 40)),
                trim_grace_s=rng.choice((1.5, 4.0, 20.0)),
                garbage_interval_s=rng.choice((1.0, 3.0)),
                unflushed_bytes_max=SPILLING_BYTES if is_spilling else HELD_BYTES,
            ),
        )


class SimCluster:
    """``start``, then clients may connect to ``gateway_address``."""

    def __init__(self, loop: SimLoop, seed: str, shape: Shape, trace: Trace) -> None:
        self.loop = loop
        self.shape = shape
        self.trace = trace
        self._seed = seed
        self._rng = Random(f"{seed}/cluster")
        self.network = SimNetwork(loop, Random(f"{seed}/network"), trace)
        self.bucket = Bucket(loop, Random(f"{seed}/bucket"), trace)
        self.seat = ControllerSeat(loop, Random(f"{seed}/control"), trace)
        self.disks: dict[LeaderId, SimDisk] = {}
        self.leaders: dict[LeaderId, Process] = {}
        """The newest process of each."""
        self.gateways: list[Process] = []
        self.everyone: list[Process] = []
        self.failures: list[str] = []
        """Roles that ended in what is neither a fence nor a fault of ours."""
        self._sites: dict[LeaderId, LeaderSite] = {}
        self._cleared: set[str] = set()
        """Nodes without a gateway, as they drain."""
        self._started = 0
        self._garbage = GarbageTasks(
            start=self._start_task,
            store=self._store,
            clock=self._clock,
            rng=self._rng_of,
            limits=shape.limits,
            loop=loop,
            trace=trace,
            failures=self.failures,
        )

    async def start(self) -> None:
        self._start_controller()
        for index in range(self.shape.gateways):
            self.gateways.append(self._start_gateway(index))

    def gateway_address(self, index: int) -> tuple[str, int]:
        return (f"gateway-{index}", 9092)

    @property
    def controller(self) -> Process | None:
        return self.seat.process

    def validate(self) -> list[str]:
        """What the partitions of the leaders that run say of their own rules; asked when all is over."""
        found = []
        for process in self.leaders.values():
            parts = process.role._parts if isinstance(process.role, Leader) else None
            for hosted in parts.context.partitions if parts is not None else ():
                try:
                    hosted.core.validate()
                except AssertionError as error:
                    found.append(
                        f"{process.name} has a broken {hosted.topic_name}-{hosted.partition.partition}: {error!r}"
                    )
        return found

    # What the nemesis does

    def kill(self, process: Process, *, power_lost: bool = False, restart_s: float = 0.3) -> None:
        """As kill -9, or with the whole machine; it is started again later, unless a newer one runs already."""
        if process.is_dead:
            return
        self.trace.event("kill", f"{process.name}{' with its machine' if power_lost else ''}")
        self._end(process, power_lost=power_lost)
        self.loop.later(restart_s, self._restart, process)

    def pause(self, process: Process, seconds: float) -> None:
        if process.is_dead or process.is_paused:
            return
        self.trace.event("pause", f"{process.name} for {seconds:.3f} s")
        process.pause()
        self.loop.later(seconds, self._resume, process)

    def usurp(self, leader_id: LeaderId) -> None:
        """A successor comes up beside a leader that still runs."""
        self._start_leader(leader_id)

    def usurp_controller(self) -> None:
        self._start_controller()

    def restart_gracefully(self, process: Process) -> None:
        if process.is_dead or process.is_paused or process.role is None:
            return
        self.trace.event("close", process.name)
        process.run(process.role.close())

    def heal(self) -> None:
        """Everything runs again."""
        for process in self.everyone:
            if process.is_paused:
                self._resume(process)

    # The controller's launcher

    async def ensure_leader(self, leader_id: LeaderId, site: LeaderSite) -> None:
        await asyncio.sleep(self._rng.uniform(0, 0.05))
        if leader_id not in self.leaders:
            self._sites[leader_id] = site
            self.loop.later(0.0, self._start_leader, leader_id)

    async def replace_leader(self, leader_id: LeaderId, site: LeaderSite) -> None:
        await asyncio.sleep(self._rng.uniform(0, 0.05))
        if self._rng.random() < 0.1:
            raise RetryError("The launcher is away.")
        self.loop.later(0.0, self._start_leader, leader_id)

    async def is_starting(self, leader_id: LeaderId) -> bool:
        await asyncio.sleep(self._rng.uniform(0, 0.05))
        process = self.leaders.get(leader_id)
        return process is not None and process.is_dead

    async def ensure_gateways(self, node: str) -> None:
        await asyncio.sleep(self._rng.uniform(0, 0.05))
        if node in self._cleared:
            self._cleared.discard(node)
            index = self._nodes().index(node)
            self.gateways[index] = self._start_gateway(index)

    async def clear(self, node: str, leaders: Sequence[LeaderId]) -> None:
        await asyncio.sleep(self._rng.uniform(0, 0.05))
        self.trace.event("clear", node)
        self._cleared.add(node)
        await self._close(self.gateways[self._nodes().index(node)], *self._take_off(leaders))

    async def end_leader(self, leader_id: LeaderId) -> None:
        await asyncio.sleep(self._rng.uniform(0, 0.05))
        if self._rng.random() < 0.1:
            raise RetryError("The launcher is away.")
        self.trace.event("rest", f"leader-{leader_id}")
        await self._close(*self._take_off([leader_id]))

    def _take_off(self, leaders: Sequence[LeaderId]) -> list[Process]:
        """Their processes, which are not started again."""
        return [self.leaders.pop(leader_id) for leader_id in leaders if leader_id in self.leaders]

    async def _close(self, *processes: Process) -> None:
        for process in processes:
            self.restart_gracefully(process)
            self.loop.later(_CLOSE_S, self._end, process)
        await asyncio.sleep(_CLOSE_S)

    # Starting

    def _nodes(self) -> list[str]:
        return [f"node-{index}" for index in range(self.shape.gateways)]

    def _start_controller(self) -> None:
        process = self._new_process("controller", "node-0")
        self.seat.process = process
        self._run(process, self._controller_life(process))

    async def _controller_life(self, process: Process) -> None:
        shape = self.shape
        controller = Controller(
            store=self._store(process),
            deployment_id="simulated",
            launcher=self,
            clock=self._clock(process),
            rng=self._rng_of(process),
            limits=shape.limits,
            wal_classes=shape.wal_classes,
            default_wal=shape.wal_classes[0],
            leaders_per_class=shape.leaders_per_class,
            broker_configs=shape.broker_configs,
            registry=CollectorRegistry(),
            nodes=[
                Node(name=name, start_id=name, mounts=dict.fromkeys(shape.wal_classes, ""))
                for name in self._nodes()
                if shape.has_nodes
            ],
            node_launcher=self if shape.has_nodes else None,
            leader_ender=self if shape.leaders_rest else None,
        )
        try:
            await controller.start()
            process.role = controller
            await self._collecting(process, controller)
        finally:
            process.role = None
            await controller.close()

    async def _collecting(self, process: Process, controller: Controller) -> None:
        """Until the controller ends. As its actor does."""
        rounds = asyncio.ensure_future(
            collect_in_rounds(
                self._garbage.collect,
                controller.led_partitions,
                clock=self._clock(process),
                interval_s=self.shape.limits.garbage.interval_s,
                log=role_logger("controller"),
            )
        )
        try:
            await asyncio.wait((controller.closed, rounds), return_when=asyncio.FIRST_COMPLETED)
            await (rounds if rounds.done() else controller.closed)
        finally:
            rounds.cancel()

    def _start_task(self, role: str, life: Callable[[Process], Any]) -> Process:
        """On any node. Whoever ends it need not start it again."""
        process = self._new_process(role, f"node-{self._rng.randrange(self.shape.gateways)}")
        self._run(process, life(process))
        return process

    def _start_gateway(self, index: int) -> Process:
        process = self._new_process(f"gateway-{index}", f"node-{index}")
        self._run(process, self._gateway_life(process, index))
        return process

    async def _gateway_life(self, process: Process, index: int) -> None:
        host, port = self.gateway_address(index)
        gateway = Gateway(
            store=self._store(process),
            controller=ControllerClient(self.seat),
            clock=self._clock(process),
            rng=self._rng_of(process),
            limits=self.shape.limits,
            host=host,
            port=port,
            reuse_port=True,
            advertised_host=host,
            advertised_port=port,
            node_id=process.node,
            rack=process.node if self.shape.has_zones else None,
            registry=CollectorRegistry(),
            object_wals={"object": _OBJECT_POLICY},
            bind=self.network.bind,
            usage=lambda: ProcessUsage(0.0, 0),
        )
        try:
            await gateway.start()
            process.role = gateway
            await asyncio.shield(gateway.closed)
        finally:
            await gateway.close()

    def _start_leader(self, leader_id: LeaderId) -> None:
        node = self._sites[leader_id].node or f"node-{leader_id % self.shape.gateways}"
        process = self._new_process(f"leader-{leader_id}", node)
        self.leaders[leader_id] = process
        if leader_id not in self.disks:
            rng = Random(f"{self._seed}/disk/{leader_id}")
            self.disks[leader_id] = SimDisk(self.loop, rng, self.trace, is_shared=self.shape.is_wal_shared)
        self._run(process, self._leader_life(process, leader_id))

    async def _leader_life(self, process: Process, leader_id: LeaderId) -> None:
        leader = Leader(
            leader_id=leader_id,
            node_id=process.node,
            store=self._store(process),
            wal=self._wal(process, leader_id),
            controller=ControllerClient(self.seat),
            clock=self._clock(process),
            rng=self._rng_of(process),
            limits=self.shape.limits,
            run_dir=RUN_DIR,
            registry=CollectorRegistry(),
            tcp_host=f"host-{leader_id}",
            usage=lambda: ProcessUsage(0.0, 0),
        )
        try:
            await leader.start()
            process.role = leader
            await asyncio.shield(leader.closed)
        finally:
            await leader.close()

    def _wal(self, process: Process, leader_id: LeaderId) -> Wal:
        if self._sites[leader_id].wal_class == "object":
            return ObjectWal(flush_policy=_OBJECT_POLICY)
        disk = self.disks[leader_id]
        return FileWal(
            name="file",
            leader_id=leader_id,
            disk=disk,
            limits=FileWalLimits(
                segment_bytes=self.shape.wal_segment_bytes,
                capacity_bytes=max(128 << 10, 8 * self.shape.wal_segment_bytes),
                spares_max=self.shape.wal_spares_max,
                inline_commit_ms_max=0.0,
            ),
            flush_policy=FlushPolicy(interval_ms=700, max_bytes=8 << 10, immediate=False),
            clock=self._clock(process),
            offload=disk.offload(),
        )

    def _store(self, process: Process) -> RetryingStore:
        limits = self.shape.limits.store
        return RetryingStore(
            BucketClient(self.bucket),
            clock=self._clock(process),
            rng=self._rng_of(process),
            limits=limits,
            hedge_delay=HedgeDelay(min_s=limits.hedge_s_min, max_s=limits.hedge_s_max),
        )

    def _clock(self, process: Process) -> SimClock:
        return SimClock(self.loop, Random(f"{self._seed}/skew/{process.node}").randrange(-500, 500))

    def _rng_of(self, process: Process) -> Random:
        return Random(f"{self._seed}/{process.name}")

    # Supervising

    def _new_process(self, role: str, node: str) -> Process:
        self._started += 1
        process = Process(self.loop, f"{role}.{self._started}", node)
        self.everyone.append(process)
        self.trace.event("start", process.name)
        return process

    def _run(self, process: Process, life: Any) -> None:
        process.main = process.run(life)
        process.main.add_done_callback(partial(self._ended, process), context=self.loop.world())

    def _end(self, process: Process, *, power_lost: bool = False) -> None:
        if process.is_dead:
            return
        disk = self.disks.get(self._leader_id(process))
        process.kill()
        if disk is not None:
            disk.cut_off(process, power_lost=power_lost)
        self.network.drop(process)
        self.seat.vacate(process)

    def _ended(self, process: Process, main: "asyncio.Task[None]") -> None:
        if process.is_dead or main.cancelled():
            return
        error = main.exception()
        self.trace.event("ended", f"{process.name} {error!r}")
        if error is not None and not isinstance(error, FencedError):
            self.failures.append(f"{process.name} ended with {error!r}")
        process.kill()
        self.network.drop(process)
        self.seat.vacate(process)
        self.loop.later(0.2, self._restart, process)

    def _restart(self, process: Process) -> None:
        """Unless a newer one has taken its place."""
        if process is self.seat.process:
            self._start_controller()
        elif process in self.gateways and process.node not in self._cleared:
            index = self.gateways.index(process)
            self.gateways[index] = self._start_gateway(index)
        elif self.leaders.get(self._leader_id(process)) is process:
            self._start_leader(self._leader_id(process))

    def _resume(self, process: Process) -> None:
        if process.is_paused:
            self.trace.event("resume", process.name)
            process.resume()

    @staticmethod
    def _leader_id(process: Process) -> LeaderId:
        role, _, _ = process.name.partition(".")
        return LeaderId(int(role.removeprefix("leader-"))) if role.startswith("leader-") else LeaderId(-1)
