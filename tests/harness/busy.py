"""A cluster at work: an idempotent producer, and a group that reads what it sends, while something happens to the cluster."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from confluent_kafka import Consumer

from tests.harness.load import Load, create_topic, read_all, until

TOPIC = "load"
_GAP_S = 0.002


@dataclass(frozen=True, slots=True)
class Work:
    load: Load
    read: set[bytes]
    """What the group has read so far."""

    def goes_on(self, records: int) -> None:
        """Waits until so many more records are acknowledged, and so many more read, than now."""
        goal = len(self.read) + records
        self.load.acknowledges(records)
        until(lambda: len(self.read) >= goal, "the group reads on")


@contextmanager
def busy(*bootstraps: str) -> Iterator[Work]:
    """Both are under way inside; in the end each record is there once, and the group has read all of them."""
    create_topic(bootstraps[0], TOPIC, "file")
    everywhere = ",".join(bootstraps)
    with _group(everywhere) as read:
        with Load(everywhere, TOPIC, idempotent=True, gap_s=_GAP_S) as load:
            work = Work(load, read)
            work.goes_on(500)
            yield work
        log = read_all(bootstraps[0], TOPIC)
        load.check(log)
        until(lambda: read == set(log.values()), "the group has read every record")


@contextmanager
def _group(bootstrap: str) -> Iterator[set[bytes]]:
    """What the only member of a group has read so far, who commits as it goes."""
    read: set[bytes] = set()
    stop = threading.Event()
    thread = threading.Thread(target=_read, args=(bootstrap, read, stop), daemon=True)
    thread.start()
    try:
        yield read
    finally:
        stop.set()
        thread.join(60)


def _read(bootstrap: str, read: set[bytes], stop: threading.Event) -> None:
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "busy", "auto.offset.reset": "earliest", "log_level": 0}
    )
    consumer.subscribe([TOPIC])
    try:
        while not stop.is_set():
            read.update(message.value() for message in consumer.consume(500, timeout=0.2) if not message.error())
    finally:
        consumer.close()
