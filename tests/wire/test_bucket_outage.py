"""The bucket is away for longer than a leader's memory lasts: with a file WAL real clients notice nothing, and afterwards it has
everything."""

import time

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from raylog.model.errors import RetryError
from raylog.model.limits import GatewayLimits, LeaderLimits, Limits
from raylog.storage.file_wal import FileWalLimits
from raylog.storage.local_store import LocalStore
from tests.harness.cluster import running

MIB = 1 << 20
HELD_BYTES = 2 * MIB
PARTITIONS = 3
RECORDS = 12 * 1024
"""Of 1 KiB: six times what the leader may hold."""
_PATIENCE_S = 60.0


@pytest.fixture
def cluster(tmp_path):
    limits = Limits(
        leader=LeaderLimits(
            unflushed_bytes_max=HELD_BYTES,
            tail_cache_bytes=MIB,
            read_back_bytes_max=HELD_BYTES,
            plan_run_bytes_max=65536,
        ),
        gateway=GatewayLimits(block_cache_bytes=8 * MIB),
    )
    wal = {"file": f"file://{tmp_path / 'wal'}?capacity=256MiB&segment=1MiB&flush_interval_ms=100"}
    with running(tmp_path, limits=limits, wal=wal, leaders_per_class=1) as cluster:
        yield cluster


def away(*_, **__):
    raise RetryError("The bucket is away.")


def value_of(n: int) -> bytes:
    return b"%08d" % n * 128


def consume(cluster, topic) -> dict[int, list[bytes]]:
    consumer = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": "outage", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    found: dict[int, list[bytes]] = {partition: [] for partition in range(PARTITIONS)}
    deadline = time.monotonic() + _PATIENCE_S
    while sum(map(len, found.values())) < RECORDS:
        assert time.monotonic() < deadline, {partition: len(values) for partition, values in found.items()}
        for message in consumer.consume(1000, timeout=0.2):  # it waits so long for the whole number
            assert not message.error(), message.error()
            found[message.partition()].append(message.value())
    consumer.close()
    return found


def test_clients_go_on_without_the_bucket_and_it_gets_everything_when_it_is_back(
    cluster, make_topic, monkeypatch, tmp_path
):
    topic = make_topic(cluster)(PARTITIONS)
    expected = {
        partition: [value_of(n) for n in range(partition, RECORDS, PARTITIONS)] for partition in range(PARTITIONS)
    }
    (leader,) = cluster._running.leaders.values()
    parts = leader._parts
    with monkeypatch.context() as bucket:
        for request in ("put", "put_if_absent", "get", "get_tail"):
            bucket.setattr(LocalStore, request, away)
        producer = Producer({"bootstrap.servers": cluster.bootstrap, "linger.ms": 5})
        for n in range(RECORDS):
            producer.produce(topic, value_of(n), partition=n % PARTITIONS)
            if n % 1000 == 0:
                producer.poll(0.001)
                assert parts.buffer.held_bytes <= HELD_BYTES + MIB
        assert producer.flush(_PATIENCE_S) == 0
        assert parts.context.appender.unflushed_bytes > 5 * HELD_BYTES
        assert consume(cluster, topic) == expected
        assert parts.context.unflushed.kept_bytes <= 2 * HELD_BYTES
    deadline = time.monotonic() + _PATIENCE_S
    while parts.context.appender.unflushed_bytes and time.monotonic() < deadline:
        time.sleep(0.05)
    assert parts.context.appender.unflushed_bytes == parts.buffer.held_bytes == 0
    kept = FileWalLimits().spares_max + 2
    while len(segments := list((tmp_path / "wal").rglob("*.wal"))) > kept:  # they are given back beside all else
        assert time.monotonic() < deadline, segments
        time.sleep(0.05)
    assert consume(cluster, topic) == expected
