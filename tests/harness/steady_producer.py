"""A client that never stops writing, and what a topic holds in the end: every acknowledged record, once and in order."""

import threading
import uuid
from collections import defaultdict

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

PARTITIONS = 4


class SteadyProducer:
    """An idempotent producer on a thread of its own that numbers its records per partition until it is told to stop."""

    def __init__(self, bootstrap, topic, partitions=range(PARTITIONS)):
        self.acknowledged = defaultdict(list)
        self.errors = []
        self._topic = topic
        self._partitions = partitions
        self.is_paused = False
        """Writes nothing more, for a while."""
        self._stop = threading.Event()
        self._producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 2})
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._progress = threading.Condition()
        self._thread.start()

    def _run(self):
        n = 0
        while not self._stop.is_set():
            if not self.is_paused:
                for partition in self._partitions:
                    self._producer.produce(self._topic, b"%08d" % n, partition=partition, on_delivery=self._delivered)
                n += 1
            self._producer.poll(0.001)
        self._producer.flush(60)

    def _delivered(self, error, message):
        with self._progress:
            if error:
                self.errors.append(error)
            else:
                self.acknowledged[message.partition()].append(message.value())
            self._progress.notify_all()

    def advance(self, records=200, timeout_s=30):
        """Wait until each partition has so many more acknowledged records."""
        with self._progress:
            aims = {p: len(self.acknowledged[p]) + records for p in self._partitions}
            done = self._progress.wait_for(
                lambda: all(len(self.acknowledged[p]) >= aim for p, aim in aims.items()), timeout_s
            )
        assert done, {p: len(values) for p, values in self.acknowledged.items()}

    def finish(self):
        self._stop.set()
        self._thread.join(90)
        assert self.errors == []
        return self.acknowledged


class PacedProducer(SteadyProducer):
    """One that writes one record to each partition at a time, and the next ones when all are acknowledged, a few times a second:
    as many requests to each, whoever leads it and however busy the machine is."""

    every_s = 0.05

    def _run(self):
        n = 0
        while not self._stop.wait(self.every_s):
            for partition in self._partitions:
                self._producer.produce(self._topic, b"%08d" % n, partition=partition, on_delivery=self._delivered)
            n += 1
            self._producer.flush(60)


def read_all(bootstrap, topic, partitions=range(PARTITIONS)):
    """Every record of these partitions of the topic."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": str(uuid.uuid4()),
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    found, ended = defaultdict(list), set()
    while not ended.issuperset(partitions):
        message = consumer.poll(30)
        assert message is not None, f"no end of partitions {set(partitions) - ended}"
        if message.error():
            assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
            ended.add(message.partition())
        else:
            found[message.partition()].append(message.value())
    consumer.close()
    return found


def assert_exactly_what_was_acknowledged(bootstrap, topic, acknowledged, partitions=range(PARTITIONS)):
    found = read_all(bootstrap, topic, partitions)
    for partition in partitions:
        assert found[partition] == acknowledged[partition]
        assert found[partition] == [b"%08d" % n for n in range(len(found[partition]))]
