"""The ports to what starts and ends leaders, and the loop that has every leader running that leads something.

A leader's process that ends is started again by its launcher (Ray restarts its actors for ever); one that hangs is the
business of ``controller.leader_watch``.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from raylog.model.clock import Clock
from raylog.model.errors import RetryError
from raylog.model.ids import LeaderId
from raylog.model.logs import RoleLogger, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderSite:
    """What a leader needs to run, and where."""

    wal_class: str
    node: str = ""
    """The name of the node that it belongs on; another one will do if that is away. Empty: any."""
    mount: str = ""
    """What its WAL lies on; nodes without it will not do. Empty: every node has it."""


class LeaderLauncher(Protocol):
    async def ensure_leader(self, leader_id: LeaderId, site: LeaderSite) -> None:
        """Have the leader running, now and from now on, waiting for a node if need be. May be repeated. Raises RetryError if that
        cannot be now."""
        ...

    async def replace_leader(self, leader_id: LeaderId, site: LeaderSite) -> None:
        """Start a successor beside a leader that is silent; the bucket fences whichever is the earlier. Raises RetryError."""
        ...

    async def is_starting(self, leader_id: LeaderId) -> bool:
        """Whether a process of the leader has been ordered and is not up yet. Raises RetryError if nobody knows now."""
        ...


class LeaderEnder(Protocol):
    """The port to what ends leaders. May be repeated; raises RetryError if it cannot be now."""

    async def end_leader(self, leader_id: LeaderId) -> None:
        """Close the leader, which brings what only its WAL has to the bucket; it is not started again by itself."""
        ...


async def is_ended(ender: LeaderEnder, leader_id: LeaderId, what: str, log: RoleLogger) -> bool:
    """Whether the leader could be ended now. ``what`` it is, for the log: "an idle leader"."""
    try:
        await ender.end_leader(leader_id)
    except RetryError as error:
        log.warning(f"{what} cannot be ended, trying again", extra=fields(leader=leader_id, error=error))
        return False
    log.info(f"{what} has ended", extra=fields(leader=leader_id))
    return True


class LeaderKeeper:
    """Ensures each leader once in the controller's life, and again as long as that fails."""

    def __init__(
        self,
        launcher: LeaderLauncher,
        needed: Callable[[], Mapping[LeaderId, LeaderSite]],
        clock: Clock,
        retry_s: float,
        log: RoleLogger,
    ) -> None:
        """``needed`` gives the leaders that must run, by id."""
        self._launcher = launcher
        self._needed = needed
        self._clock = clock
        self._retry_s = retry_s
        self._log = log
        self._ensured: set[LeaderId] = set()
        self._wake = asyncio.Event()

    def look(self) -> None:
        """What is needed may have changed."""
        self._wake.set()

    def forget(self, leader_id: LeaderId) -> None:
        """The leader has been ended: it is to be started again when it is needed."""
        self._ensured.discard(leader_id)

    async def run(self) -> None:
        """Until cancelled. An error of the launcher other than RetryError ends it."""
        while True:
            self._wake.clear()
            missing = {id_: site for id_, site in self._needed().items() if id_ not in self._ensured}
            for leader_id, site in missing.items():
                await self._ensure(leader_id, site)
            if self._ensured.issuperset(missing):
                await self._wake.wait()
            else:
                await self._clock.sleep(self._retry_s)

    async def _ensure(self, leader_id: LeaderId, site: LeaderSite) -> None:
        try:
            await self._launcher.ensure_leader(leader_id, site)
        except RetryError as error:
            self._log.warning(
                "a leader cannot be started, trying again",
                extra=fields(leader=leader_id, wal=site.wal_class, error=error),
            )
        else:
            self._ensured.add(leader_id)
