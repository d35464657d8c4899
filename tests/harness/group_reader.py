"""The only member of a group, who reads all of a topic and commits as it goes, on a thread of its own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer


@contextmanager
def group_reader(bootstrap: str, topic: str, **settings: object) -> Iterator[list[bytes]]:
    """What it has read so far, in the order in which it came; ``settings`` are librdkafka's, with _ for the dots."""
    seen: list[bytes] = []
    stop = threading.Event()
    config = {"bootstrap.servers": bootstrap, "group.id": "reader", "auto.offset.reset": "earliest", "log_level": 0}
    config |= {name.replace("_", "."): value for name, value in settings.items()}
    thread = threading.Thread(target=_read, args=(config, topic, seen, stop), daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join(60)


def _read(config: dict[str, object], topic: str, seen: list[bytes], stop: threading.Event) -> None:
    consumer = Consumer(config)
    consumer.subscribe([topic])
    try:
        while not stop.is_set():
            seen.extend(message.value() for message in consumer.consume(500, timeout=0.2) if not message.error())
    finally:
        consumer.close()
