"""A consumer far behind that reads as fast as it can, from the start again and again, until its input ends."""

import select
import sys
import time
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from bench.clients import main


def run(*, bootstrap: str, topic: str, partitions: int, records: int, record_bytes: int) -> dict[str, Any]:
    """Reads ``records`` in each turn, so only what was there before; the time counts from the first record on."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"bench-{topic}", "enable.auto.commit": False})
    first = last = 0.0
    count = first_count = left = 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        if left <= 0:
            consumer.assign([TopicPartition(topic, index, OFFSET_BEGINNING) for index in range(partitions)])
            left = records
        messages = consumer.consume(10_000, 0.1)
        for message in messages:
            if message.error() is not None:
                raise SystemExit(f"the consumer got an error: {message.error()}")
        if messages:
            last = time.perf_counter()
            if not count:
                first, first_count = last, len(messages)
                print("reading", flush=True)
            count += len(messages)
            left -= len(messages)
    consumer.close()
    return {"bytes": (count - first_count) * record_bytes, "seconds": last - first}


if __name__ == "__main__":
    main(run)
