"""The clock that every role gets: the loop's virtual time, and a wall clock that is wrong by a little, as each machine's is."""

import asyncio

_WALL_MS = 1_800_000_000_000


class SimClock:
    """See ``raylog.model.clock.Clock``."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wall_skew_ms: int = 0) -> None:
        self._loop = loop
        self._wall_skew_ms = wall_skew_ms

    def wall_ms(self) -> int:
        return _WALL_MS + self._wall_skew_ms + int(self._loop.time() * 1000)

    def monotonic(self) -> float:
        return self._loop.time()

    def boottime(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
