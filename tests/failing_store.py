"""A bucket of which one chosen request fails a few times: S3 as it is, at every call in turn."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from enum import Enum
from random import Random
from typing import Any

from raylog.model.buffers import Buffer
from raylog.model.clock import SystemClock
from raylog.model.errors import RetryError
from raylog.model.limits import StoreLimits
from raylog.storage.memory_store import MemoryStore
from raylog.storage.object_store import ObjectMeta
from raylog.storage.retrying_store import RetryingStore

TIMES = 3
_LIMITS = StoreLimits(attempt_s_max=0.05, backoff_s_initial=0.001, backoff_s_max=0.001)
_DONE = 10**9


class Fault(Enum):
    REFUSED = "503 SlowDown, nothing done"
    ANSWER_LOST = "done, and the connection broke before the answer"
    TIMED_OUT = "no answer at all"


class FailingStore(MemoryStore):
    """From request ``nth`` (from 0) on, requests of its kind and key fail ``TIMES`` times; all others work."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.requests: list[tuple[str, str]] = []
        """Kind and key of all that were made since the last ``fail``."""
        self.failed = 0
        self._nth = _DONE
        self._chosen: tuple[str, str] | None = None
        self._fault = Fault.REFUSED

    def fail(self, nth: int, fault: Fault) -> None:
        self.requests, self.failed = [], 0
        self._nth, self._fault, self._chosen = nth, fault, None

    def snapshot(self) -> tuple[dict[str, tuple[bytes, int]], list[str]]:
        """What ``restore`` puts back."""
        return dict(self._objects), list(self._keys)

    def restore(self, snapshot: tuple[dict[str, tuple[bytes, int]], list[str]]) -> None:
        self._objects, self._keys = dict(snapshot[0]), list(snapshot[1])

    def heal(self) -> None:
        """Nothing fails any more."""
        self.fail(_DONE, Fault.REFUSED)

    def retried(self) -> RetryingStore:
        """As roles see a bucket."""
        return RetryingStore(self, clock=SystemClock(), rng=Random(1), limits=_LIMITS)

    async def put(self, key: str, body: Sequence[Buffer], **options: Any) -> None:
        await self._do("put", key, lambda: super(FailingStore, self).put(key, body, **options))

    async def put_if_absent(self, key: str, body: Sequence[Buffer], **options: Any) -> None:
        await self._do("put_if_absent", key, lambda: super(FailingStore, self).put_if_absent(key, body, **options))

    async def get(self, key: str, **options: Any) -> bytes:
        return await self._do("get", key, lambda: super(FailingStore, self).get(key, **options))

    async def get_tail(self, key: str, length: int, **options: Any) -> bytes:
        return await self._do("get_tail", key, lambda: super(FailingStore, self).get_tail(key, length, **options))

    async def head(self, key: str) -> ObjectMeta:
        return await self._do("head", key, lambda: super(FailingStore, self).head(key))

    async def list(self, prefix: str, *, start_after: str = "") -> AsyncIterator[ObjectMeta]:
        async def found() -> list[ObjectMeta]:
            return [meta async for meta in super(FailingStore, self).list(prefix, start_after=start_after)]

        for meta in await self._do("list", prefix, found):
            yield meta

    async def _do(self, kind: str, key: str, work: Callable[[], Awaitable[Any]]) -> Any:
        self.requests.append((kind, key))
        if len(self.requests) - 1 == self._nth:
            self._chosen = kind, key
        if self._chosen != (kind, key) or self.failed == TIMES:
            return await work()
        self.failed += 1
        # A listing has no time-out above its backend, which bounds each page itself.
        if self._fault is Fault.TIMED_OUT and kind != "list":
            await asyncio.Event().wait()
        if self._fault is Fault.ANSWER_LOST:
            await work()
        raise RetryError(self._fault.value)
