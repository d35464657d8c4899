"""Retention: now and then every partition's log start moves past what its topic no longer keeps.

What goes is decided by ``raylog.partition.retention``; the move is the same durable event as DeleteRecords'. The objects
themselves stay until trimming and garbage collection find that nothing points into them.
"""

import asyncio
from collections.abc import Mapping

from raylog.leader.hosted import HostedPartitions
from raylog.leader.log_start import LogStarts
from raylog.leader.turns import in_turns
from raylog.model.broker_config import BROKER_CONFIGS
from raylog.model.clock import Clock
from raylog.model.logs import RoleLogger, fields

CHECK_INTERVAL = "log.retention.check.interval.ms"


class Retention:
    def __init__(
        self, *, partitions: HostedPartitions, log_starts: LogStarts, clock: Clock, logger: RoleLogger
    ) -> None:
        self._partitions = partitions
        self._log_starts = log_starts
        self._clock = clock
        self._logger = logger
        self._interval_s = 0.0
        self._is_configured = asyncio.Event()
        self.configure({})

    def configure(self, broker_configs: Mapping[str, str]) -> None:
        """The cluster's settings as they are now: a new interval begins at once. Raises InvalidError."""
        key = BROKER_CONFIGS[CHECK_INTERVAL]
        interval_ms = key.parse(broker_configs.get(CHECK_INTERVAL, key.default or ""))
        assert isinstance(interval_ms, int)
        if interval_ms / 1000 != self._interval_s:
            self._interval_s = interval_ms / 1000
            self._is_configured.set()

    async def run(self) -> None:
        """Look once in each interval, for ever. Raises FencedError."""
        while True:
            self._is_configured.clear()
            if await self._interval_has_passed():
                await self.look()

    async def look(self) -> int:
        """Move the log starts that are due; returns how many, once that is durable. Raises FencedError."""
        moves: list[asyncio.Future[None]] = []
        async for hosted in in_turns(list(self._partitions), self._clock):
            target = hosted.core.retention_start(self._clock.wall_ms()) if hosted.is_serving else 0
            if target > hosted.core.log_start_offset:
                moves.append(self._log_starts.begin(hosted, target))
        await asyncio.gather(*map(asyncio.shield, moves))
        if moves:
            self._logger.info("retention has taken old records", extra=fields(partitions=len(moves)))
        return len(moves)

    async def _interval_has_passed(self) -> bool:
        """Wait for one interval; False when it has become another one meanwhile."""
        sleeping = asyncio.ensure_future(self._clock.sleep(self._interval_s))
        told = asyncio.ensure_future(self._is_configured.wait())
        try:
            await asyncio.wait((sleeping, told), return_when=asyncio.FIRST_COMPLETED)
            return sleeping.done()
        finally:
            sleeping.cancel()
            told.cancel()
