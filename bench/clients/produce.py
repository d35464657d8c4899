"""As fast as it goes: one confluent-kafka producer, batches of 1 MiB, linger 5 ms, acks=all, its own partitioner."""

import time
from typing import Any

from confluent_kafka import Producer

from bench.clients import Deliveries, main, payloads

_CHUNK = 500
_DELIVERY_SECONDS_MAX = 120


def run(
    *, bootstrap: str, topic: str, record_bytes: int, warm_up_s: float, seconds: float, bytes_max: int
) -> dict[str, Any]:
    """Produce for ``seconds`` or until ``bytes_max``; the time counts until the last acknowledgement."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "acks": "all",
            "linger.ms": 5,
            "batch.size": 1 << 20,
            "batch.num.messages": 1_000_000,
            "message.max.bytes": 1 << 20,
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 128 << 10,
            "delivery.report.only.error": True,
        }
    )
    deliveries = Deliveries()
    bodies = payloads(record_bytes)
    warm = _produce(producer, deliveries, topic, bodies, time.perf_counter() + warm_up_s, bytes_max // 4)
    started = time.perf_counter()
    sent = _produce(producer, deliveries, topic, bodies, started + seconds, bytes_max)
    elapsed = time.perf_counter() - started
    return {"records": sent, "seconds": elapsed, "records_in_topic": warm + sent}


def _produce(
    producer: Producer, deliveries: Deliveries, topic: str, bodies: list[bytes], until: float, bytes_max: int
) -> int:
    sent = 0
    sent_max = max(_CHUNK, bytes_max // len(bodies[0]))
    while sent < sent_max and time.perf_counter() < until:
        for index in range(_CHUNK):
            while True:
                try:
                    producer.produce(topic, bodies[index % len(bodies)], on_delivery=deliveries.report)
                    break
                except BufferError:
                    producer.poll(0.005)
        sent += _CHUNK
        producer.poll(0)
        deliveries.check()
    if producer.flush(_DELIVERY_SECONDS_MAX):
        raise SystemExit(f"records were not acknowledged within {_DELIVERY_SECONDS_MAX} s")
    deliveries.check()
    return sent


if __name__ == "__main__":
    main(run)
