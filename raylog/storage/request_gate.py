"""Bounds the requests under way, and decides who goes next when there are more.

Fair with priorities: a waiter queues as though it had come ``priority * AGEING`` requests later, so urgent requests overtake and
nobody starves. Bulk work (catch-up reads, background) never holds all places: a WAL write finds one free.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from raylog.storage.object_store import Priority

AGEING = 64
"""Requests that may overtake a waiter for each level of priority below theirs."""

_Ticket = tuple[int, asyncio.Future[None]]


class RequestGate:
    """``async with gate.place(priority): …`` holds one of ``places``."""

    def __init__(self, places: int) -> None:
        assert places > 0
        self._held = 0
        self._tickets = 0
        # How full the gate may be for a request of this priority to enter.
        self._ceilings = {
            Priority.LEADERSHIP: places,
            Priority.WAL: places,
            Priority.TAIL: max(1, places - places // 8),
            Priority.CATCH_UP: max(1, places * 3 // 4),
            Priority.BACKGROUND: max(1, places // 2),
        }
        self._queues: dict[Priority, deque[_Ticket]] = {priority: deque() for priority in Priority}

    @property
    def held(self) -> int:
        return self._held

    @property
    def waiting(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    @asynccontextmanager
    async def place(self, priority: Priority) -> AsyncIterator[None]:
        await self._enter(priority)
        try:
            yield
        finally:
            self._held -= 1
            self._admit()

    async def _enter(self, priority: Priority) -> None:
        self._tickets += 1
        if self._held < self._ceilings[priority] and not self._queues[priority]:
            self._held += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        ticket = (self._tickets + priority * AGEING, turn)
        self._queues[priority].append(ticket)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # The place was given to us in the same turn of the loop: pass it on.
                self._held -= 1
                self._admit()
            elif ticket in self._queues[priority]:
                self._queues[priority].remove(ticket)
            raise

    def _admit(self) -> None:
        """Give free places to the waiters that are due, in ticket order, as far as their ceilings allow."""
        while True:
            due = [
                (queue[0][0], priority)
                for priority, queue in self._queues.items()
                if queue and self._held < self._ceilings[priority]
            ]
            if not due:
                return
            _, priority = min(due)
            _, turn = self._queues[priority].popleft()
            if turn.cancelled():
                continue  # its task has not run since then, to leave the queue
            self._held += 1
            turn.set_result(None)
