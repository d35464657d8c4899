"""How long S3 takes, as a random variable: for benchmarks without S3 and for the simulation.

A request takes a log-normal time, given by its median and 99th percentile, plus a time per MiB; one in a thousand
takes several times as long, the tail that hedging is for. Figures are for a client in the bucket's region on warm
connections.

Sources. S3 Standard: AWS's guide ("Performance design patterns for Amazon S3") gives 100-200 ms to the first byte as
what to design for, and 85-90 MB/s for one connection; PUTs of 60 KB measured from Lambda in the region take 60-130 ms
(kkc.github.io, "How I Analyze S3 Upload Latency Issues"); WarpStream sees a produce p99 of 400 ms with batches of up to
250 ms. S3 Express: AWS says single-digit milliseconds; WarpStream's Lightning topics see a produce p50 of 33 ms and a
p99 of 50 ms there, batching included. The figures below are our reading of these, not a measurement: say "under the
model" when a result rests on them.
"""

import math
from dataclasses import dataclass

from raylog.model.clock import Random

_Z99 = 2.326
"""The standard normal distribution's 99th percentile."""
_TAIL_PROBABILITY = 0.001
_TAIL_FACTORS = (3.0, 8.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationLatency:
    p50_ms: float
    p99_ms: float
    per_mib_ms: float = 0.0

    def draw_s(self, rng: Random, size_bytes: int) -> float:
        """Seconds that one request takes."""
        if self.p50_ms == 0:
            return 0.0
        sigma = math.log(self.p99_ms / self.p50_ms) / _Z99
        first_byte_ms = rng.lognormvariate(math.log(self.p50_ms), sigma)
        if rng.random() < _TAIL_PROBABILITY:
            first_byte_ms *= rng.uniform(*_TAIL_FACTORS)
        return (first_byte_ms + self.per_mib_ms * size_bytes / (1 << 20)) / 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyModel:
    put: OperationLatency
    get: OperationLatency
    head: OperationLatency
    list: OperationLatency
    delete: OperationLatency


_AT_ONCE = OperationLatency(p50_ms=0, p99_ms=0)
NO_LATENCY = LatencyModel(put=_AT_ONCE, get=_AT_ONCE, head=_AT_ONCE, list=_AT_ONCE, delete=_AT_ONCE)
S3_STANDARD = LatencyModel(
    put=OperationLatency(p50_ms=60, p99_ms=200, per_mib_ms=12),
    get=OperationLatency(p50_ms=25, p99_ms=120, per_mib_ms=11),
    head=OperationLatency(p50_ms=15, p99_ms=80),
    list=OperationLatency(p50_ms=50, p99_ms=250),
    delete=OperationLatency(p50_ms=50, p99_ms=200),
)
S3_EXPRESS = LatencyModel(
    put=OperationLatency(p50_ms=7, p99_ms=18, per_mib_ms=6),
    get=OperationLatency(p50_ms=4, p99_ms=12, per_mib_ms=5),
    head=OperationLatency(p50_ms=3, p99_ms=10),
    list=OperationLatency(p50_ms=8, p99_ms=25),
    delete=OperationLatency(p50_ms=7, p99_ms=20),
)
LATENCY_MODELS = {"s3-standard": S3_STANDARD, "s3-express": S3_EXPRESS}
