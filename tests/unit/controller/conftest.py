"""A controller on a bucket in memory, with leaders that adopt what they are told to."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from random import Random

import pytest
from prometheus_client import CollectorRegistry

from controller.controller import Controller
from controller.launcher import LeaderSite
from raylog.model.admin import Adopted
from raylog.model.clock import SystemClock
from raylog.model.errors import RetryError
from raylog.model.ids import LeaderId, LogEpoch
from raylog.model.limits import ControllerLimits, Limits
from raylog.model.routing import LeaderEndpoint
from raylog.storage.memory_store import MemoryStore


class NoSleepClock(SystemClock):
    """Sleeping only lets the others run."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


@dataclass
class Launcher:
    """Records what it was asked to start."""

    started: list[tuple[int, str]] = field(default_factory=list)
    replaced: list[tuple[int, str]] = field(default_factory=list)
    sites: dict[int, LeaderSite] = field(default_factory=dict)
    """What each was to be started with."""
    starting: set[int] = field(default_factory=set)
    """Leaders whose processes are on their way up."""
    refusals: int = 0
    """So many of the next calls say RetryError."""
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def ensure_leader(self, leader_id: LeaderId, site: LeaderSite) -> None:
        if self.refusals:
            self.refusals -= 1
            raise RetryError("No room on any node.")
        self.started.append((leader_id, site.wal_class))
        self.sites[leader_id] = site
        self._news.set()

    async def replace_leader(self, leader_id: LeaderId, site: LeaderSite) -> None:
        if self.refusals:
            self.refusals -= 1
            raise RetryError("No room on any node.")
        self.replaced.append((leader_id, site.wal_class))

    async def is_starting(self, leader_id: LeaderId) -> bool:
        return leader_id in self.starting

    async def wait_for(self, count: int) -> list[tuple[int, str]]:
        """What was started, once that is so many leaders."""
        while len(self.started) < count:
            self._news.clear()
            await self._news.wait()
        return self.started


def endpoint(leader_id: int, log_epoch: int = 1, port: int = 7000) -> LeaderEndpoint:
    return LeaderEndpoint(
        leader_id=LeaderId(leader_id),
        log_epoch=LogEpoch(log_epoch),
        node_id="node-a",
        unix_path=f"/run/leader-{leader_id}.sock",
        host="10.0.0.1",
        port=port + leader_id,
    )


async def lead(controller: Controller, leader_id: int, log_epoch: int = 1) -> None:
    """Be a leader that adopts all that it is assigned, until the controller ends."""
    mine = LeaderId(leader_id), LogEpoch(log_epoch)
    try:
        assignments = await controller.register_leader(endpoint(leader_id, log_epoch))
        while True:
            adopted = [Adopted(partition=a.partition, epoch_base=-log_epoch) for a in assignments.partitions]
            await controller.report_adopted(*mine, adopted)
            assignments = await controller.watch_assignments(*mine, assignments.version) or assignments
    except RetryError:
        return


@dataclass
class Cluster:
    """A bucket and the controllers that were started on it, one after another."""

    store: MemoryStore
    launcher: Launcher
    limits: Limits = field(default_factory=Limits)
    controllers: list[Controller] = field(default_factory=list)
    leaders: list[asyncio.Task[None]] = field(default_factory=list)

    def make(self, **settings: object) -> Controller:
        options: dict[str, object] = {
            "deployment_id": "one",
            "wal_classes": ("file", "object"),
            "default_wal": "file",
            "leaders_per_class": 2,
            "broker_configs": {"offsets.topic.num.partitions": "4", "auto.leader.rebalance.enable": "false"},
        }
        controller = Controller(
            store=self.store,
            launcher=self.launcher,
            clock=NoSleepClock(),
            rng=Random(len(self.controllers)),
            limits=self.limits,
            registry=CollectorRegistry(),
            **(options | settings),
        )
        self.controllers.append(controller)
        return controller

    async def start(self, leaders: tuple[int, ...] = (1, 2), log_epoch: int = 1, **settings: object) -> Controller:
        """A controller that serves; with these leaders at work."""
        controller = self.make(**settings)
        await controller.start()
        for leader_id in leaders:
            self.leaders.append(asyncio.ensure_future(lead(controller, leader_id, log_epoch)))
        return controller

    async def restart(self, **settings: object) -> Controller:
        await self.controllers[-1].close()
        return await self.start((), **settings)

    async def end(self) -> None:
        for controller in self.controllers:
            await controller.close()
            if not controller.closed.cancelled():
                controller.closed.exception()
        await asyncio.gather(*self.leaders)


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    made = Cluster(MemoryStore(SystemClock()), Launcher(), Limits(controller=ControllerLimits(poll_s_max=5.0)))
    yield made
    await made.end()


@pytest.fixture
def leader_endpoint():
    """Makes the endpoint of a leader's open."""
    return endpoint
