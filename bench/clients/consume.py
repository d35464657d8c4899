"""Catch-up: one confluent-kafka consumer reads a topic from its start to its end, as fast as it can."""

import time
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from bench.clients import main

_SILENCE_S_MAX = 30.0
_BACKOFF_MS = 5
"""By default the client stops asking for a second when it has a hundred thousand records in hand. It is through with small ones
long before, and idle for the rest of that second: what is measured then is its pause, whatever the server."""


def run(*, bootstrap: str, topic: str, partitions: int, records: int) -> dict[str, Any]:
    """The time counts from the first record to the last, so without the connection's set-up."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"bench-{topic}",
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": _BACKOFF_MS,
        }
    )
    consumer.assign([TopicPartition(topic, index, OFFSET_BEGINNING) for index in range(partitions)])
    begun = time.perf_counter()
    first = last = begun
    count = first_count = 0
    while count < records:
        messages = consumer.consume(10_000, 0.1)
        now = time.perf_counter()
        if messages:
            for message in messages:
                if message.error() is not None:
                    raise SystemExit(f"the consumer got an error: {message.error()}")
            if not count:
                first, first_count = now, len(messages)
            count += len(messages)
            last = now
        elif now - last > _SILENCE_S_MAX:
            raise SystemExit(f"the consumer got {count} of {records} records, then nothing for {_SILENCE_S_MAX:.0f} s")
    consumer.close()
    return {"records": count - first_count, "seconds": last - first, "seconds_to_first": first - begun}


if __name__ == "__main__":
    main(run)
