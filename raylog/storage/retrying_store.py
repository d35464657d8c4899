"""The wrapper that every role uses: attempts with a time-out, repeated with full jitter until one's patience is over.

- At most ``requests_max`` attempts are under way, the urgent ones first; a time-out counts from when an attempt has its place.
- A conditional PUT that timed out, was answered by an error, or was hedged may have won. So "exists already" is believed only
  after the object's first bytes were read back: a body's first ``IDENTITY_BYTES`` must say who writes it and which
  write it is (slot headers do: writer id and slot number), and if they are our own, the PUT has succeeded.
- An attempt that was given up can still land later. A key written by ``put`` must therefore mean the same whenever it lands.
- A slow conditional PUT of the WAL may be hedged: sent a second time, which the same rule makes safe. One that says who leads
  is sent several times at once then, and the first answer counts.
- A listing is taken up again after the last key seen. It has no time-out of its own: backends bound each page.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing
from itertools import count
from typing import Any, TypeVar

from raylog.model.buffers import Buffer
from raylog.model.clock import Clock, Random
from raylog.model.errors import AlreadyExistsError, NotFoundError, RetryError
from raylog.model.limits import StoreLimits
from raylog.model.logs import fields, role_logger
from raylog.protocol.file_range import FileRange
from raylog.storage.hedge_delay import HedgeDelay
from raylog.storage.object_store import ObjectMeta, ObjectStore, Priority
from raylog.storage.race import hedged, within
from raylog.storage.request_gate import RequestGate

T = TypeVar("T")
Put = Callable[[], Coroutine[Any, Any, None]]

_LOG = role_logger("store")
_FAILURES_BEFORE_WARNING = 4
"""Fewer are the bucket's daily weather."""

IDENTITY_BYTES = 64
"""A slot header's length."""


class RetryingStore:
    def __init__(
        self,
        inner: ObjectStore,
        *,
        clock: Clock,
        rng: Random,
        limits: StoreLimits | None = None,
        hedge_delay: HedgeDelay | None = None,
    ) -> None:
        """``hedge_delay`` None: PUTs are not hedged."""
        self._inner = inner
        self._clock = clock
        self._rng = rng
        self._limits = limits or StoreLimits()
        self._hedge_delay = hedge_delay
        self._gate = RequestGate(self._limits.requests_max)

    @property
    def url(self) -> str:
        return self._inner.url

    async def put(self, key: str, body: Sequence[Buffer], *, priority: Priority = Priority.TAIL) -> None:
        await self._retry(
            f"Writing {key}", priority, _size(body), lambda: self._inner.put(key, body, priority=priority)
        )

    async def put_if_absent(self, key: str, body: Sequence[Buffer], *, priority: Priority = Priority.WAL) -> None:
        size = _size(body)

        async def put() -> None:
            try:
                await self._attempt(priority, size, lambda: self._inner.put_if_absent(key, body, priority=priority))
            except AlreadyExistsError:
                if not await self._is_ours(key, body, priority):
                    raise

        await self._until_patience_ends(f"Writing {key}", self._hedged(put, size, priority))

    async def get(
        self, key: str, *, start: int = 0, length: int | None = None, priority: Priority = Priority.TAIL
    ) -> bytes:
        return await self._retry(
            f"Reading {key}",
            priority,
            length or 0,
            lambda: self._inner.get(key, start=start, length=length, priority=priority),
        )

    @property
    def has_files(self) -> bool:
        return self._inner.has_files

    def file_range(self, key: str, start: int, length: int) -> FileRange | None:
        return self._inner.file_range(key, start, length)

    async def get_tail(self, key: str, length: int, *, priority: Priority = Priority.TAIL) -> bytes:
        return await self._retry(
            f"Reading {key}", priority, length, lambda: self._inner.get_tail(key, length, priority=priority)
        )

    async def head(self, key: str) -> ObjectMeta:
        return await self._retry(f"Looking at {key}", Priority.TAIL, 0, lambda: self._inner.head(key))

    async def list(self, prefix: str, *, start_after: str = "") -> AsyncIterator[ObjectMeta]:
        last = start_after
        give_up = self._clock.monotonic() + self._limits.patience_s
        for failures in count():
            try:
                async with aclosing(self._inner.list(prefix, start_after=last)) as found:  # type: ignore[type-var]
                    async for meta in found:
                        last = meta.key
                        yield meta
                        give_up = self._clock.monotonic() + self._limits.patience_s
                return
            except RetryError as error:
                await self._back_off(f"Listing {prefix}", failures, give_up, error)

    async def delete(self, keys: Sequence[str]) -> None:
        if keys:
            await self._retry(f"Deleting {keys[0]}", Priority.BACKGROUND, 0, lambda: self._inner.delete(keys))

    async def close(self) -> None:
        await self._inner.close()

    def _hedged(self, put: Put, size: int, priority: Priority) -> Put:
        """The put as it is tried: once, or again when it is slow, or several times at once."""
        limits, delay = self._limits, self._hedge_delay
        if delay is None or priority > Priority.WAL or size > limits.hedge_bytes_max:
            return put
        if priority == Priority.LEADERSHIP and size <= limits.leadership_bytes_max:
            return lambda: hedged(0.0, put, more=limits.leadership_puts - 1)
        return lambda: self._hedge(delay, put)

    async def _hedge(self, delay: HedgeDelay, put: Put) -> None:
        started = self._clock.monotonic()
        await hedged(delay.current_s, put)
        # From the first one's start, whichever won: a hedge's own time would draw the percentile down.
        delay.record(self._clock.monotonic() - started)

    async def _is_ours(self, key: str, body: Sequence[Buffer], priority: Priority) -> bool:
        own = _first_bytes(body, IDENTITY_BYTES)
        try:
            return await self.get(key, length=IDENTITY_BYTES, priority=priority) == own
        except NotFoundError:
            return False  # It was there, and somebody has deleted it since: not a log's newest slot.

    async def _attempt(self, priority: Priority, size: int, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async with self._gate.place(priority):
            return await within(self._limits.attempt_s_max + size / self._limits.bytes_per_s_min, call())

    async def _retry(self, what: str, priority: Priority, size: int, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return await self._until_patience_ends(what, lambda: self._attempt(priority, size, call))

    async def _until_patience_ends(self, what: str, attempt: Callable[[], Coroutine[Any, Any, T]]) -> T:
        give_up = self._clock.monotonic() + self._limits.patience_s
        for failures in count():
            try:
                return await attempt()
            except RetryError as error:
                await self._back_off(what, failures, give_up, error)
        raise AssertionError("unreachable: an attempt returns or raises")

    async def _back_off(self, what: str, failures: int, give_up: float, error: RetryError) -> None:
        """Sleep before the next attempt; raises RetryError instead when that would be after ``give_up``."""
        ceiling_s = min(self._limits.backoff_s_max, self._limits.backoff_s_initial * 2 ** min(failures, 30))
        pause_s = self._rng.uniform(0, ceiling_s)
        if self._clock.monotonic() + pause_s > give_up:
            raise RetryError(
                f"{what} has failed for {self._limits.patience_s:.3g} s; the last time: {error}"
            ) from error
        if failures + 1 == _FAILURES_BEFORE_WARNING:
            _LOG.warning("the bucket fails, trying on", extra=fields(store=self.url, doing=what, error=error))
        await self._clock.sleep(pause_s)


def _size(body: Sequence[Buffer]) -> int:
    return sum(len(memoryview(buffer).cast("B")) for buffer in body)


def _first_bytes(body: Sequence[Buffer], length: int) -> bytes:
    parts: list[bytes] = []
    for buffer in body:
        if length <= 0:
            break
        parts.append(bytes(memoryview(buffer).cast("B")[:length]))
        length -= len(parts[-1])
    return b"".join(parts)
