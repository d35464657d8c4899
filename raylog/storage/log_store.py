"""A fenced log's requests to the bucket: slots and checkpoints by number, tried again for ever while the store is away.

Patience belongs here, because a log can neither go on without an answer nor guess it. The store's own retries
(``RetryError`` comes after them) are quick; these go on at growing intervals, and each leaves a line in the log.

So does impatience: while a log is being opened nobody leads, so a slow read that everything waits for is sent again (hedged). A
bucket that answers within ``hedge_s``, as a folder does, never sees a second one.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from raylog.model.buffers import Buffer
from raylog.model.clock import Clock, Random
from raylog.model.errors import AlreadyExistsError, CorruptError, NotFoundError, RetryError
from raylog.model.limits import LogLimits
from raylog.model.logs import fields, role_logger
from raylog.storage.checkpoint import Checkpoint, latest_checkpoint, list_checkpoints
from raylog.storage.keys import log_prefix, number_of, slot_key
from raylog.storage.object_store import ObjectMeta, ObjectStore, Priority
from raylog.storage.race import hedged, seconded
from raylog.storage.slot_format import (
    OVERHEAD_BYTES,
    RECORD_BYTES,
    SlotRecord,
    decode_footer,
    decode_header,
    encode_slot,
    meta_from_tail,
)

_T = TypeVar("_T")


class LogStore:
    """The bucket as the log under ``prefix`` uses it."""

    def __init__(self, store: ObjectStore, prefix: str, clock: Clock, rng: Random, limits: LogLimits) -> None:
        self.store = store
        self.prefix = prefix
        self.limits = limits
        self._clock = clock
        self._rng = rng
        self._log = role_logger("log", log=prefix)

    async def claim(
        self, record: SlotRecord, body: Sequence[Buffer], meta: bytes, priority: Priority = Priority.WAL
    ) -> SlotRecord | None:
        """Put a slot if its number is free; returns the record that now holds the number: equal to ``record`` if it is ours.

        None: the number was taken and then trimmed, so the log has moved far past it. A put whose answer was lost may have won,
        so what says "taken" is only believed after a look at who took it.
        """
        key = slot_key(self.prefix, record.slot)
        content = encode_slot(record, body, meta)
        try:
            await self._patiently("put", key, lambda: self.store.put_if_absent(key, content, priority=priority))
        except AlreadyExistsError:
            return await self._holder(record.slot, key)
        return record

    async def _holder(self, slot: int, key: str) -> SlotRecord | None:
        try:
            head = await self._patiently("get", key, lambda: self.store.get(key, start=0, length=RECORD_BYTES))
        except NotFoundError:
            return None
        holder = decode_header(head, key)
        if holder.slot != slot:
            raise CorruptError(f"'{key}' holds slot {holder.slot}: the bucket's objects were moved or renamed.")
        return holder

    async def read_slot(self, found: ObjectMeta) -> tuple[SlotRecord, bytes]:
        """A listed slot's record and meta, in one read of its tail (two if the meta is long). Raises NotFoundError."""
        key = found.key
        if found.size < OVERHEAD_BYTES:
            raise CorruptError(f"Slot '{key}' has {found.size} bytes, fewer than its header and footer.")
        tail = await self._read_tail(key, min(found.size, self.limits.tail_bytes))
        record = decode_footer(tail, key)
        if record.slot != number_of(key) or record.size_bytes != found.size:
            raise CorruptError(f"Slot '{key}' does not hold what its key and size promise.")
        needed = record.meta_bytes + RECORD_BYTES
        if needed > len(tail):
            tail = await self._read_tail(key, needed)
        return record, meta_from_tail(tail, record, key)

    async def _read_tail(self, key: str, length: int) -> bytes:
        return await self._patiently("get", key, lambda: self.store.get_tail(key, length))

    async def read_slot_soon(
        self, found: ObjectMeta, read: asyncio.Task[tuple[SlotRecord, bytes]]
    ) -> tuple[SlotRecord, bytes]:
        """What ``read_slot`` gives, of which ``read`` is a call under way, hedged from now on. Raises NotFoundError."""
        limits = self.limits
        return await seconded(read, limits.hedge_s, lambda: self.read_slot(found), more=limits.hedges)

    async def list_slots(self, above: int) -> AsyncGenerator[tuple[int, ObjectMeta], None]:
        """Slots with a number greater than ``above``, rising, as far as they are asked for."""
        prefix = log_prefix(self.prefix)
        delay_s = self.limits.retry_delay_s_min
        while True:
            try:
                async for found in self.store.list(prefix, start_after=slot_key(self.prefix, above)):
                    above = number_of(found.key)
                    yield above, found
                return
            except RetryError as error:
                delay_s = await self._pause("list", prefix, error, delay_s)

    async def slots_above(self, above: int) -> list[tuple[int, ObjectMeta]]:
        """What ``list_slots`` gives, all of it, hedged."""

        async def listed() -> list[tuple[int, ObjectMeta]]:
            return [slot async for slot in self.list_slots(above)]

        return await self._hedged(listed)

    async def latest_checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint, hedged. Raises CorruptError, and the store's RetryError."""
        return await self._hedged(lambda: latest_checkpoint(self.store, self.prefix))

    async def newest_checkpoint_slot(self) -> int:
        """The slot of the newest checkpoint, 0 if there is none: no slot above it was ever trimmed."""

        async def newest() -> int:
            return max([slot async for slot, _ in list_checkpoints(self.store, self.prefix)], default=0)

        return await self._patiently("list", self.prefix, newest)

    async def _hedged(self, read: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        return await hedged(self.limits.hedge_s, read, more=self.limits.hedges)

    async def _patiently(self, request: str, key: str, call: Callable[[], Awaitable[_T]]) -> _T:
        delay_s = self.limits.retry_delay_s_min
        while True:
            try:
                return await call()
            except RetryError as error:
                delay_s = await self._pause(request, key, error, delay_s)

    async def _pause(self, request: str, key: str, error: RetryError, delay_s: float) -> float:
        """Wait about ``delay_s``; returns the next delay."""
        self._log.warning(
            "the bucket does not answer, trying again", extra=fields(request=request, key=key, error=error)
        )
        await self._clock.sleep(delay_s * self._rng.uniform(0.5, 1.0))
        return min(delay_s * 2, self.limits.retry_delay_s_max)
