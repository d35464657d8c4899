"""What each partition gives this leader to do. The hot path adds to plain numbers (``PartitionWork``); every few seconds they
become smoothed rates, which go to the controller with the next poll for assignments.

A rate's first estimate is that of the first whole interval, not a climb from zero: a partition that has just moved, or a leader
that has just been started, is not taken for an idle one.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from raylog.model.clock import Clock
from raylog.model.limits import BalanceLimits
from raylog.model.load import CpuRate, LoadReport, PartitionLoad, ProcessUsage, newest_share, weight

if TYPE_CHECKING:
    from raylog.leader.hosted import HostedPartition

_NEXT_TO_NOTHING: Final = 1024.0
"""Weighted bytes a second; a partition below is not reported, and its estimate begins anew."""


class PartitionWork:
    """Counts since the last sample, and what was made of those before."""

    __slots__ = ("_bytes_in", "_bytes_out", "_is_new", "_requests", "_seen", "bytes_in", "bytes_out", "requests")

    def __init__(self) -> None:
        self.bytes_in = 0
        self.bytes_out = 0
        """From memory."""
        self.requests = 0
        """Appends and looks of fetches."""
        self._bytes_in = self._bytes_out = self._requests = 0.0
        self._seen = 0.0
        """How much of an estimate is of samples, and not yet of the zero that it began with."""
        self._is_new = True
        """It came in the middle of the interval that the next sample is of."""

    def sample(self, seconds: float, share: float) -> tuple[float, float, float] | None:
        """Rates of bytes in, bytes out and requests, with ``share`` of the newest sample; None for next to nothing."""
        if self._is_new:
            self._is_new = False
            self.bytes_in = self.bytes_out = self.requests = 0
        if not (self.requests or self._seen):
            return None
        self._bytes_in += share * (self.bytes_in / seconds - self._bytes_in)
        self._bytes_out += share * (self.bytes_out / seconds - self._bytes_out)
        self._requests += share * (self.requests / seconds - self._requests)
        self._seen += share * (1 - self._seen)
        self.bytes_in = self.bytes_out = self.requests = 0
        seen = self._seen
        rates = self._bytes_in / seen, self._bytes_out / seen, self._requests / seen
        if weight(*rates) >= _NEXT_TO_NOTHING:
            return rates
        self._bytes_in = self._bytes_out = self._requests = self._seen = 0.0
        return None


class LoadMeter:
    """``look`` now and then, more often than ``report_s``."""

    def __init__(
        self,
        partitions: Iterable["HostedPartition"],
        clock: Clock,
        limits: BalanceLimits,
        usage: Callable[[], ProcessUsage],
        requests: Callable[[], int],
    ) -> None:
        """``requests`` gives how many have come to the leader so far, of any kind."""
        self._partitions = partitions
        self._clock = clock
        self._limits = limits
        self._usage = usage
        self._requests = requests
        self._requests_seen = 0
        self._idle_s = 0.0
        self._sampled_s = 0.0
        self._cpu: CpuRate | None = None
        """None before the first look."""
        self._report: LoadReport | None = None

    def look(self) -> None:
        """Make a report when it is time for one."""
        now_s = self._clock.monotonic()
        if self._cpu is None:
            self._sampled_s, self._cpu = now_s, CpuRate(self._limits.half_life_s, self._usage().cpu_s)
            return
        seconds = now_s - self._sampled_s
        if seconds < self._limits.report_s:
            return
        self._sampled_s = now_s
        share = newest_share(seconds, self._limits.half_life_s)
        requests = self._requests()
        self._idle_s = self._idle_s + seconds if requests == self._requests_seen else 0.0
        self._requests_seen = requests
        usage = self._usage()
        self._report = LoadReport(
            partitions=tuple(
                PartitionLoad(hosted.partition, *rates)
                for hosted in self._partitions
                if (rates := hosted.work.sample(seconds, share)) is not None
            ),
            cpu=self._cpu.sample(seconds, usage.cpu_s),
            memory_bytes=usage.memory_bytes,
            idle_s=self._idle_s,
        )

    def take(self) -> LoadReport | None:
        """The newest report, once. One that gets lost is made up for by the next."""
        report, self._report = self._report, None
        return report
