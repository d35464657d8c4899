"""A seeded model of a bucket that is slow and fails, wrapped round a real backend: the same seed gives the same faults.

Each request takes a time drawn from a LatencyModel, half of it before the backend acts and half after. With the
probabilities of a FaultModel it is refused (503 SlowDown), times out without effect, loses its answer after it has
taken effect, or, for a PUT, is answered by a time-out and takes effect later, which is how a fenced writer's PUT lands
after its successor has opened the log. A caller that goes away before the backend has acted leaves no trace;
afterwards its request has taken effect.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from raylog.model.buffers import Buffer
from raylog.model.clock import Clock, Random
from raylog.model.errors import AlreadyExistsError, RetryError
from raylog.protocol.file_range import FileRange
from raylog.storage.brake import Brake
from raylog.storage.latency_model import NO_LATENCY, LatencyModel, OperationLatency
from raylog.storage.object_store import ObjectMeta, ObjectStore, Priority

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultModel:
    """Probabilities per request; their sum is at most 1."""

    slow_down: float = 0.0
    timed_out: float = 0.0
    answer_lost: float = 0.0
    late_put: float = 0.0
    """Of PUTs only: answered by a time-out, and done up to ``late_s_max`` later."""
    timeout_s: float = 5.0
    late_s_max: float = 30.0


NO_FAULTS = FaultModel()


class FaultyStore:
    def __init__(
        self,
        inner: ObjectStore,
        *,
        clock: Clock,
        rng: Random,
        latency: LatencyModel = NO_LATENCY,
        faults: FaultModel = NO_FAULTS,
        brake: Brake | None = None,
    ) -> None:
        self._inner = inner
        self._clock = clock
        self._rng = rng
        self._latency = latency
        self._faults = faults
        self._brake = brake
        self._late_puts: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return self._inner.url

    @property
    def late_puts(self) -> int:
        """PUTs whose callers have been told of a time-out and that will still take effect."""
        return len(self._late_puts)

    async def put(self, key: str, body: Sequence[Buffer], *, priority: Priority = Priority.TAIL) -> None:
        await self._put(body, lambda copy: self._inner.put(key, copy, priority=priority))

    async def put_if_absent(self, key: str, body: Sequence[Buffer], *, priority: Priority = Priority.WAL) -> None:
        await self._put(body, lambda copy: self._inner.put_if_absent(key, copy, priority=priority))

    async def get(
        self, key: str, *, start: int = 0, length: int | None = None, priority: Priority = Priority.TAIL
    ) -> bytes:
        return await self._request(
            self._latency.get, length or 0, lambda: self._inner.get(key, start=start, length=length, priority=priority)
        )

    @property
    def has_files(self) -> bool:
        return False

    def file_range(self, key: str, start: int, length: int) -> FileRange | None:
        return None  # it would get past the model

    async def get_tail(self, key: str, length: int, *, priority: Priority = Priority.TAIL) -> bytes:
        return await self._request(
            self._latency.get, length, lambda: self._inner.get_tail(key, length, priority=priority)
        )

    async def head(self, key: str) -> ObjectMeta:
        return await self._request(self._latency.head, 0, lambda: self._inner.head(key))

    async def list(self, prefix: str, *, start_after: str = "") -> AsyncIterator[ObjectMeta]:
        async def snapshot() -> list[ObjectMeta]:
            return [meta async for meta in self._inner.list(prefix, start_after=start_after)]

        for meta in await self._request(self._latency.list, 0, snapshot):
            yield meta

    async def delete(self, keys: Sequence[str]) -> None:
        await self._request(self._latency.delete, 0, lambda: self._inner.delete(keys))

    async def close(self) -> None:
        """PUTs that are still to land do so first."""
        await asyncio.gather(*self._late_puts)
        await self._inner.close()

    async def _put(self, body: Sequence[Buffer], put: Callable[[Sequence[Buffer]], Coroutine[Any, Any, None]]) -> None:
        if self._faults.late_put and self._rng.random() < self._faults.late_put:
            late = asyncio.ensure_future(self._land_late(put([b"".join(body)])))
            self._late_puts.add(late)
            late.add_done_callback(self._late_puts.discard)
            await self._clock.sleep(self._faults.timeout_s)
            raise RetryError("the store did not answer in time")
        size = sum(len(memoryview(buffer).cast("B")) for buffer in body)
        await self._request(self._latency.put, size, lambda: put(body))

    async def _land_late(self, put: Coroutine[Any, Any, None]) -> None:
        await self._clock.sleep(self._faults.timeout_s + self._rng.uniform(0, self._faults.late_s_max))
        try:
            await put
        except AlreadyExistsError:
            return  # Refused, as it should be; there is nobody left to tell.

    async def _request(self, latency: OperationLatency, size: int, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        half_s = (latency.draw_s(self._rng, size) + (self._brake.extra_s() if self._brake else 0.0)) / 2
        fate = self._rng.random()
        await self._clock.sleep(half_s)
        if fate < (bound := self._faults.slow_down):
            raise RetryError("the store answered 503 SlowDown")
        if fate < (bound := bound + self._faults.timed_out):
            await self._clock.sleep(self._faults.timeout_s)
            raise RetryError("the store did not answer in time")
        result = await call()
        await self._clock.sleep(half_s)
        if fate < bound + self._faults.answer_lost:
            raise RetryError("the connection broke before the store's answer arrived")
        return result
