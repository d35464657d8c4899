"""What the gateway counts. Hot paths add to plain numbers; ``publish`` brings them to prometheus-client once a second.

In a node's processes prometheus-client keeps its values in files that ``/metrics`` merges, and each change of one costs about as
much as decoding a request.
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

from kio.schema.errors import ErrorCode
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from raylog.protocol.wire import api_name

_LATENCY_BUCKETS_S: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LAG_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)


class ApiMetrics:
    """One API's counters; to be added to freely."""

    __slots__ = ("_counts", "_metrics", "_name", "_seconds", "bytes_in", "bytes_out", "failures")

    def __init__(self, metrics: "GatewayMetrics", name: str) -> None:
        self._metrics = metrics
        self._name = name
        self._counts = [0] * (len(_LATENCY_BUCKETS_S) + 1)
        self._seconds = 0.0
        self.bytes_in = 0
        self.bytes_out = 0
        self.failures = 0

    def answered(self, seconds: float, bytes_in: int, bytes_out: int) -> None:
        self._counts[bisect_left(_LATENCY_BUCKETS_S, seconds)] += 1
        self._seconds += seconds
        self.bytes_in += bytes_in
        self.bytes_out += bytes_out

    def publish(self) -> None:
        if self.bytes_in:
            self._metrics.bytes_in.labels(self._name).inc(self.bytes_in)
            self._metrics.bytes_out.labels(self._name).inc(self.bytes_out)
            self.bytes_in = self.bytes_out = 0
            self._publish_latency(self._metrics.latency_s.labels(self._name))
        if self.failures:
            self._metrics.failures.labels(self._name).inc(self.failures)
            self.failures = 0

    def _publish_latency(self, histogram: Histogram) -> None:
        # The library cannot add many observations at once; a test holds this to what observing each would give.
        for place, count in enumerate(self._counts):
            if count:
                histogram._buckets[place].inc(count)
                self._counts[place] = 0
        histogram._sum.inc(self._seconds)
        self._seconds = 0.0


class GatewayMetrics:
    """One per gateway; ``registry`` is the process's."""

    def __init__(self, registry: CollectorRegistry, api_keys: Iterable[int]) -> None:
        self.latency_s = Histogram(
            "raylog_gateway_request_seconds",
            "From a request's arrival to its answer's hand-over to the socket; its count is the number of requests.",
            ["api"],
            buckets=_LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.bytes_in = Counter("raylog_gateway_request_bytes", "Bytes of requests.", ["api"], registry=registry)
        self.bytes_out = Counter("raylog_gateway_answer_bytes", "Bytes of answers.", ["api"], registry=registry)
        self.failures = Counter(
            "raylog_gateway_request_failures",
            "Requests that ended in a closed connection or in an answer for a leader that was away.",
            ["api"],
            registry=registry,
        )
        self.errors = Counter(
            "raylog_gateway_error_answers",
            "Answers in which a Kafka error code stands, by its name.",
            ["api", "error"],
            registry=registry,
        )
        self.refused = Counter(
            "raylog_gateway_refused_connections",
            "Connections closed by the gateway, by reason: limit, idle, slow, frame, request.",
            ["reason"],
            registry=registry,
        )
        self.connections = Gauge(
            "raylog_gateway_connections", "Open client connections.", registry=registry, multiprocess_mode="livesum"
        )
        self.in_flight_bytes = Gauge(
            "raylog_gateway_in_flight_bytes",
            "Bytes of requests that are not answered yet.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.loop_lag_s = Histogram(
            "raylog_gateway_loop_lag_seconds",
            "How much later than asked for the event loop woke the one who measures it.",
            buckets=_LAG_BUCKETS_S,
            registry=registry,
        )
        self.zone_bytes = Counter(
            "raylog_gateway_zone_bytes",
            "Bytes sent and received over connections of which both ends' zones are known; crosses: yes, no.",
            ["link", "direction", "zone", "peer_zone", "crosses"],
            registry=registry,
        )
        self.apis = {key: ApiMetrics(self, api_name(key)) for key in api_keys}

    def error(self, api_key: int, code: ErrorCode) -> None:
        self.errors.labels(api_name(api_key), code.name).inc()

    def publish(self) -> None:
        for api in self.apis.values():
            api.publish()
