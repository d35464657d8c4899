"""The bucket as processes see it: a store far away, whose requests go on when their sender is gone.

A request that has left is the network's: its sender may give it up, be killed or be paused, and it still takes effect. Answers
may be lost, refused or late by the present weather.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import partial
from random import Random
from typing import Any

from raylog.model.errors import RaylogError
from raylog.storage.faulty_store import NO_FAULTS, FaultModel, FaultyStore
from raylog.storage.latency_model import LatencyModel, OperationLatency
from raylog.storage.memory_store import MemoryStore
from raylog.storage.object_store import ObjectMeta, Priority
from tests.sim.clock import SimClock
from tests.sim.loop import Process, SimLoop, this_process
from tests.sim.trace import Trace

QUICK = LatencyModel(
    put=OperationLatency(p50_ms=20, p99_ms=150, per_mib_ms=12),
    get=OperationLatency(p50_ms=10, p99_ms=80, per_mib_ms=11),
    head=OperationLatency(p50_ms=8, p99_ms=50),
    list=OperationLatency(p50_ms=15, p99_ms=90),
    delete=OperationLatency(p50_ms=20, p99_ms=90),
)


_PAGE_KEYS = 20
"""A listing's page; between two of them the bucket goes on."""

AWAY = FaultModel(slow_down=0.6, timed_out=0.4, timeout_s=1.5)
"""No request does anything."""


class _PagingStore(MemoryStore):
    """A listing ends with its page."""

    async def list(self, prefix: str, *, start_after: str = "") -> AsyncIterator[ObjectMeta]:
        left = _PAGE_KEYS
        async for meta in super().list(prefix, start_after=start_after):
            yield meta
            left -= 1
            if not left:
                return


class Bucket:
    """The one that all processes share."""

    def __init__(self, loop: SimLoop, rng: Random, trace: Trace) -> None:
        self.loop = loop
        self.trace = trace
        self._rng = rng
        self._clock = SimClock(loop)
        self.objects = _PagingStore(self._clock)
        self.ambush: Callable[[Process, str, str], None] | None = None
        """Told of every request that took effect, before its answer leaves: sender, kind, key."""
        self._weather = NO_FAULTS
        self._is_away = False
        self._change(is_away=False)

    def set_weather(self, faults: FaultModel) -> None:
        """Counts for requests that leave from now on, and while the bucket is not away."""
        self._weather = faults
        self._change(is_away=self._is_away)

    def go_away(self, seconds: float) -> None:
        """For everybody, whatever the weather."""
        self.trace.event("outage", f"of the bucket for {seconds:.0f} s")
        self._change(is_away=True)
        self.loop.later(seconds, self._come_back)

    def _come_back(self) -> None:
        self.trace.event("outage", "is over")
        self._change(is_away=False)

    def _change(self, *, is_away: bool) -> None:
        self._is_away = is_away
        faults = AWAY if is_away else self._weather
        self.far = FaultyStore(self.objects, clock=self._clock, rng=self._rng, latency=QUICK, faults=faults)

    async def content(self) -> list[bytes]:
        """Every key and object, in order."""
        found = []
        async for meta in MemoryStore.list(self.objects, ""):
            found += [meta.key.encode(), await self.objects.get(meta.key)]
        return found


class BucketClient:
    """One process's way to the bucket. See ``ObjectStore``."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    @property
    def url(self) -> str:
        return "memory://"

    @property
    def has_files(self) -> bool:
        return False

    def file_range(self, key: str, start: int, length: int) -> None:
        """It has none."""

    async def put(self, key: str, body: Sequence[Any], *, priority: Priority = Priority.TAIL) -> None:
        await self._ask("put", key, lambda far: far.put(key, body, priority=priority))

    async def put_if_absent(self, key: str, body: Sequence[Any], *, priority: Priority = Priority.WAL) -> None:
        await self._ask("put-new", key, lambda far: far.put_if_absent(key, body, priority=priority))

    async def get(
        self, key: str, *, start: int = 0, length: int | None = None, priority: Priority = Priority.TAIL
    ) -> bytes:
        content: bytes = await self._ask("get", key, lambda far: far.get(key, start=start, length=length))
        return content

    async def get_tail(self, key: str, length: int, *, priority: Priority = Priority.TAIL) -> bytes:
        content: bytes = await self._ask("get", key, lambda far: far.get_tail(key, length))
        return content

    async def head(self, key: str) -> ObjectMeta:
        meta: ObjectMeta = await self._ask("head", key, lambda far: far.head(key))
        return meta

    async def list(self, prefix: str, *, start_after: str = "") -> AsyncIterator[ObjectMeta]:
        last = start_after
        while True:
            page: list[ObjectMeta] = await self._ask("list", prefix, partial(_page, prefix, last))
            for meta in page:
                yield meta
            if len(page) < _PAGE_KEYS:
                return
            last = page[-1].key

    async def delete(self, keys: Sequence[str]) -> None:
        await self._ask("delete", " ".join(keys), lambda far: far.delete(keys))

    async def close(self) -> None:
        """The bucket stays."""

    async def _ask(self, what: str, key: str, request: Callable[[FaultyStore], Coroutine[Any, Any, Any]]) -> Any:
        loop = self._bucket.loop
        answer: asyncio.Future[Any] = loop.create_future()
        sender = this_process()
        name = sender.name if sender else "world"

        async def far_away() -> None:
            error: RaylogError | None = None
            try:
                result = await request(self._bucket.far)
            except RaylogError as caught:
                error = caught
            outcome = "ok" if error is None else type(error).__name__
            self._bucket.trace.event("bucket", f"{name} {what} {key} {outcome}")
            if self._bucket.ambush is not None and sender is not None:
                self._bucket.ambush(sender, what, key)
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)

        loop.create_task(far_away(), context=loop.world())
        return await answer


async def _page(prefix: str, start_after: str, far: FaultyStore) -> list[ObjectMeta]:
    return [meta async for meta in far.list(prefix, start_after=start_after)]
