"""What a leader does by the clock: counts published, loop lag measured, room asked for again, idle producers forgotten,
checkpoints not put off for ever, load measured."""

from raylog.leader.admission import Admission
from raylog.leader.append import Appender
from raylog.leader.checkpoints import Checkpoints
from raylog.leader.coordinator import GroupCoordinators
from raylog.leader.hosted import HostedPartitions
from raylog.leader.load_meter import LoadMeter
from raylog.leader.metrics import LeaderMetrics
from raylog.leader.tail_cache import TailCache
from raylog.model.clock import Clock

_ROUND_SECONDS = 1.0
_EXPIRY_ROUNDS = 60
"""Rounds over which the producers of all partitions are looked at once, a share of them in each."""


class Housekeeping:
    def __init__(
        self,
        *,
        clock: Clock,
        metrics: LeaderMetrics,
        partitions: HostedPartitions,
        appender: Appender,
        admission: Admission,
        coordinators: GroupCoordinators,
        cache: TailCache,
        checkpoints: Checkpoints,
        loads: LoadMeter,
    ) -> None:
        self._clock = clock
        self._metrics = metrics
        self._partitions = partitions
        self._appender = appender
        self._admission = admission
        self._coordinators = coordinators
        self._cache = cache
        self._checkpoints = checkpoints
        self._loads = loads

    async def run(self) -> None:
        """For ever, once a second."""
        round_number = 0
        while True:
            slept_at = self._clock.monotonic()
            await self._clock.sleep(_ROUND_SECONDS)
            self._metrics.loop_lag_seconds.observe(max(0.0, self._clock.monotonic() - slept_at - _ROUND_SECONDS))
            self.publish()
            # A WAL on a full disk may have got room from elsewhere.
            self._admission.retry()
            self._coordinators.retry()
            self._checkpoints.look()
            self._loads.look()
            self._expire_producers(round_number % _EXPIRY_ROUNDS)
            round_number += 1

    def publish(self) -> None:
        """Bring the counts to the metrics."""
        self._metrics.partitions.set(len(self._partitions))
        self._metrics.unflushed_bytes.set(self._appender.unflushed_bytes)
        self._metrics.spilled_bytes.set(self._appender.spilled_bytes)
        self._metrics.tail_bytes.set(self._cache.used_bytes)
        self._metrics.replay_rows.set(self._checkpoints.replay_rows)
        self._metrics.publish()

    def _expire_producers(self, share: int) -> None:
        now_ms = self._clock.wall_ms()
        for number, hosted in enumerate(self._partitions):
            if number % _EXPIRY_ROUNDS == share:
                hosted.core.expire_producers(now_ms)
