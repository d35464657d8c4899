"""Retention on a real leader: what is due goes durably, what is not flushed or not deletable stays."""

import asyncio
from typing import Any

from raylog.leader.retention import CHECK_INTERVAL
from raylog.model.clock import SystemClock

HOUR_MS = 3_600_000


async def produce(client: Any, kit: Any, value: bytes, age_ms: int) -> int:
    """Acknowledged; its offset."""
    batch = kit.batch(value, timestamp_ms=SystemClock().wall_ms() - age_ms)
    response = await client.ask(kit.produce_request({0: batch}))
    return int(response.responses[0].partition_responses[0].base_offset)


async def start_of(client: Any, kit: Any) -> int:
    """What a client sees as the log's start."""
    response = await client.ask(kit.list_offsets_request(0, -2))
    return int(response.topics[0].partitions[0].offset)


def parts_of(cluster: Any) -> Any:
    return cluster.leaders[-1]._parts


async def flush(cluster: Any) -> None:
    await parts_of(cluster).flusher.flush()


async def test_old_records_go_and_stay_gone_after_a_crash(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment(**{"retention.ms": str(HOUR_MS)}))
    for number in range(3):
        assert await produce(client, kit, b"old", 2 * HOUR_MS) == number
        await flush(cluster)
    assert await produce(client, kit, b"young", 0) == 3
    await flush(cluster)
    assert await parts_of(cluster).retention.look() == 1
    assert await start_of(client, kit) == 3
    assert await parts_of(cluster).retention.look() == 0, "looking again changes nothing"
    cluster.validate()
    await cluster.crash()
    await cluster.start()
    assert await start_of(await cluster.client(), kit) == 3


async def test_size_takes_the_oldest(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment(**{"retention.bytes": "2500"}))
    for _ in range(5):
        await produce(client, kit, b"x" * 1000, 0)
        await flush(cluster)
    assert await parts_of(cluster).retention.look() == 1
    assert await start_of(client, kit) == 2


async def test_what_is_not_flushed_stays(tmp_path: Any, make_cluster: Any, kit: Any) -> None:
    (tmp_path / "wal").mkdir()
    cluster = make_cluster(f"file://{tmp_path}/wal?flush_interval_ms=30000&segment=1MiB&capacity=256MiB")
    try:
        client = await cluster.lead(kit.assignment(**{"retention.ms": "1"}))
        await produce(client, kit, b"old, but only on the WAL", HOUR_MS)
        assert await parts_of(cluster).retention.look() == 0
        await flush(cluster)
        assert await parts_of(cluster).retention.look() == 1
        assert await start_of(client, kit) == 1
    finally:
        await cluster.stop()


async def test_a_compacted_topic_keeps_everything(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment(**{"cleanup.policy": "compact", "retention.ms": "1"}))
    keyed = kit.encode_batch([kit.Record(key=b"k", value=b"v", timestamp_ms=1)])
    await client.ask(kit.produce_request({0: keyed}))
    await flush(cluster)
    assert await parts_of(cluster).retention.look() == 0


async def test_a_coordinators_own_log_start_moves_though_its_topic_is_compacted(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment(**{"cleanup.policy": "compact"}))
    await client.ask(kit.produce_request({0: kit.encode_batch([kit.Record(key=b"k", value=b"v", timestamp_ms=1)])}))
    await parts_of(cluster).context.internal_log.delete_records_internal(kit.assignment().partition, 1)
    assert await start_of(client, kit) == 1


async def test_the_interval_is_a_setting_that_acts_at_once(cluster: Any, kit: Any) -> None:
    one = kit.assignment(**{"retention.ms": "1"})
    client = await cluster.lead(one)
    await produce(client, kit, b"old", HOUR_MS)
    await flush(cluster)
    await cluster.controller.assign(one, broker_configs={CHECK_INTERVAL: "5"})
    async with asyncio.timeout(kit.NO_WAIT_S):
        while await start_of(client, kit) == 0:
            pass
    assert await start_of(client, kit) == 1
