"""Numbered records for a real server while parts of it die, and what everybody must find in the end."""

import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

_PARTITIONS = 4

T = TypeVar("T")


class Load:
    """Producers with numbered records, and what was acknowledged: (partition, offset) -> record."""

    def __init__(self, bootstrap: str, topic: str, *, idempotent: bool, gap_s: float = 0.0) -> None:
        """As many records as go; or, for what lasts long, one and then nothing for ``gap_s``."""
        self._topic = topic
        self._idempotent = idempotent
        self._gap_s = gap_s
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "log_level": 0,
                "enable.idempotence": idempotent,
                "linger.ms": 2,
                "message.timeout.ms": 120_000,
                "request.timeout.ms": 5_000,
                "retry.backoff.max.ms": 200,
            }
        )
        self.acknowledged: dict[tuple[int, int], bytes] = {}
        self._sent = 0
        self._errors: list[str] = []
        self._stop = threading.Event()
        self._progress = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(150)

    def _run(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(BufferError):  # the queue is full while nobody acknowledges
                self._producer.produce(self._topic, str(self._sent).encode(), on_delivery=self._delivered)
                self._sent += 1
            self._producer.poll(0.0005)
            if self._gap_s:
                self._stop.wait(self._gap_s)
        self._producer.flush(120)

    def _delivered(self, error: object, message: Message) -> None:
        with self._progress:
            if error is not None:
                self._errors.append(str(error))
            else:
                at = (message.partition(), message.offset())
                assert at not in self.acknowledged, "one offset was acknowledged twice"
                self.acknowledged[at] = message.value()
            self._progress.notify_all()

    def acknowledges(self, more: int) -> None:
        """Waits until so many more records are acknowledged than now."""
        with self._progress:
            goal = len(self.acknowledged) + more
            assert self._progress.wait_for(lambda: len(self.acknowledged) >= goal, timeout=120), (
                "nothing is acknowledged"
            )

    def check(self, log: dict[tuple[int, int], bytes]) -> None:
        """Every acknowledged record is where it was acknowledged; an idempotent producer's are nowhere else."""
        lost = {at: value for at, value in self.acknowledged.items() if log.get(at) != value}
        assert lost == {}, f"{len(lost)} of {len(self.acknowledged)} acknowledged records are lost"
        if self._idempotent:
            assert self._errors == []
            assert len(set(log.values())) == len(log) == self._sent


def read_all(bootstrap: str, topic: str) -> dict[tuple[int, int], bytes]:
    """The whole topic, each offset seen once and without a gap."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "log_level": 0, "group.id": "check", "enable.auto.commit": False}
    )
    try:
        ends = {}
        for partition in range(_PARTITIONS):
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=60)
            assert low == 0
            ends[partition] = high
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(_PARTITIONS)])
        log: dict[tuple[int, int], bytes] = {}
        while len(log) < sum(ends.values()):
            for message in consumer.consume(1000, timeout=0.5):  # it waits so long for the whole number
                if message.error():
                    raise KafkaException(message.error())
                assert log.setdefault((message.partition(), message.offset()), message.value()) == message.value()
        assert all((partition, offset) in log for partition, end in ends.items() for offset in range(end))
        return log
    finally:
        consumer.close()


def create_topic(bootstrap: str, topic: str, wal: str) -> None:
    new = NewTopic(topic, _PARTITIONS, config={"raylog.wal": wal})
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    admin.create_topics([new])[topic].result(60)


def broker_ports(bootstrap: str) -> dict[int, int]:
    """Of the brokers that Metadata shows, by id."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    return {id_: broker.port for id_, broker in admin.list_topics(timeout=30).brokers.items()}


def until(reached: Callable[[], T], what: str) -> T:
    """What ``reached`` gives once it is true; other processes are watched, so it is asked again and again."""
    pause = threading.Event()
    for _ in range(1200):
        if found := reached():
            return found
        pause.wait(0.05)
    raise AssertionError(f"it never happened: {what}")
