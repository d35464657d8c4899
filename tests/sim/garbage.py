"""Garbage collection as processes of their own: what the controller has Ray run as tasks.

A task goes on when the controller that asked for it is gone, so that two may collect at once; its own end reaches the controller
as RetryError some time later. Nothing starts it again.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from raylog.leader.garbage import collect_garbage
from raylog.model.errors import RaylogError, RetryError
from raylog.model.ids import TopicPartition
from raylog.model.limits import Limits
from raylog.model.logs import role_logger
from raylog.storage.object_store import ObjectStore
from tests.sim.clock import SimClock
from tests.sim.control import settle
from tests.sim.loop import Process, SimLoop
from tests.sim.trace import Trace

ROLE = "garbage"
_ANSWER_S = 0.005
_LOST_S = 1.0


class GarbageTasks:
    """See ``controller.garbage_rounds.Collect``."""

    def __init__(
        self,
        *,
        start: Callable[[str, Any], Process],
        store: Callable[[Process], ObjectStore],
        clock: Callable[[Process], SimClock],
        rng: Callable[[Process], Random],
        limits: Limits,
        loop: SimLoop,
        trace: Trace,
        failures: list[str],
    ) -> None:
        """``start`` runs what it is given as a new process of a role; ``failures`` is told what no bucket may cause."""
        self._start = start
        self._store = store
        self._clock = clock
        self._rng = rng
        self._limits = limits
        self._loop = loop
        self._trace = trace
        self._failures = failures

    async def collect(self, led: frozenset[TopicPartition]) -> None:
        """One round. Raises what ``collect_garbage`` does; RetryError also when the task was lost."""
        told: asyncio.Future[None] = self._loop.create_future()
        process = self._start(ROLE, lambda process: self._life(process, led, told))
        process.on_death.append(partial(self._lost, told))
        await told

    async def _life(self, process: Process, led: frozenset[TopicPartition], told: "asyncio.Future[None]") -> None:
        error: RaylogError | None = None
        try:
            collected = await collect_garbage(
                self._store(process),
                led=led,
                clock=self._clock(process),
                rng=self._rng(process),
                limits=self._limits,
                logger=role_logger(ROLE),
            )
            self._trace.event("collected", f"{process.name} {collected.deleted} of {collected.objects} objects")
        except RaylogError as caught:
            error = caught
            self._trace.event("collected", f"{process.name} {error!r}")
            if not isinstance(error, RetryError):
                self._failures.append(f"{process.name} ended with {error!r}")
        self._loop.later(_ANSWER_S, settle, told, None, error)

    def _lost(self, told: "asyncio.Future[None]") -> None:
        error = RetryError("The task that collects garbage was lost.")
        self._loop.later(_LOST_S, settle, told, None, error)
