"""Latency at a given rate, in an open loop.

Arrivals are independent of the answers, and each latency counts from the time at which its record was meant to be sent: a server
that stalls is charged for everybody who would have come meanwhile.
"""

import random
import threading
import time
from typing import Any

from confluent_kafka import Producer

from bench.clients import Deliveries, main, payloads
from lab.percentiles import percentile

_DELIVERY_SECONDS_MAX = 120
_PAUSE_S = 0.0002


def run(
    *,
    bootstrap: str,
    topic: str,
    partitions: int,
    record_bytes: int,
    rate_hz: float,
    seconds: float,
    warm_up_s: float,
    single: bool,
    sample_every: int,
    client_id: str = "bench",
) -> dict[str, Any]:
    """``single``: each record is a request of its own (linger 0). Otherwise batches of up to 1 MiB with linger 5 ms."""
    batching = (
        {"linger.ms": 0, "batch.num.messages": 1}
        if single
        else {"linger.ms": 5, "batch.size": 1 << 20, "batch.num.messages": 1_000_000, "message.max.bytes": 1 << 20}
    )
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "client.id": client_id,
            "acks": "all",
            "queue.buffering.max.messages": 2_000_000,
            "queue.buffering.max.kbytes": 1 << 20,
            **batching,
        }
    )
    deliveries = Deliveries()
    stop = threading.Event()

    def serve_reports() -> None:
        while not stop.is_set():
            producer.poll(0.05)

    reports = threading.Thread(target=serve_reports, name="delivery reports")
    reports.start()
    try:
        load = _Load(producer, deliveries, topic, partitions, payloads(record_bytes), sample_every)
        load.offer(rate_hz, warm_up_s)
        load.latencies_s.clear()
        sent = load.offer(rate_hz, seconds)
        late = producer.flush(_DELIVERY_SECONDS_MAX)
    finally:
        stop.set()
        reports.join()
    deliveries.check()
    if late:
        raise SystemExit(f"{late} records were not acknowledged within {_DELIVERY_SECONDS_MAX} s")
    return {"records": sent, "seconds": seconds, **_percentiles(load.latencies_s)}


class _Load:
    def __init__(
        self,
        producer: Producer,
        deliveries: Deliveries,
        topic: str,
        partitions: int,
        bodies: list[bytes],
        sample_every: int,
    ) -> None:
        self._producer = producer
        self._deliveries = deliveries
        self._topic = topic
        self._partitions = partitions
        self._bodies = bodies
        self._sample_every = sample_every
        self._random = random.Random(1)
        self._count = 0
        self.latencies_s: list[float] = []

    def offer(self, rate_hz: float, seconds: float) -> int:
        """Records at random times, ``rate_hz`` of them a second on average (a Poisson process)."""
        due = time.perf_counter()
        end = due + seconds
        before = self._count
        while due < end:
            now = time.perf_counter()
            if due > now:
                time.sleep(min(due - now, _PAUSE_S))
                continue
            self._send(due)
            due += self._random.expovariate(rate_hz)
        return self._count - before

    def _send(self, due: float) -> None:
        index = self._count
        self._count += 1
        report = self._deliveries.report if index % self._sample_every else self._timed(due)
        body, partition = self._bodies[index % len(self._bodies)], index % self._partitions
        while True:
            try:
                self._producer.produce(self._topic, body, partition=partition, on_delivery=report)
            except BufferError:  # the server is far behind; the record's time goes on counting
                time.sleep(_PAUSE_S)
            else:
                return

    def _timed(self, due: float) -> Any:
        def report(error: object, message: object) -> None:
            self.latencies_s.append(time.perf_counter() - due)
            self._deliveries.report(error, message)

        return report


def _percentiles(latencies_s: list[float]) -> dict[str, float]:
    ordered = sorted(latencies_s)
    return {
        name: percentile(ordered, share) * 1000
        for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99), ("p999_ms", 0.999), ("max_ms", 1.0))
    }


if __name__ == "__main__":
    main(run)
