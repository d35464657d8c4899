"""What clients see of killed and restarted roles: nothing, in the end. Acknowledged records are there, once and in order."""

import threading
import uuid
from collections import defaultdict

import pytest
from confluent_kafka import Consumer, Producer

from tests.harness.cluster import running

PARTITIONS = 4


class SteadyProducer:
    """An idempotent producer on a thread of its own that numbers its records per partition until it is told to stop."""

    def __init__(self, bootstrap, topic):
        self.acknowledged = defaultdict(list)
        self.errors = []
        self._topic = topic
        self._stop = threading.Event()
        self._producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 2})
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._progress = threading.Condition()
        self._thread.start()

    def _run(self):
        n = 0
        while not self._stop.is_set():
            for partition in range(PARTITIONS):
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
            aims = {p: len(self.acknowledged[p]) + records for p in range(PARTITIONS)}
            done = self._progress.wait_for(
                lambda: all(len(self.acknowledged[p]) >= aim for p, aim in aims.items()), timeout_s
            )
        assert done, {p: len(values) for p, values in self.acknowledged.items()}

    def finish(self):
        self._stop.set()
        self._thread.join(90)
        assert self.errors == []
        return self.acknowledged


def read_all(bootstrap, topic):
    """Every record of the topic, by partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": str(uuid.uuid4()),
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
    )
    consumer.subscribe([topic])
    found, ended = defaultdict(list), set()
    while len(ended) < PARTITIONS:
        message = consumer.poll(30)
        assert message is not None, f"no end of partitions {set(range(PARTITIONS)) - ended}"
        if message.error():
            ended.add(message.partition())
        else:
            found[message.partition()].append(message.value())
    consumer.close()
    return found


def assert_exactly_what_was_acknowledged(bootstrap, topic, acknowledged):
    found = read_all(bootstrap, topic)
    for partition in range(PARTITIONS):
        assert found[partition] == acknowledged[partition]
        assert found[partition] == [b"%08d" % n for n in range(len(found[partition]))]


@pytest.mark.parametrize("wal", ["file", "object"])
def test_leaders_are_killed_and_restarted_under_load(make_cluster, make_topic, wal):
    cluster = make_cluster()
    topic = make_topic(cluster)(PARTITIONS, raylog_wal=wal)
    producer = SteadyProducer(cluster.bootstrap, topic)
    leaders = {cluster.leader_of(topic, partition) for partition in range(PARTITIONS)}
    assert len(leaders) == 2
    producer.advance()
    for leader in leaders:
        cluster.kill_leader(leader)
        producer.advance()
    for leader in leaders:
        cluster.restart_leader(leader)
        producer.advance()
    assert_exactly_what_was_acknowledged(cluster.bootstrap, topic, producer.finish())


def test_gateways_are_killed_under_load(make_cluster, make_topic):
    cluster = make_cluster(gateways=2)
    topic = make_topic(cluster)(PARTITIONS)
    producer = SteadyProducer(cluster.bootstrap, topic)
    producer.advance()
    for index in (0, 1, 0):
        cluster.kill_gateway(index)
        producer.advance()
    assert_exactly_what_was_acknowledged(cluster.bootstrap, topic, producer.finish())


def test_producing_and_consuming_go_on_without_the_controller(make_cluster, make_topic):
    cluster = make_cluster()
    topic = make_topic(cluster)(PARTITIONS)
    producer = SteadyProducer(cluster.bootstrap, topic)
    producer.advance()
    cluster.stop_controller()
    producer.advance()
    acknowledged = producer.finish()
    assert_exactly_what_was_acknowledged(cluster.bootstrap, topic, acknowledged)
    cluster.start_controller()
    make_topic(cluster)(1)


@pytest.mark.parametrize("wal", ["file", "object"])
def test_a_cluster_started_anew_on_its_folder_has_everything(tmp_path, make_topic, wal):
    with running(tmp_path) as cluster:
        topic = make_topic(cluster)(PARTITIONS, raylog_wal=wal)
        producer = SteadyProducer(cluster.bootstrap, topic)
        producer.advance()
        acknowledged = producer.finish()
        committing = Consumer(
            {"bootstrap.servers": cluster.bootstrap, "group.id": "g", "auto.offset.reset": "earliest"}
        )
        committing.subscribe([topic])
        read = committing.consume(100, timeout=3)
        committing.close()
    with running(tmp_path) as cluster:
        assert_exactly_what_was_acknowledged(cluster.bootstrap, topic, acknowledged)
        resumed = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": "g", "auto.offset.reset": "earliest"})
        resumed.subscribe([topic])
        total = sum(map(len, acknowledged.values()))
        rest = []
        while len(rest) < total - len(read):
            message = resumed.poll(20)
            assert message is not None and not message.error()
            rest.append(message)
        resumed.close()
        seen = {(m.partition(), m.offset()) for m in read + rest}
        assert len(seen) == total
