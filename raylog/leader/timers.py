"""Many timers, one sleeper: a heap of deadlines, with keys that can be set again or cancelled cheaply.

Sessions are extended with every heartbeat, so setting a timer later only notes the new deadline: the heap's entry is looked at
when the old one has come.
"""

import asyncio
import heapq
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from raylog.model.clock import Clock

K = TypeVar("K", bound=Hashable)


class Timers(Generic[K]):
    """``fire(key)`` is called on the event loop by ``run``, in the order of deadlines, then of setting; never for a key that has
    been cancelled or set to later."""

    def __init__(self, clock: Clock, fire: Callable[[K], None]) -> None:
        self._clock = clock
        self._fire = fire
        self._deadlines: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._queued: dict[K, float] = {}
        """The earliest deadline under which a key is in the heap."""
        self._count = 0
        self._earlier = asyncio.Event()

    def __len__(self) -> int:
        return len(self._deadlines)

    def set(self, key: K, delay_ms: int) -> None:
        deadline = self._clock.monotonic() + delay_ms / 1000
        self._deadlines[key] = deadline
        queued = self._queued.get(key)
        if queued is None or deadline < queued:
            self._push(key, deadline)

    def cancel(self, key: K) -> None:
        self._deadlines.pop(key, None)

    def clear(self) -> None:
        self._deadlines.clear()
        self._queued.clear()
        self._heap.clear()

    async def run(self) -> None:
        """Fire what is due, for ever."""
        while True:
            self._earlier.clear()
            self._fire_due()
            if not self._heap:
                await self._earlier.wait()
            elif (delay_s := self._heap[0][0] - self._clock.monotonic()) > 0:
                await self._sleep(delay_s)

    def _push(self, key: K, deadline: float) -> None:
        self._queued[key] = deadline
        self._count += 1
        heapq.heappush(self._heap, (deadline, self._count, key))
        if self._heap[0][2] == key:
            self._earlier.set()

    def _fire_due(self) -> None:
        now = self._clock.monotonic()
        while self._heap and self._heap[0][0] <= now:
            queued, _, key = heapq.heappop(self._heap)
            if self._queued.get(key) != queued:
                continue
            del self._queued[key]
            deadline = self._deadlines.get(key)
            if deadline is None:
                continue
            if deadline > now:
                self._push(key, deadline)
            else:
                del self._deadlines[key]
                self._fire(key)

    async def _sleep(self, delay_s: float) -> None:
        """Until the delay is over, or an earlier deadline has been set."""
        sleeping = asyncio.ensure_future(self._clock.sleep(delay_s))
        waiting = asyncio.ensure_future(self._earlier.wait())
        try:
            await asyncio.wait((sleeping, waiting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            waiting.cancel()
