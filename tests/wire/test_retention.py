"""Retention, DeleteRecords, topic deletion and garbage collection, seen by a real client and by a check of the bucket."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from raylog.cli.main import run
from raylog.leader.garbage import Collected, collect_garbage
from raylog.model.clock import SystemClock
from raylog.model.limits import Limits
from raylog.model.logs import role_logger
from tests.harness.cluster import PATIENCE_S, InProcessCluster, running

LIMITS = Limits.from_mapping(
    {"leader.checkpoint_slots": 1, "log.trim_grace_s": 0.001, "garbage.grace_s": 0.001, "leader.tail_cache_bytes": 1}
)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[InProcessCluster]:
    with running(
        tmp_path,
        leaders_per_class=1,
        default_wal="object",
        limits=LIMITS,
        broker_configs={"log.retention.check.interval.ms": "20"},
    ) as made:
        yield made


def collect(cluster: InProcessCluster) -> Collected:
    roles = cluster._running

    async def once() -> Collected:
        return await collect_garbage(
            roles._store,  # type: ignore[arg-type]
            led=roles.controller._controller.led_partitions(),  # type: ignore[union-attr]
            clock=cluster.clock,
            rng=random.Random(1),
            limits=LIMITS,
            logger=role_logger("garbage"),
        )

    return cluster.run(once())


def until(reached: Callable[[], bool]) -> None:
    clock = SystemClock()
    deadline = clock.monotonic() + PATIENCE_S
    while not reached():
        assert clock.monotonic() < deadline, "it takes too long"


def data_slots(cluster: InProcessCluster, folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Slots that index rows point into; the bucket is in order."""
    capsys.readouterr()
    assert run(["store", "check", "--store", str(folder / "bucket"), "--verify", "--json"]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return [str(found["key"]) for found in report["objects"] if found["state"] == "data"]


def make_topic(cluster: InProcessCluster, name: str, **configs: str) -> AdminClient:
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    admin.create_topics([NewTopic(name, 1, config={k.replace("_", "."): v for k, v in configs.items()})])[name].result(
        PATIENCE_S
    )
    return admin


def produce(cluster: InProcessCluster, topic: str, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": cluster.bootstrap, "linger.ms": 0})
    for value in values:
        producer.produce(topic, value=value)
        assert producer.flush(PATIENCE_S) == 0


def consumer_of(cluster: InProcessCluster) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": cluster.bootstrap,
            "group.id": "g",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )


def test_expired_records_go_from_the_log_and_then_from_the_bucket(
    cluster: InProcessCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_topic(cluster, "short", retention_ms="1")
    make_topic(cluster, "long")
    produce(cluster, "long", b"a", b"b", b"c")
    produce(cluster, "short", b"x", b"y", b"z")
    consumer = consumer_of(cluster)
    until(lambda: consumer.get_watermark_offsets(TopicPartition("short", 0), PATIENCE_S) == (3, 3))
    produce(cluster, "long", b"d")
    until(lambda: bool(collect(cluster).objects) and len(data_slots(cluster, tmp_path, capsys)) == 4)
    consumer.assign([TopicPartition("long", 0, 0)])
    assert [consumer.poll(PATIENCE_S).value() for _ in range(4)] == [b"a", b"b", b"c", b"d"]
    consumer.close()
    slots = list((tmp_path / "bucket/leaders").rglob("log/*"))
    assert len(slots) < 12, "adoptions, log starts and expired data are gone"


def test_a_deleted_topic_and_deleted_records_leave_nothing_in_the_bucket(
    cluster: InProcessCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    admin = make_topic(cluster, "gone")
    make_topic(cluster, "cut")
    make_topic(cluster, "kept")
    for topic in ("gone", "cut", "kept"):
        produce(cluster, topic, b"1", b"2")
    admin.delete_records([TopicPartition("cut", 0, 2)])[TopicPartition("cut", 0)].result(PATIENCE_S)
    admin.delete_topics(["gone"])["gone"].result(PATIENCE_S)
    produce(cluster, "kept", b"3")
    until(lambda: len(data_slots(cluster, tmp_path, capsys)) == 3)
    collect(cluster)
    kept = data_slots(cluster, tmp_path, capsys)
    assert len(kept) == 3
    (tmp_path / "bucket" / kept[0]).unlink()
    assert run(["store", "check", "--store", str(tmp_path / "bucket")]) == 1
    assert f"{kept[0]}: missing" in capsys.readouterr().out
