"""Compaction seen by a real client: the same records from segments, also while the slots go that a read plan names."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from raylog.cli.main import run
from raylog.leader.garbage import Collected, collect_garbage
from raylog.model.ids import LeaderId
from raylog.model.limits import CompactionLimits, GarbageLimits, LeaderLimits, Limits, LogLimits
from raylog.model.logs import role_logger
from raylog.storage.block_cache import BlockCache
from tests.harness.cluster import PATIENCE_S, InProcessCluster, running

PARTITIONS = 5
RECORDS = 60
LIMITS = Limits(
    leader=LeaderLimits(tail_cache_bytes=1),
    compaction=CompactionLimits(interval_s=3600.0, sources_max=4, fan_in=2, levels_max=3),
)
"""Jobs are done when a test says so."""
NO_GRACE = replace(LIMITS, garbage=GarbageLimits(grace_s=1e-6), log=LogLimits(trim_grace_s=1e-6))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[InProcessCluster]:
    with running(tmp_path, leaders_per_class=1, default_wal="object", limits=LIMITS) as made:
        admin = AdminClient({"bootstrap.servers": made.bootstrap})
        admin.create_topics([NewTopic("t", PARTITIONS)])["t"].result(PATIENCE_S)
        producer = Producer({"bootstrap.servers": made.bootstrap, "linger.ms": 0})
        for number in range(RECORDS):
            producer.produce("t", value=b"%d" % number, partition=number % PARTITIONS)
            if number % PARTITIONS == PARTITIONS - 1:
                assert producer.flush(PATIENCE_S) == 0
        yield made


def leader_parts(cluster: InProcessCluster) -> Any:
    return cluster._running.leaders[LeaderId(cluster.leader_ids[0])]._parts


async def compact_and_collect(cluster: InProcessCluster) -> Collected:
    """Everything that is due; then what no row needs any more goes."""
    parts, roles = leader_parts(cluster), cluster._running
    await parts.checkpoints.write()
    while await parts.compaction.look():
        pass
    await parts.checkpoints.write()
    return await collect_garbage(
        roles._store,  # type: ignore[arg-type]
        led=roles.controller._controller.led_partitions(),  # type: ignore[union-attr]
        clock=cluster.clock,
        rng=Random(1),
        limits=NO_GRACE,
        logger=role_logger("garbage"),
    )


def read(cluster: InProcessCluster) -> dict[int, list[bytes]]:
    consumer = Consumer(
        {"bootstrap.servers": cluster.bootstrap, "group.id": "g", "enable.auto.commit": False, "check.crcs": True}
    )
    consumer.assign([TopicPartition("t", number, 0) for number in range(PARTITIONS)])
    found: dict[int, list[bytes]] = {number: [] for number in range(PARTITIONS)}
    for _ in range(RECORDS):
        message = consumer.poll(PATIENCE_S)
        assert message is not None and message.error() is None
        found[message.partition()].append(message.value())
    consumer.close()
    return found


EXPECTED = {number: [b"%d" % n for n in range(number, RECORDS, PARTITIONS)] for number in range(PARTITIONS)}


def check(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = run(["store", "check", "--store", str(folder / "bucket"), "--verify", "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_records_come_from_segments_and_the_slots_go(cluster, tmp_path, capsys):
    collected = cluster.run(compact_and_collect(cluster))
    assert collected.deleted > 8
    code, report = check(tmp_path, capsys)
    states = [(found["kind"], found["state"]) for found in report["objects"]]
    assert code == 0 and ("segment", "data") in states and ("segment", "loose") not in states
    assert ("slot", "data") not in states or states.count(("slot", "data")) < 4
    assert read(cluster) == EXPECTED
    cluster.kill_leader(cluster.leader_ids[0])
    assert read(cluster) == EXPECTED


def test_a_gateway_whose_plan_names_slots_that_went_asks_again(cluster, monkeypatch):
    right = BlockCache.read
    met: list[str] = []

    async def read_late(self: BlockCache, key: str, position: int, size_bytes: int) -> list[memoryview]:
        if not met:
            met.append(key)
            await compact_and_collect(cluster)
        return await right(self, key, position, size_bytes)

    monkeypatch.setattr(BlockCache, "at_hand", lambda *_: None)  # as if the system had nothing of it in memory
    monkeypatch.setattr(BlockCache, "read", read_late)
    assert read(cluster) == EXPECTED
    assert met[0].startswith("leaders/")


def test_a_check_finds_a_broken_segment(cluster, tmp_path, capsys):
    cluster.run(compact_and_collect(cluster))
    path = next(iter((tmp_path / "bucket/segments").iterdir()))
    content = bytearray(path.read_bytes())
    content[64 + 65] ^= 1
    path.write_bytes(content)
    code, report = check(tmp_path, capsys)
    assert code == 1
    assert [(problem["key"], problem["message"]) for problem in report["problems"]] == [
        (f"segments/{path.name}", "the batch at byte 64 does not match its CRC-32C.")
    ]
    path.unlink()
    code, report = check(tmp_path, capsys)
    assert code == 1 and "missing" in report["problems"][0]["message"]
