"""Garbage collection on logs that go on being written: what is needed stays whatever happens between its requests."""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from raylog.leader.batch_reader import object_key
from raylog.leader.checkpoint_format import encode_checkpoint
from raylog.leader.garbage import Collected, collect_garbage
from raylog.leader.handover_reader import HandoverReader
from raylog.leader.log_mark import mark_leader_log
from raylog.leader.log_state import LedSnapshot, LogState
from raylog.model.errors import CorruptError, RetryError
from raylog.model.ids import LeaderEpoch, LeaderId, TopicId, TopicPartition
from raylog.model.limits import GarbageLimits, Limits, LogLimits
from raylog.model.logs import role_logger
from raylog.partition.flushed_state import PartitionSnapshot
from raylog.storage.checkpoint import latest_checkpoint
from raylog.storage.data_object import IndexRow, SlotMeta, encode_meta
from raylog.storage.fenced_log import FencedLog
from raylog.storage.garbage import Reason
from raylog.storage.handover import Handover, write_handover
from raylog.storage.keys import leader_prefix, segment_key, slot_key
from raylog.storage.memory_store import MemoryStore
from raylog.storage.object_store import ObjectMeta
from raylog.storage.slot_events import (
    Adopt,
    HandOver,
    LogStart,
    Release,
    SegmentPut,
    SlotEvent,
    Swap,
    SwapPart,
    SwapRow,
    TakeOver,
)
from raylog.storage.slot_format import decode_footer, encode_slot, meta_from_tail
from tests.harness.manual_clock import ManualClock

LEADER = LeaderId(1)
LOG = leader_prefix(LEADER)
HOUR_S = 3600.0


class MeddledStore(MemoryStore):
    """Somebody else does something before each of its requests, and between the pages of a listing."""

    def __init__(self, inner: MemoryStore, meddle: Callable[[], Awaitable[None]], clock: ManualClock) -> None:
        super().__init__(clock)
        self._objects, self._keys = inner._objects, inner._keys
        self._meddle = meddle

    async def list(self, prefix: str, *, start_after: str = "") -> AsyncIterator[ObjectMeta]:
        await self._meddle()
        async for found in super().list(prefix, start_after=start_after):
            yield found
            await self._meddle()

    async def get(self, key: str, **options: Any) -> bytes:
        await self._meddle()
        return await super().get(key, **options)

    async def get_tail(self, key: str, length: int, **options: Any) -> bytes:
        await self._meddle()
        return await super().get_tail(key, length, **options)

    async def delete(self, keys: Sequence[str]) -> None:
        await self._meddle()
        await super().delete(keys)


class Writer:
    """A leader's log and its state, without the leader."""

    def __init__(self, store: MemoryStore, clock: ManualClock, limits: Limits, leader_id: LeaderId = LEADER) -> None:
        self.store, self.clock, self.limits, self.leader_id = store, clock, limits, leader_id
        self.state = LogState(leader_id)
        self.slot = 0
        self.log = self._new_log()

    def _new_log(self) -> FencedLog:
        return FencedLog(
            self.store,
            leader_prefix(self.leader_id),
            writer_id=random.Random(self.slot).randbytes(16),
            clock=self.clock,
            rng=random.Random(1),
            limits=self.limits.log,
        )

    async def open(self) -> "Writer":
        self.log = self._new_log()
        async for _ in self.log.open(await latest_checkpoint(self.store, leader_prefix(self.leader_id))):
            pass
        self.slot = self.log.open_slot
        return self

    async def event(self, event: SlotEvent) -> int:
        return await self._append(SlotMeta(events=[event]), b"")

    async def adopt(self, number: int) -> TopicPartition:
        partition = TopicPartition(TopicId(UUID(int=7)), number)
        await self.event(Adopt(partition=partition, epoch_base=0, topic_name="t"))
        return partition

    async def append(self, *numbers: int) -> int:
        """A slot with one row for each of these partitions."""
        rows = []
        for place, number in enumerate(numbers):
            partition = TopicPartition(TopicId(UUID(int=7)), number)
            end = self.state.partitions[partition].core.log_end_offset
            start = self.state.partitions[partition].core.log_start_offset
            at = max(end, start)
            rows.append(IndexRow(*partition, at, at, 64 + 8 * place, 8, self.clock.wall_ms(), 1, LeaderEpoch(1)))
        return await self._append(SlotMeta(index=rows), b"x" * 8 * len(numbers))

    async def _append(self, meta: SlotMeta, body: bytes) -> int:
        slot = self.slot = await self.log.append([body], encode_meta(meta))
        self.state.apply(slot, meta)
        return slot

    async def compact(self, number: int) -> None:
        """The whole partition into a segment, announced before it is named. Nothing else is written meanwhile."""
        partition = TopicPartition(TopicId(UUID(int=7)), number)
        rows = list(self.state.partitions[partition].core.index)
        segment = self.slot
        await self.store.put_if_absent(segment_key(segment), [b"x"])
        await self.event(SegmentPut(segment=segment))
        fresh = [SwapRow(r.first_offset, r.last_offset, 64, r.size_bytes, r[6], 1, r.leader_epoch) for r in rows]
        await self.event(Swap(segment=segment, parts=(SwapPart(partition, tuple(fresh)),)))

    async def checkpoint(self) -> None:
        snapshots = [
            LedSnapshot(
                partition=partition,
                topic_name="t",
                epoch_base=0,
                configs={},
                as_of_slot=self.slot,
                state=led.core.snapshot(),
            )
            for partition, led in self.state.partitions.items()
        ]
        await self.log.write_checkpoint(self.slot, encode_checkpoint(snapshots, self.state.releases.snapshot()))

    def rows(self) -> set[tuple[TopicPartition, Any]]:
        return {(partition, row) for partition, led in self.state.partitions.items() for row in led.core.index}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(clock: ManualClock) -> MemoryStore:
    return MemoryStore(clock)


async def collect(store: MemoryStore, clock: ManualClock, limits: Limits | None = None, led: Any = ()) -> Collected:
    return await collect_garbage(
        store, led=led, clock=clock, rng=random.Random(1), limits=limits or Limits(), logger=role_logger("garbage")
    )


async def slots_of(store: MemoryStore) -> list[int]:
    return [int(found.key[-20:]) for found in [f async for f in store.list(f"{LOG}log/")]]


async def test_what_retention_leaves_behind_goes_though_what_is_older_stays(store, clock, caplog):
    writer = await Writer(store, clock, Limits()).open()
    kept, expired = await writer.adopt(0), await writer.adopt(1)
    first = await writer.append(0)
    gone = [await writer.append(1) for _ in range(3)]
    shared = await writer.append(0, 1)
    await writer.event(LogStart(partition=expired, offset=4))
    await writer.checkpoint()
    assert (await collect(store, clock)).deleted == 0, "the checkpoint is younger than the grace"
    clock.now_s += HOUR_S
    with caplog.at_level(logging.INFO, "raylog"):
        collected = await collect(store, clock, led=[kept, expired])
    assert collected.reasons == {Reason.UNREFERENCED_SLOT: collected.deleted}
    assert "garbage collected" in caplog.text
    left = await slots_of(store)
    assert first in left and shared in left and not set(gone) & set(left)
    assert (await collect(store, clock)).deleted == 0
    again = await Writer(store, clock, Limits()).open()
    assert again.log.open_slot == writer.slot + 1


async def test_a_deleted_topics_data_goes_and_its_leaders_log_can_still_be_opened(store, clock):
    writer = await Writer(store, clock, Limits()).open()
    partition = await writer.adopt(0)
    for _ in range(4):
        await writer.append(0)
    await writer.event(Release(partition=partition, end_offset=4))
    await writer.checkpoint()
    clock.now_s += HOUR_S
    await collect(store, clock)
    assert await slots_of(store) == [writer.slot]
    assert (await Writer(store, clock, Limits()).open()).log.epoch == 2


async def test_orphans_of_a_fenced_writer_go(store, clock):
    old = await Writer(store, clock, Limits()).open()
    await old.adopt(0)
    orphan = slot_key(LOG, old.slot + 2)
    new = await Writer(store, clock, Limits()).open()
    new.state = old.state
    content = store._objects[slot_key(LOG, old.slot)][0]
    await store.put(orphan, [_as_slot(content, old.slot + 2)])
    await new.append(0)
    await new.checkpoint()
    await new.append(0)
    clock.now_s += HOUR_S
    await collect(store, clock)
    assert orphan not in store._objects
    await _assert_whole(store, clock, Limits(), new)


async def test_nothing_goes_when_a_led_partition_is_led_in_no_log_or_a_log_cannot_be_read(store, clock):
    writer = await Writer(store, clock, Limits()).open()
    partition = await writer.adopt(0)
    await writer.append(0)
    await writer.event(LogStart(partition=partition, offset=1))
    await writer.checkpoint()
    clock.now_s += HOUR_S
    before = dict(store._objects)
    with pytest.raises(RetryError, match="nothing is collected"):
        await collect(store, clock, led=[partition, TopicPartition(TopicId(UUID(int=8)), 0)])
    broken = slot_key(leader_prefix(LeaderId(2)), 1)
    await store.put(broken, [b"x" * 200])
    with pytest.raises(CorruptError, match="leaders/000002"):
        await collect(store, clock, led=[partition])
    await store.delete([broken])
    assert store._objects == before
    assert (await collect(store, clock, led=[partition])).deleted > 0


@pytest.mark.parametrize("seed", range(60))
async def test_a_leader_that_does_anything_between_the_requests_never_loses_what_it_needs(store, clock, seed):
    """Without any grace: the order alone has to hold."""
    limits = replace(
        Limits(),
        log=LogLimits(trim_grace_s=0.001, replay_prefetch=2),
        garbage=GarbageLimits(grace_s=0.001, delete_keys_max=2),
    )
    rng = random.Random(seed)
    writer = await Writer(store, clock, limits).open()
    for number in range(3):
        await writer.adopt(number)
    turn = asyncio.Lock()

    async def act() -> None:
        clock.now_s += rng.choice((0.0, 0.0005, 0.002))
        led = [led for led in writer.state.partitions.values() if led.core.log_end_offset > led.core.log_start_offset]
        match rng.randrange(7):
            case 0 | 1 | 2:
                await writer.append(*rng.sample(range(3), rng.randint(1, 3)))
            case 3 if led:
                core = rng.choice(led).core
                offset = rng.randint(core.log_start_offset + 1, core.log_end_offset)
                await writer.event(LogStart(partition=core.partition, offset=offset))
            case 4:
                await writer.checkpoint()
            case 5 if led:
                await writer.compact(rng.choice(led).core.partition.partition)
            case _:
                needed = [row.number for _, row in writer.rows() if row.source == LEADER]
                await writer.log.trim(min([writer.slot, *needed]))

    async def act_in_turn() -> None:
        async with turn:
            await act()

    async def meddle() -> None:
        if not turn.locked() and rng.random() < 0.5:
            # A read that is given up does not cut short what somebody else does.
            await asyncio.shield(asyncio.ensure_future(act_in_turn()))

    for _ in range(4):
        for _ in range(8):
            await act_in_turn()
        with contextlib.suppress(RetryError):  # trimmed each time while it was read: the next round will do
            await collect(MeddledStore(store, meddle, clock), clock, limits)
        async with turn:
            await _assert_whole(store, clock, limits, writer)
    await writer.checkpoint()
    clock.now_s += 1
    await collect(store, clock, limits)
    needed = {object_key(row) for _, row in writer.rows()}
    left = {found.key async for found in store.list("") if "/checkpoint/" not in found.key}
    assert left == needed | {slot_key(LOG, writer.slot)}


async def _assert_whole(store: MemoryStore, clock: ManualClock, limits: Limits, writer: Writer) -> None:
    """The log reads as its writer knows it, and every row's object is there."""
    marked = await mark_leader_log(store, LEADER, clock=clock, rng=random.Random(1), limits=limits.log)
    assert marked.mark.references == {object_key(row) for _, row in writer.rows()}
    assert marked.mark.references <= store._objects.keys()
    assert marked.next_slot == writer.slot + 1


def _as_slot(content: bytes, number: int) -> bytes:
    """The same slot under another number."""
    record = decode_footer(content, "test")
    meta = meta_from_tail(content, record, "test")
    body = content[64 : 64 + record.body_bytes]
    return b"".join(encode_slot(replace(record, slot=number), [body], meta))


async def test_what_moved_stays_whole_and_its_handover_goes_when_nobody_begins_with_it_any_more(
    store: MemoryStore, clock: ManualClock
) -> None:
    """The source is checkpointed and trimmed at every step; its slots and the handover are needed by the target's log alone."""
    limits = Limits(log=LogLimits(trim_grace_s=1), garbage=GarbageLimits(grace_s=1))
    source = await Writer(store, clock, limits).open()
    target = await Writer(store, clock, limits, LeaderId(2)).open()
    partition = await source.adopt(0)
    slots = [await source.append(0) for _ in range(3)]
    led = source.state.partitions[partition]
    snapshot = LedSnapshot(
        partition=partition, topic_name="t", epoch_base=0, configs={}, as_of_slot=source.slot, state=led.core.snapshot()
    )
    state = encode_checkpoint([snapshot])
    handover = Handover(leader_id=LEADER, number=77, epoch=source.log.epoch, writer_id=bytes(16), state=state)
    await write_handover(store, handover)
    orphan = replace(handover, number=78)
    await write_handover(store, orphan)
    await source.event(HandOver(partition=partition, end_offset=3, epoch_base=0, handover=77, first_slot=min(slots)))

    async def later(led: Any = (partition,)) -> set[str]:
        """A round once everything is old; the handovers that are left."""
        clock.now_s += 10
        with contextlib.suppress(RetryError):  # led nowhere: between the two leaders everything stays
            await collect(store, clock, limits, led)
        return {found.key[-2:] for found in [f async for f in store.list(f"{LOG}handover/")]}

    await source.checkpoint()
    assert await later() == {"77", "78"}
    take_over = TakeOver(partition=partition, epoch_base=1, topic_name="t", from_leader=LEADER, handover=77)
    target.slot = await target.log.append([], encode_meta(SlotMeta(events=[take_over])))
    target.state.apply(target.slot, SlotMeta(events=[take_over]), {partition: snapshot.state})
    source.state.releases.told([partition])
    await source.checkpoint()
    assert await later() == {"77"}
    assert set(slots) <= set(await slots_of(store))
    await target.checkpoint()
    assert await later() == set()
    assert set(slots) <= set(await slots_of(store))
    marked = await mark_leader_log(store, LeaderId(2), clock=clock, rng=random.Random(1), limits=limits.log)
    assert marked.mark.references == {slot_key(LOG, slot) for slot in slots}


async def test_replay_that_needs_a_handover_which_is_gone_begins_again_only_if_there_is_a_checkpoint_for_it(
    store: MemoryStore, clock: ManualClock
) -> None:
    limits = Limits()
    writer = await Writer(store, clock, limits).open()
    partition = TopicPartition(TopicId(UUID(int=7)), 0)
    event = TakeOver(partition=partition, epoch_base=1, topic_name="t", from_leader=5, handover=77)
    slot = writer.slot = await writer.log.append([], encode_meta(SlotMeta(events=[event])))
    with pytest.raises(CorruptError, match="takes over by a handover that is not there"):
        await HandoverReader(store).handed_to(LOG, slot, [event])
    writer.state.apply(slot, SlotMeta(events=[event]), {partition: PartitionSnapshot()})
    await writer.checkpoint()
    with pytest.raises(RetryError, match="was checkpointed past slot"):
        await HandoverReader(store).handed_to(LOG, slot, [event])
