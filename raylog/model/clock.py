"""Time and randomness enter here, and nowhere else: everything above takes a ``Clock`` and a ``random.Random``.

The simulation passes a virtual clock; ruff's banned-api keeps ``time``, ``random`` and ``asyncio.sleep`` out of the rest.
"""

import asyncio
import random
import time
from typing import Protocol

Random = random.Random
"""The type of an injected generator, importable without the banned module."""


class Clock(Protocol):
    def wall_ms(self) -> int:
        """Milliseconds since 1970, UTC: record timestamps and object ages only, never for measuring spans."""
        ...

    def monotonic(self) -> float:
        """Seconds, never going back; for spans and deadlines."""
        ...

    def boottime(self) -> float:
        """Seconds that also pass while the machine sleeps (CLOCK_BOOTTIME): for proofs of recency after a pause."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's clocks."""

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    monotonic = staticmethod(time.monotonic)
    """Not a method of ours: it is called several times a request."""

    def boottime(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def system_random() -> random.Random:
    """A generator seeded by the operating system."""
    return random.Random(random.SystemRandom().getrandbits(128))
