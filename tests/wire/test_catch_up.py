"""Consumers far behind read from the bucket, past the leaders, and see the same records as those at the tail."""

import random
import time
import uuid

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from raylog.model.limits import GatewayLimits, LeaderLimits, Limits

PARTITIONS = 3
RECORDS = 6000


@pytest.fixture(scope="module")
def small_tails(tmp_path_factory):
    """A cluster whose leaders keep little in memory and flush often."""
    from tests.harness.cluster import running

    folder = tmp_path_factory.mktemp("cluster")
    limits = Limits(
        leader=LeaderLimits(tail_cache_bytes=256 << 10, plan_run_bytes_max=64 << 10),
        gateway=GatewayLimits(block_cache_bytes=8 << 20),
    )
    wal = {
        "file": f"file://{folder / 'wal'}?capacity=1GiB&segment=16MiB&flush_interval_ms=100",
        "object": "object:?interval_ms=20",
    }
    with running(folder, limits=limits, wal=wal, gateways=2) as cluster:
        yield cluster


def value_of(n: int) -> bytes:
    return b"%06d" % n + random.Random(n).randbytes(n % 3000)


def read(cluster, topic, partition, offset, count, **config):
    consumer = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": str(uuid.uuid4()), **config})
    consumer.assign([TopicPartition(topic, partition, offset)])
    found = []
    deadline = time.monotonic() + 30
    while len(found) < count and time.monotonic() < deadline:
        for message in consumer.consume(min(500, count - len(found)), timeout=0.5):
            assert not message.error(), message.error()
            found.append((message.offset(), message.value()))
    consumer.close()
    return found


@pytest.mark.parametrize("wal", ["file", "object"])
@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_everything_from_the_start_and_from_the_middle(small_tails, make_topic, wal, codec):
    topic = make_topic(small_tails)(PARTITIONS, raylog_wal=wal)
    producer = Producer({"bootstrap.servers": small_tails.bootstrap, "linger.ms": 5, "compression.type": codec})
    for n in range(RECORDS):
        producer.produce(topic, value_of(n), partition=n % PARTITIONS)
        if n % 100 == 0:
            producer.poll(0.001)
    assert producer.flush(60) == 0
    each = RECORDS // PARTITIONS
    for partition in range(PARTITIONS):
        expected = [(at, value_of(at * PARTITIONS + partition)) for at in range(each)]
        assert read(small_tails, topic, partition, 0, each) == expected
        middle = random.Random(partition).randrange(each // 2)
        assert read(small_tails, topic, partition, middle, 50) == expected[middle : middle + 50]
        tiny = {"fetch.message.max.bytes": 1000, "isolation.level": "read_uncommitted"}
        assert read(small_tails, topic, partition, middle, 20, **tiny) == expected[middle : middle + 20]
    blocks = [small_tails.gateway(index)._block_cache for index in range(2)]
    assert sum(cache._misses._value.get() for cache in blocks) > 0
