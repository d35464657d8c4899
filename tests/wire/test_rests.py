"""A cluster that nobody uses has no leader running, and clients that come back find everything: the first request wakes it."""

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from raylog.model.limits import BalanceLimits, Limits
from tests.harness.load import until
from tests.harness.steady_producer import PARTITIONS, SteadyProducer, assert_exactly_what_was_acknowledged, read_all

LIMITS = Limits(balance=BalanceLimits(report_s=0.2))
IDLE = {"raylog.leader.idle.ms": "400"}


def all_rest(cluster):
    until(lambda: cluster.leader_ids == [], "every leader rests")


@pytest.fixture
def cluster(make_cluster):
    return make_cluster(limits=LIMITS, broker_configs=IDLE)


def produce(cluster, topic, *values):
    producer = Producer({"bootstrap.servers": cluster.bootstrap, "enable.idempotence": True})
    errors = []
    for value in values:
        producer.produce(topic, value, partition=0, on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(60) == 0
    assert errors == [None] * len(values)


@pytest.mark.parametrize("wal", ["file", "object"])
def test_leaders_rest_and_the_first_request_brings_them_back(cluster, make_topic, wal):
    topic = make_topic(cluster)(1, raylog_wal=wal)
    all_rest(cluster)
    for number in range(3):
        produce(cluster, topic, b"%d" % number)
        all_rest(cluster)
    assert read_all(cluster.bootstrap, topic, [0]) == {0: [b"0", b"1", b"2"]}
    all_rest(cluster)


def test_one_producer_goes_on_after_a_rest(cluster, make_topic):
    topic = make_topic(cluster)(PARTITIONS)
    producer = SteadyProducer(cluster.bootstrap, topic)
    for _ in range(3):
        producer.advance(20)
        producer.is_paused = True
        all_rest(cluster)
        producer.is_paused = False
    producer.advance(20)
    assert_exactly_what_was_acknowledged(cluster.bootstrap, topic, producer.finish())


def test_only_what_is_asked_for_is_woken(cluster, make_topic):
    topic = make_topic(cluster)(2)
    all_rest(cluster)
    produce(cluster, topic, b"x")
    assert cluster.leader_ids == [cluster.leader_of(topic, 0)]


def test_a_group_finds_its_offsets_after_a_rest(cluster, make_topic):
    topic = make_topic(cluster)(1)
    produce(cluster, topic, b"a", b"b")
    read = []
    for _ in range(2):
        consumer = Consumer(
            {
                "bootstrap.servers": cluster.bootstrap,
                "group.id": "g",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "queued.max.messages.kbytes": 1,
            }
        )
        consumer.subscribe([topic])
        message = consumer.poll(60)
        read.append(message.value())
        [committed] = consumer.commit(offsets=[TopicPartition(topic, 0, message.offset() + 1)], asynchronous=False)
        assert committed.error is None
        consumer.close()
        all_rest(cluster)
    assert read == [b"a", b"b"]


def test_what_nobody_asked_for_meanwhile_is_there_when_the_controller_starts_again(cluster, make_topic):
    topic = make_topic(cluster)(1)
    produce(cluster, topic, b"x")
    all_rest(cluster)
    cluster.restart_controller()
    all_rest(cluster)
    assert read_all(cluster.bootstrap, topic, [0]) == {0: [b"x"]}
