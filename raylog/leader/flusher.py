"""Cuts the write buffer into slots of the leader log by the WAL's flush policy, and settles them in order.

- ``immediate`` (object WAL): at once when nothing was cut for an interval, then one slot per interval or per ``max_bytes``.
  Otherwise (file WAL): an interval after the buffer's first entry, or at ``max_bytes``. Events and ``flush`` do not wait.
- The first slot waits for ``gather_s``: who has waited for a new leader comes to it at the same moment, and what misses this slot
  waits an interval for the next.
- A slot whose batches are in the WAL alone is read back when there is room for it in memory; its turn stays its own.
- Slots are pipelined; ``on_flushed`` is called in slot order, each once it and all before it are durable.
- The store's errors are tried again for ever by the log. What comes out of it (FencedError, a broken store) is fatal.
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from raylog.leader.write_buffer import Cut, WriteBuffer
from raylog.model.buffers import Buffer
from raylog.model.clock import Clock
from raylog.model.ids import Lsn
from raylog.storage.data_object import encode_meta
from raylog.storage.fenced_log import FencedLog
from raylog.storage.object_store import Priority
from raylog.storage.wal import FlushPolicy

_HEAVY_ROWS = 2000
"""A slot with more rows and events is encoded in a thread, as it would hold up the loop for milliseconds."""


class Flusher:
    """Owned by the leader; driven by ``poke``, timers and slots that become durable."""

    def __init__(
        self,
        *,
        log: FencedLog,
        buffer: WriteBuffer,
        policy: FlushPolicy,
        gather_s: float,
        in_flight_max: int,
        clock: Clock,
        content: Callable[[Cut], Awaitable[list[Buffer]]],
        on_cut: Callable[[Lsn], None],
        on_flushed: Callable[[int, Cut], None],
        on_fatal: Callable[[Exception], None],
    ) -> None:
        """``in_flight_max`` slots are under way at once; above it the buffer fills. ``content`` gives a slot's batches, read back
        if need be. ``on_cut`` is told the last entry of each slot as it begins to be written."""
        self._log = log
        self._buffer = buffer
        self._policy = policy
        self._gather_s = gather_s
        self._in_flight_max = in_flight_max
        self._clock = clock
        self._content = content
        self._on_cut = on_cut
        self._on_flushed = on_flushed
        self._on_fatal = on_fatal
        self._loop = asyncio.get_running_loop()
        self._slots: deque[tuple[asyncio.Task[int], Cut]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._tick_is_due = False
        self._last_cut_at = -math.inf
        self._first_entry_at: float | None = None
        self._is_preparing = False
        self._is_flushing = False
        self._idle_waiters: list[asyncio.Future[None]] = []
        self._is_stopped = False

    @property
    def in_flight(self) -> int:
        """Slots under way."""
        return len(self._slots)

    def poke(self) -> None:
        """Something was added to the buffer. Cheap: called for every request."""
        if not self._tick_is_due and (self._timer is None or self._is_urgent()):
            self._tick_is_due = True
            self._loop.call_soon(self._tick)

    async def flush(self) -> None:
        """Cut what is there now; returns when it is durable. Raises what ended the log."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._idle_waiters.append(waiter)
        self._is_flushing = True
        self.poke()
        await waiter

    async def drain(self) -> None:
        """As ``flush``, but what is added after the call is not waited for: it returns under load, too."""
        waiter = self._buffer.seal()
        if waiter is None:
            if not self._slots:
                return
            waiter = self._loop.create_future()
            self._slots[-1][1].waiters.append(waiter)
        self.poke()
        await waiter

    def stop(self, error: Exception) -> None:
        """Cut nothing more. Slots under way may still become durable; nobody hears of it."""
        if self._is_stopped:
            return
        self._is_stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for waiter in self._idle_waiters:
            if not waiter.done():
                waiter.set_exception(error)
        for task, cut in self._slots:
            task.cancel()
            for event_waiter in cut.waiters:
                if not event_waiter.done():
                    event_waiter.set_exception(error)

    async def join(self) -> None:
        """After ``stop``: wait until nothing of it runs any more."""
        await asyncio.gather(*(task for task, _ in self._slots), return_exceptions=True)

    def _is_urgent(self) -> bool:
        return self._is_flushing or self._buffer.has_events or self._buffer.size_bytes >= self._policy.max_bytes

    def _tick(self) -> None:
        self._tick_is_due = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while not self._is_stopped and not self._is_preparing and not self._buffer.is_empty():
            now = self._clock.monotonic()
            if self._first_entry_at is None:
                self._first_entry_at = now
            if len(self._slots) >= self._in_flight_max or not self._buffer.may_cut():
                return  # a slot that becomes durable calls again
            delay = self._delay(now)
            if delay > 0:
                self._timer = self._loop.call_later(delay, self._tick)
                return
            self._cut(now)
        self._settle_idle()

    def _delay(self, now: float) -> float:
        if self._is_urgent():
            return 0.0
        assert self._first_entry_at is not None
        due_at = self._policy.cut_at_s(self._last_cut_at, self._first_entry_at)
        if self._last_cut_at == -math.inf:
            due_at = max(due_at, self._first_entry_at + self._gather_s)
        return due_at - now

    def _cut(self, now: float) -> None:
        cut = self._buffer.cut()
        self._on_cut(cut.last_lsn)
        self._first_entry_at = None
        if cut.partitions:
            self._last_cut_at = now  # events are cut at once, and batches do not wait because of them
        if cut.draft.is_spilled or len(cut.meta.index) + len(cut.meta.producers) + len(cut.meta.events) > _HEAVY_ROWS:
            self._is_preparing = True
            task = self._loop.create_task(self._append_prepared(cut))
        else:
            task = self._loop.create_task(self._append(cut, cut.body, encode_meta(cut.meta)))
        self._slots.append((task, cut))
        task.add_done_callback(self._slot_done)

    async def _append_prepared(self, cut: Cut) -> int:
        meta = await self._loop.run_in_executor(None, encode_meta, cut.meta)
        append = self._loop.create_task(self._append(cut, await self._content(cut), meta))
        self._is_preparing = False
        self.poke()
        return await append

    def _append(self, cut: Cut, body: Sequence[Buffer], meta: bytes) -> Coroutine[Any, Any, int]:
        priority = Priority.LEADERSHIP if cut.meta.events else Priority.WAL
        return self._log.append(body, meta, by_s=cut.draft.write_by_s, priority=priority)

    def _slot_done(self, _: asyncio.Task[int]) -> None:
        try:
            while self._slots and self._slots[0][0].done() and not self._is_stopped:
                task, cut = self._slots[0]
                slot = task.result()
                self._slots.popleft()
                self._on_flushed(slot, cut)
                for waiter in cut.waiters:
                    if not waiter.done():
                        waiter.set_result(None)
        except Exception as error:  # noqa: BLE001 (fenced, a broken store, a broken invariant: the leader ends with it)
            self._on_fatal(error)
            return
        if not self._is_stopped:
            self._tick()

    def _settle_idle(self) -> None:
        if self._buffer.is_empty() and not self._slots and not self._is_stopped:
            self._is_flushing = False
            waiters, self._idle_waiters = self._idle_waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
