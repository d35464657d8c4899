"""Compaction on a real leader: readers see the same records from segments, whatever happens between a job and its swap."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from raylog.leader.compaction import Compaction
from raylog.leader.compactor import CompactionJob, StoreCompactor
from raylog.leader.log_mark import mark_leader_log
from raylog.model.clock import SystemClock, system_random
from raylog.model.errors import RetryError
from raylog.model.ids import LeaderId
from raylog.model.limits import CompactionLimits, Limits
from raylog.partition.offset_index import SEGMENT
from raylog.storage.keys import SEGMENTS_PREFIX
from raylog.storage.slot_events import Swap

LIMITS = Limits(
    compaction=CompactionLimits(
        interval_s=3600.0, segment_bytes=1 << 20, run_bytes_min=100_000, sources_max=4, fan_in=2, levels_max=2
    )
)


class Hand:
    """A compactor that does something of the test's before it gives its answer."""

    def __init__(self, cluster: Any) -> None:
        self._compactor = StoreCompactor(cluster.store, LIMITS)
        self.jobs: list[CompactionJob] = []
        self.meanwhile: Any = None

    async def compact(self, job: CompactionJob) -> Swap:
        self.jobs.append(job)
        swap = await self._compactor.compact(job)
        if self.meanwhile is not None:
            await self.meanwhile()
        return swap


@pytest.fixture
async def cluster(wal_url: str, make_cluster: Any) -> AsyncIterator[Any]:
    made = make_cluster(wal_url)
    made.limits = LIMITS
    yield made
    await made.stop()


def parts_of(cluster: Any) -> Any:
    return cluster.leaders[-1]._parts


def compaction_of(cluster: Any) -> Compaction:
    return parts_of(cluster).compaction


def use(cluster: Any) -> Hand:
    """The newest leader's compactor is in the test's hand from now on."""
    hand = Hand(cluster)
    compaction_of(cluster)._compactor = hand
    return hand


async def fill(cluster: Any, client: Any, kit: Any, slots: int, partitions: int = 2) -> None:
    """So many slots with a batch of each partition, covered by a checkpoint."""
    for slot in range(slots):
        batches = {number: kit.batch(b"%d in slot %d" % (number, slot)) for number in range(partitions)}
        answer = await client.ask(kit.produce_request(batches))
        assert all(not p.error_code for t in answer.responses for p in t.partition_responses)
        await parts_of(cluster).flusher.flush()
    await parts_of(cluster).checkpoints.write()


def index_of(cluster: Any, kit: Any, number: int = 0) -> list[Any]:
    return list(parts_of(cluster).context.partitions[kit.assignment(number).partition].core.index)


async def segments(cluster: Any) -> list[str]:
    return [found.key async for found in cluster.store.list(SEGMENTS_PREFIX)]


async def read_all(cluster: Any, client: Any, kit: Any, number: int = 0, start: int = 0) -> list[bytes | None]:
    """From the bucket."""
    reader = parts_of(cluster).context.reader
    hosted = parts_of(cluster).context.partitions[kit.assignment(number).partition]
    end = hosted.core.flushed_end_offset
    values: list[bytes | None] = []
    tail, hosted.tail = hosted.tail, type(hosted.tail)(end)
    try:
        while start < end:
            records = bytes(await reader.read(hosted, start, end, 1 << 20))
            start = list(kit.headers(records))[-1].last_offset + 1
            values += kit.values_of(records)
    finally:
        hosted.tail = tail
    return values


async def test_short_runs_of_slots_become_one_range_of_a_segment_and_stay_so_after_a_crash(cluster, kit):
    client = await cluster.lead(kit.assignment(0), kit.assignment(1))
    await fill(cluster, client, kit, 4)
    before = [await read_all(cluster, client, kit, number) for number in (0, 1)]
    assert await compaction_of(cluster).look() == 1
    for number in (0, 1):
        (row,) = index_of(cluster, kit, number)
        assert row.source == SEGMENT and (row.first_offset, row.last_offset, row.record_count) == (0, 3, 4)
        assert await read_all(cluster, client, kit, number) == before[number]
    cluster.validate()
    assert await compaction_of(cluster).look() == 0
    rows = index_of(cluster, kit)
    await cluster.crash()
    await cluster.start()
    assert index_of(cluster, kit) == rows
    cluster.validate()
    client = await cluster.client()
    await parts_of(cluster).checkpoints.write()
    await cluster.crash()
    await cluster.start()
    assert index_of(cluster, kit) == rows, "from a checkpoint, too"


async def test_segments_are_merged_again_up_to_the_last_level(cluster, kit):
    client = await cluster.lead(kit.assignment(0), kit.assignment(1))
    for _ in range(2):
        await fill(cluster, client, kit, 4)
        while await compaction_of(cluster).look():
            pass
    (row,) = index_of(cluster, kit)
    assert row.record_count == 8 and await read_all(cluster, client, kit) == [
        b"0 in slot %d" % (n % 4) for n in range(8)
    ]
    assert len(await segments(cluster)) == 3


async def test_slots_above_the_newest_checkpoint_wait_for_the_next(cluster, kit):
    client = await cluster.lead(kit.assignment(0))
    await fill(cluster, client, kit, 3, 1)
    for _ in range(2):
        await client.ask(kit.produce_request({0: kit.batch(b"later")}))
        await parts_of(cluster).flusher.flush()
    assert await compaction_of(cluster).look() == 0
    await parts_of(cluster).checkpoints.write()
    assert await compaction_of(cluster).look() == 1
    assert [row.record_count for row in index_of(cluster, kit)] == [4, 1]


async def test_a_partition_whose_log_start_moves_meanwhile_keeps_its_rows_and_the_others_are_swapped(cluster, kit):
    client = await cluster.lead(kit.assignment(0), kit.assignment(1))
    await fill(cluster, client, kit, 4)
    hand = use(cluster)

    async def delete() -> None:
        answer = await client.ask(kit.delete_records_request(0, 2))
        assert not answer.topics[0].partitions[0].error_code

    hand.meanwhile = delete
    assert await compaction_of(cluster).look() == 1
    assert [row.source for row in index_of(cluster, kit, 0)] == [1, 1]
    assert [row.source for row in index_of(cluster, kit, 1)] == [SEGMENT]
    cluster.validate()
    rows = [index_of(cluster, kit, number) for number in (0, 1)]
    await cluster.crash()
    await cluster.start()
    assert [index_of(cluster, kit, number) for number in (0, 1)] == rows


async def test_a_partition_that_is_released_meanwhile_is_passed_over(cluster, kit):
    client = await cluster.lead(kit.assignment(0), kit.assignment(1))
    await fill(cluster, client, kit, 4)
    hand = use(cluster)
    partitions = parts_of(cluster).context.partitions

    async def release() -> None:
        await cluster.controller.assign(kit.assignment(1))
        async with asyncio.timeout(kit.NO_WAIT_S):
            while kit.assignment(0).partition in partitions:  # noqa: ASYNC110  (nobody tells)
                await asyncio.sleep(0)

    hand.meanwhile = release
    assert await compaction_of(cluster).look() == 1
    assert [row.source for row in index_of(cluster, kit, 1)] == [SEGMENT]
    await cluster.crash()
    await cluster.start()
    assert [row.source for row in index_of(cluster, kit, 1)] == [SEGMENT]


async def test_a_corrupt_batch_ends_the_job_is_told_and_not_tried_again(cluster, kit, caplog):
    client = await cluster.lead(kit.assignment(0), kit.assignment(1))
    await fill(cluster, client, kit, 4)
    rows = index_of(cluster, kit)
    broken = next(key for key in cluster.store._objects if key.endswith(f"log/{rows[2].number:020d}"))
    content, when = cluster.store._objects[broken]
    cluster.store._objects[broken] = (content[:130] + bytes([content[130] ^ 1]) + content[131:], when)
    hand = use(cluster)
    with caplog.at_level(logging.ERROR, "raylog"):
        assert await compaction_of(cluster).look() == 0
    assert "cannot be compacted" in caplog.text
    assert index_of(cluster, kit) == rows and await segments(cluster) == []
    assert await compaction_of(cluster).look() == 0 and len(hand.jobs) == 1


async def test_a_job_that_took_half_the_grace_is_not_committed(cluster, kit):
    client = await cluster.lead(kit.assignment(0), kit.assignment(1))
    await fill(cluster, client, kit, 4)
    rows = index_of(cluster, kit)
    compaction = compaction_of(cluster)
    compaction._announce_s_max = 0.0
    assert await compaction.look() == 0
    assert index_of(cluster, kit) == rows and len(await segments(cluster)) == 1
    compaction._announce_s_max = 60.0
    assert await compaction.look() == 1


async def test_a_partition_that_is_leaving_keeps_its_rows(cluster, kit):
    """What its next leader begins with has been written, and says where they lie."""
    client = await cluster.lead(kit.assignment(0), kit.assignment(1))
    await fill(cluster, client, kit, 4)
    rows = index_of(cluster, kit)
    hand = use(cluster)

    async def leave() -> None:
        parts_of(cluster).context.partitions[kit.assignment(0).partition].is_leaving = True

    hand.meanwhile = leave
    assert await compaction_of(cluster).look() == 1
    assert index_of(cluster, kit) == rows
    assert {row.source for row in index_of(cluster, kit, 1)} == {SEGMENT}


async def test_a_worker_that_is_lost_is_asked_again_at_the_next_look(cluster, kit):
    client = await cluster.lead(kit.assignment(0), kit.assignment(1))
    await fill(cluster, client, kit, 4)
    hand = use(cluster)

    async def die() -> None:
        raise RetryError("The task was lost.")

    hand.meanwhile = die
    assert await compaction_of(cluster).look() == 0
    hand.meanwhile = None
    assert await compaction_of(cluster).look() == 1
    assert len({job.number for job in hand.jobs}) == 2


async def test_a_log_that_is_read_at_any_time_keeps_the_segment_and_no_checkpoint_comes_between(cluster, kit):
    client = await cluster.lead(kit.assignment(0), kit.assignment(1))
    await fill(cluster, client, kit, 4)
    checkpoints = parts_of(cluster).checkpoints
    named: list[bool] = []
    write = compaction_of(cluster)._write

    async def look(event: Any) -> None:
        await write(event)
        assert checkpoints.lock.locked()
        marked = await mark_leader_log(
            cluster.store, LeaderId(1), clock=SystemClock(), rng=system_random(), limits=LIMITS.log
        )
        (key,) = await segments(cluster)
        named.append(key in marked.mark.announced)
        assert (key in marked.mark.announced) != (key in marked.mark.references)

    compaction_of(cluster)._write = look  # type: ignore[method-assign]
    assert await compaction_of(cluster).look() == 1
    assert named == [True, False]


async def test_a_fenced_leader_ends_while_it_compacts(cluster, kit):
    client = await cluster.lead(kit.assignment(0), kit.assignment(1))
    await fill(cluster, client, kit, 4)
    hand = use(cluster)
    old = cluster.leaders[-1]

    async def take_over() -> None:
        await cluster.start(run_dir="other")

    hand.meanwhile = take_over
    looking = asyncio.ensure_future(old._parts.compaction.look())
    with contextlib.suppress(Exception):
        async with asyncio.timeout(kit.NO_WAIT_S):
            await looking
    assert looking.done() and looking.exception() is not None
    assert [row.source for row in index_of(cluster, kit)] == [1] * 4
    with contextlib.suppress(Exception):
        await old.close()


async def test_compaction_runs_by_itself(wal_url, make_cluster, kit):
    cluster = make_cluster(wal_url)
    cluster.limits = replace(LIMITS, compaction=replace(LIMITS.compaction, interval_s=0.01))
    try:
        client = await cluster.lead(kit.assignment(0), kit.assignment(1))
        await fill(cluster, client, kit, 4)
        async with asyncio.timeout(kit.NO_WAIT_S):
            while len(index_of(cluster, kit)) > 1:  # noqa: ASYNC110  (nobody tells)
                await asyncio.sleep(0.01)
    finally:
        await cluster.stop()
