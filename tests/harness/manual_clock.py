"""A clock for tests that say what time it is."""

import asyncio


class ManualClock:
    """Time that passes only when told, or when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def wall_ms(self) -> int:
        return int(self.now_s * 1000)

    def monotonic(self) -> float:
        return self.now_s

    boottime = monotonic

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        await asyncio.sleep(0)
