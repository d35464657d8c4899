"""A log that describes data is one that a leader recovers, as far and as large as it says."""

from pathlib import Path
from uuid import UUID

from bench.described_log import describe
from raylog.leader.log_mark import mark_leader_log
from raylog.leader.recovery import recover
from raylog.model.clock import SystemClock, system_random
from raylog.model.ids import LeaderId, TopicId, TopicPartition
from raylog.model.limits import Limits, LogLimits
from raylog.model.logs import role_logger
from raylog.storage.data_object import SlotMeta, encode_meta
from raylog.storage.fenced_log import FencedLog
from raylog.storage.keys import leader_prefix
from raylog.storage.local_store import LocalStore
from raylog.storage.object_wal import ObjectWal
from raylog.storage.slot_events import Adopt
from raylog.storage.wal import FlushPolicy

MIB = 1 << 20
LEADER = LeaderId(2)
PARTITIONS = [TopicPartition(TopicId(UUID(int=5)), number) for number in range(4)]


async def test_what_is_described_is_recovered(tmp_path: Path) -> None:
    clock, rng = SystemClock(), system_random()
    store = await LocalStore.open(tmp_path)
    log = FencedLog(store, leader_prefix(LEADER), writer_id=rng.randbytes(16), clock=clock, rng=rng)
    assert [slot async for slot in log.open(None)] == []
    adopted = [Adopt(partition=partition, epoch_base=0, topic_name="t") for partition in PARTITIONS]
    await log.append((), encode_meta(SlotMeta(events=adopted)))
    await log.close()

    described = await describe(tmp_path, {"t": 4}, data_bytes=1024 * MIB, row_bytes=MIB, tail_rows=24)

    assert described.data_bytes == 1024 * MIB
    assert (described.tail_slots, described.tail_rows) == (3, 24)
    assert described.checkpoint_rows == 1024 - 3 * 64
    assert set(described.ends.values()) == {1024 * 1024 // 4}
    keys = {found.key: found.size async for found in store.list("")}
    marked = await mark_leader_log(store, LEADER, clock=clock, rng=rng, limits=LogLimits())
    assert marked.mark.references <= keys.keys()
    recovered = await recover(
        leader_id=LEADER,
        store=store,
        wal=ObjectWal(flush_policy=FlushPolicy(interval_ms=1, max_bytes=1, immediate=True)),
        clock=clock,
        rng=rng,
        limits=Limits(),
        logger=role_logger("test"),
    )
    assert (recovered.slots, recovered.rows) == (3, 24)
    for partition, led in recovered.partitions.items():
        led.core.validate()
        assert led.core.log_end_offset == described.ends[partition]
        assert led.core.index.size_bytes == 256 * MIB
    await recovered.log.close()
    await store.close()
