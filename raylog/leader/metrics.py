"""What a leader counts. Hot paths add to plain numbers; ``publish`` brings them to prometheus-client once a second."""

from collections import defaultdict

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from raylog.protocol.wire import api_name

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_BYTES = tuple(4.0**power for power in range(5, 15))


class Sum:
    """A counter that is cheap to add to."""

    __slots__ = ("_counter", "_pending")

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._pending = 0

    def add(self, amount: int) -> None:
        self._pending += amount

    def publish(self) -> None:
        if self._pending:
            self._counter.inc(self._pending)
            self._pending = 0


class LeaderMetrics:
    """One per leader; ``registry`` is the process's."""

    def __init__(self, registry: CollectorRegistry, leader_id: int) -> None:
        self._registry = registry
        self._leader = str(leader_id)
        self._sums: list[Sum] = []
        self._requests = self._counters("requests", "Requests by API.", "api")
        self._request_bytes = self._counters("request_bytes", "Bytes of requests by API.", "api")
        self._errors = self._counters(
            "errors", "Partitions answered with an error, by Kafka's name for it.", "api", "error"
        )
        stages = "Produce by stage, the oldest of each group: queue (held back), wal (until durable), acknowledge (answering)."
        stage = Histogram(
            "raylog_leader_produce_seconds", stages, ["leader", "stage"], buckets=_SECONDS, registry=registry
        )
        self.queue_seconds = stage.labels(self._leader, "queue")
        self.wal_seconds = stage.labels(self._leader, "wal")
        self.acknowledge_seconds = stage.labels(self._leader, "acknowledge")
        self.loop_lag_seconds = self._histogram("event_loop_lag_seconds", "How late the event loop ran.", _SECONDS)
        self.wal_group_bytes = self._histogram("wal_group_bytes", "Bytes that became durable together.", _BYTES)
        self.flush_bytes = self._histogram("flush_bytes", "Bytes of batches in a slot.", _BYTES)
        self.appended_bytes = self._sum("appended_bytes", "Bytes of batches appended.")
        self.referenced_bytes = self._sum("referenced_bytes", "Bytes of batches taken by reference to an upload.")
        self.compacted_bytes = self._sum("compacted_bytes", "Bytes of batches rewritten into segments.")
        self.segments = self._sum("segments", "Segments swapped in.")
        self.tail_hits = self._sum("tail_cache_hits", "Partition reads served from memory.")
        self.tail_misses = self._sum("tail_cache_misses", "Partition reads answered with a read plan.")
        self.tail_bytes = self._gauge("tail_cache_bytes", "Bytes in the tail cache.")
        self.unflushed_bytes = self._gauge("unflushed_bytes", "Bytes appended and not in a durable slot.")
        self.spilled_bytes = self._gauge("spilled_bytes", "Of these, bytes that only the WAL has: memory is used up.")
        self.partitions = self._gauge("partitions", "Partitions led.")
        self.replay_rows = self._gauge(
            "replay_rows", "Rows of the log above its newest checkpoint: a successor replays them."
        )
        self.requests_ever = 0
        """Of all kinds, since the leader's open."""
        self._request_counts: defaultdict[int, int] = defaultdict(int)
        self._request_sizes: defaultdict[int, int] = defaultdict(int)
        self._error_counts: defaultdict[tuple[int, str], int] = defaultdict(int)

    def request(self, api_key: int, size_bytes: int) -> None:
        self.requests_ever += 1
        self._request_counts[api_key] += 1
        self._request_sizes[api_key] += size_bytes

    def error(self, api_key: int, error_name: str) -> None:
        """A partition's answer says ``error_name`` (Kafka's, lower case)."""
        self._error_counts[api_key, error_name] += 1

    def publish(self) -> None:
        """Bring what was counted since the last call to the counters."""
        for api_key, count in self._request_counts.items():
            self._requests.labels(self._leader, api_name(api_key)).inc(count)
        for api_key, size in self._request_sizes.items():
            self._request_bytes.labels(self._leader, api_name(api_key)).inc(size)
        for (api_key, error_name), count in self._error_counts.items():
            self._errors.labels(self._leader, api_name(api_key), error_name).inc(count)
        self._request_counts.clear()
        self._request_sizes.clear()
        self._error_counts.clear()
        for total in self._sums:
            total.publish()

    def _counters(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"raylog_leader_{name}", text, ["leader", *labels], registry=self._registry)

    def _sum(self, name: str, text: str) -> Sum:
        total = Sum(self._counters(name, text).labels(self._leader))
        self._sums.append(total)
        return total

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(
            f"raylog_leader_{name}", text, ["leader"], registry=self._registry, multiprocess_mode="livemostrecent"
        ).labels(self._leader)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        family = Histogram(f"raylog_leader_{name}", text, ["leader"], buckets=buckets, registry=self._registry)
        return family.labels(self._leader)
