"""What the gateway counts. Children of labelled metrics are made once, as looking them up costs more than counting."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from raylog.protocol.wire import api_name

_LATENCY_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LAG_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)


class ApiMetrics:
    """One API's counters."""

    __slots__ = ("bytes_in", "bytes_out", "failures", "latency_s")

    def __init__(self, metrics: "GatewayMetrics", name: str) -> None:
        self.latency_s = metrics.latency_s.labels(name)
        self.bytes_in = metrics.bytes_in.labels(name)
        self.bytes_out = metrics.bytes_out.labels(name)
        self.failures = metrics.failures.labels(name)


class GatewayMetrics:
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
            "raylog_gateway_error_codes",
            "Kafka error codes that the gateway chose, by API.",
            ["api", "error"],
            registry=registry,
        )
        self.refused = Counter(
            "raylog_gateway_refused_connections",
            "Connections closed by the gateway, by reason: limit, idle, frame, request.",
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
        self.apis = {key: ApiMetrics(self, api_name(key)) for key in api_keys}
