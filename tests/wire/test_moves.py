"""What clients see of partitions that move from leader to leader: nothing, in the end. Records, groups and offsets go on."""

import threading

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.harness.steady_producer import PARTITIONS, SteadyProducer, assert_exactly_what_was_acknowledged


def swapped(cluster, topic, partitions=PARTITIONS):
    """Each partition with the leader of the topic that does not lead it."""
    leaders = [cluster.leader_of(topic, partition) for partition in range(partitions)]
    one, other = sorted(set(leaders))
    return {(topic, partition): other if leader == one else one for partition, leader in enumerate(leaders)}


@pytest.mark.parametrize("wal", ["file", "object"])
def test_partitions_move_to_and_fro_under_load(make_cluster, make_topic, wal):
    cluster = make_cluster()
    topic = make_topic(cluster)(PARTITIONS, raylog_wal=wal)
    producer = SteadyProducer(cluster.bootstrap, topic)
    producer.advance()
    for _ in range(4):
        cluster.move(swapped(cluster, topic))
        producer.advance()
    assert_exactly_what_was_acknowledged(cluster.bootstrap, topic, producer.finish())


@pytest.mark.parametrize("victim", ["source", "target", "controller"])
def test_a_move_goes_on_when_a_role_is_killed_in_the_middle_of_it(make_cluster, make_topic, victim):
    cluster = make_cluster()
    topic = make_topic(cluster)(PARTITIONS)
    producer = SteadyProducer(cluster.bootstrap, topic)
    producer.advance()
    source = cluster.leader_of(topic, 0)
    destinations = {where: leader for where, leader in swapped(cluster, topic).items() if leader != source}
    [target] = set(destinations.values())
    cluster.order_move(destinations)
    if victim == "controller":
        cluster.restart_controller()
    else:
        cluster.kill_leader(source if victim == "source" else target)
    cluster.move(destinations)
    producer.advance()
    assert_exactly_what_was_acknowledged(cluster.bootstrap, topic, producer.finish())


@pytest.mark.parametrize("wal", ["file", "object"])
def test_hundreds_of_partitions_move_at_once_and_a_whole_cluster_restart_finds_them_there(
    make_cluster, make_topic, tmp_path, wal
):
    count = 400
    cluster = make_cluster()
    topic = make_topic(cluster)(count, raylog_wal=wal)
    producer = Producer({"bootstrap.servers": cluster.bootstrap, "enable.idempotence": True})
    for partition in range(count):
        producer.produce(topic, b"before", partition=partition)
    assert producer.flush(30) == 0
    destinations = swapped(cluster, topic, count)
    cluster.move(destinations)
    for partition in range(count):
        producer.produce(topic, b"after", partition=partition)
    assert producer.flush(30) == 0
    for leader in set(destinations.values()):
        cluster.kill_leader(leader)
    consumer = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": "g", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(count)])
    found = {}
    while sum(map(len, found.values())) < 2 * count:
        message = consumer.poll(30)
        assert message is not None
        assert message.error() is None, message.error()
        found.setdefault(message.partition(), []).append((message.offset(), message.value()))
    consumer.close()
    assert found == {key: [(0, b"before"), (1, b"after")] for key in range(count)}
    assert {partition: cluster.leader_of(topic, partition) for partition in range(count)} == {
        partition: leader for (_, partition), leader in destinations.items()
    }


class GroupReader:
    """A member that reads, and commits every fiftieth record, on a thread of its own, until it has so many records."""

    def __init__(self, bootstrap, topic, wanted):
        self.values = []
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "readers",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        self._consumer.subscribe([topic])
        self._wanted = wanted
        self._progress = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while len(self.values) < self._wanted:
            message = self._consumer.poll(1)
            if message is None or message.error():
                continue
            with self._progress:
                self.values.append(message.value())
                self._progress.notify_all()
            if len(self.values) % 50 == 0:
                self._consumer.commit(message=message, asynchronous=False)
        self._consumer.close()

    def advance(self, records):
        with self._progress:
            aim = len(self.values) + records
            assert self._progress.wait_for(lambda: len(self.values) >= aim, 30)

    def finish(self):
        self._thread.join(60)
        assert not self._thread.is_alive()


def test_a_group_keeps_its_place_while_its_coordinator_and_its_partition_move(make_cluster, make_topic):
    cluster = make_cluster()
    topic = make_topic(cluster)(1)
    producer = Producer({"bootstrap.servers": cluster.bootstrap, "enable.idempotence": True})
    wanted = [b"%d" % n for n in range(1200)]
    for value in wanted[:400]:
        producer.produce(topic, value)
    reader = GroupReader(cluster.bootstrap, topic, len(wanted))
    reader.advance(100)
    for begin in (400, 800):
        cluster.move(swapped(cluster, "__consumer_offsets", 4))
        there = cluster.leader_of(topic, 0)
        other = next(iter({cluster.leader_of("__consumer_offsets", n) for n in range(4)} - {there}))
        cluster.move({(topic, 0): other})
        for value in wanted[begin : begin + 400]:
            producer.produce(topic, value)
        reader.advance(100)
    assert producer.flush(30) == 0
    reader.finish()
    # No member joined or left, so nobody began again at a committed offset: each record came once.
    assert reader.values == wanted
    consumer = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": "readers"})
    [committed] = consumer.committed([TopicPartition(topic, 0)], 30)
    consumer.close()
    assert committed.offset == len(wanted)
