"""Walks over many partitions in turns of the event loop, so that nobody waits for the whole of one."""

from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

from raylog.model.clock import Clock

T = TypeVar("T")

_TURN_SECONDS = 0.002


async def in_turns(items: Iterable[T], clock: Clock) -> AsyncIterator[T]:
    """The items, with everybody else's turn after each 2 ms: what is walked over may change between any two."""
    began_s = clock.monotonic()
    for item in items:
        yield item
        if clock.monotonic() - began_s > _TURN_SECONDS:
            await clock.sleep(0)
            began_s = clock.monotonic()
