"""Catch-up consumers at a gateway: what their reads cost the bucket and the leader, and that none of them harms another."""

import asyncio
from collections import Counter
from random import Random

import pytest
from kio.schema.errors import ErrorCode
from prometheus_client import CollectorRegistry

from raylog.model.clock import SystemClock
from raylog.model.errors import RetryError
from raylog.model.limits import StoreLimits
from raylog.protocol.batch import Record, encode_batch, read_header
from raylog.protocol.internal import PLAN_BIT
from raylog.storage.memory_store import MemoryStore
from raylog.storage.object_store import Priority
from raylog.storage.read_plan import ObjectRange, encode_read_plan
from raylog.storage.retrying_store import RetryingStore

from .test_fetch import Log, answered, errors_of, fetch, records_of, response

BLOCK = 1 << 20
HEAD = b"what stands before"
BATCH_VALUE_BYTES = 300_000


class CountingStore(MemoryStore):
    """Counts the GETs of each block, holds them back while the gate is closed, and fails as many as it is told to."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.gets: Counter[tuple[str, int]] = Counter()
        self.gate = asyncio.Event()
        self.gate.set()
        self.failures = 0
        self.under_way = 0
        self.registry: CollectorRegistry | None = None
        self.held_blocks_max = 0

    async def get(
        self, key: str, *, start: int = 0, length: int | None = None, priority: Priority = Priority.TAIL
    ) -> bytes:
        assert priority is Priority.CATCH_UP, "the WAL and the tail come first"
        self.gets[key, start // BLOCK] += 1
        self.under_way += 1
        try:
            self._note_held()
            await self.gate.wait()
            if self.failures:
                self.failures -= 1
                raise RetryError("503 SlowDown")
            return await super().get(key, start=start, length=length, priority=priority)
        finally:
            self.under_way -= 1

    def _note_held(self) -> None:
        if self.registry is not None:
            held_bytes = self.registry.get_sample_value("raylog_block_cache_bytes") or 0
            self.held_blocks_max = max(self.held_blocks_max, self.under_way + -(-int(held_bytes) // BLOCK))


class OldLog(Log):
    """A leader that has nothing in memory: for each partition the plan from the offset on, within the request's bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.ranges: dict[int, list[ObjectRange]] = {}
        self.contents: dict[int, list[bytes]] = {}
        self.asked = 0
        self.given_bytes = 0

    async def fill(self, store: MemoryStore, partition: int, batches: int) -> None:
        """One object, one range for each batch."""
        found = [batch(offset) for offset in range(batches)]
        body, ranges = bytearray(HEAD), []
        for records in found:
            header = read_header(records)
            ranges.append(
                ObjectRange(f"o/{partition}", len(body), len(records), header.base_offset, header.last_offset)
            )
            body += records
        await store.put(f"o/{partition}", [bytes(body)])
        self.ranges[partition], self.contents[partition] = ranges, found

    async def __call__(self, head, request):
        self.asked += 1
        topics = []
        for topic in request.topics:
            partitions = []
            for part in topic.partitions:
                plan, size_bytes = [], 0
                for found in self.ranges[part.partition]:
                    if found.first_offset >= part.fetch_offset and size_bytes < part.partition_max_bytes:
                        plan.append(found)
                        size_bytes += found.size_bytes
                records = encode_read_plan(plan) if plan else b""
                self.given_bytes += len(records)
                partitions.append(answered(head.api_version, part, records, has_plan=bool(plan)))
            topics.append((topic, partitions))
        return response(head.api_version, topics)


def batch(offset: int) -> bytes:
    return encode_batch([Record(value=Random(offset).randbytes(BATCH_VALUE_BYTES), timestamp_ms=1)], base_offset=offset)


@pytest.fixture
async def old(make_world):
    """Gives a world with old partitions of so many batches each, its store and its leader's log."""

    async def make(*batches: int, retried: bool = False, **limits):
        store = CountingStore()
        seen = RetryingStore(store, clock=SystemClock(), rng=Random(1), limits=PATIENT) if retried else store
        world = await make_world(store=seen, **limits)
        store.registry = world.registry
        log = OldLog()
        for partition, count in enumerate(batches):
            await log.fill(store, partition, count)
        leader = await world.leader(1, log)
        leader.plan_bit = PLAN_BIT
        await world.topic("t", [1] * len(batches))
        return world, store, log

    return make


PATIENT = StoreLimits(backoff_s_initial=0.001, backoff_s_max=0.001)


async def read_all(client, log, partition=0):
    """A consumer from the start of a partition to its end; what it got."""
    found, offset, end = bytearray(), 0, len(log.contents[partition])
    while offset < end:
        answer = await client.ask(fetch({("t", partition): offset}, part_bytes=BLOCK))
        assert errors_of(answer) == {("t", partition): ErrorCode.none}
        records = records_of(answer)["t", partition]
        found += records
        while records:
            header = read_header(records)
            offset, records = header.last_offset + 1, records[header.size_bytes :]
    return bytes(found)


async def test_many_consumers_of_a_range_cost_one_get_of_each_block(old):
    world, store, log = await old(20)
    clients = [await world.client() for _ in range(12)]
    store.gate.clear()
    readers = [asyncio.create_task(read_all(client, log)) for client in clients]
    await world.until(lambda: log.asked == len(clients) and store.under_way)
    store.gate.set()
    for found in await asyncio.gather(*readers):
        assert found == b"".join(log.contents[0])
    blocks = -(-(len(HEAD) + sum(map(len, log.contents[0]))) // BLOCK)
    assert {block for _, block in store.gets} >= set(range(blocks))
    assert set(store.gets.values()) == {1}


async def test_a_leader_is_asked_once_for_each_fetch_and_gives_a_plan_instead_of_records(old):
    world, _, log = await old(20)
    client = await world.client()
    found = await read_all(client, log)
    assert log.asked == -(-20 // (BLOCK // BATCH_VALUE_BYTES))
    assert log.given_bytes < len(found) / 1000


async def test_a_consumer_that_reads_on_finds_its_next_blocks_read_ahead(old):
    world, store, log = await old(20)
    client = await world.client()
    offset = 0
    for _ in range(3):
        answer = await client.ask(fetch({("t", 0): offset}, part_bytes=BLOCK))
        offset += len(records_of(answer)["t", 0]) // len(log.contents[0][0])
    await world.until(lambda: not store.under_way)
    needed = (len(HEAD) + sum(map(len, log.contents[0][:offset])) - 1) // BLOCK
    assert store.gets.keys() >= {("o/0", block) for block in range(needed + 2)}
    store.gate.clear()
    answer = await client.ask(fetch({("t", 0): offset}, part_bytes=BLOCK))
    assert records_of(answer)["t", 0] == b"".join(log.contents[0][offset : offset + 3])


async def test_the_cache_never_holds_more_than_its_budget(old):
    blocks = 4
    world, store, log = await old(*[14] * 6, block_cache_bytes=blocks * BLOCK)
    clients = [await world.client() for _ in range(12)]
    readers = [read_all(client, log, number % 6) for number, client in enumerate(clients)]
    for number, found in enumerate(await asyncio.gather(*readers)):
        assert found == b"".join(log.contents[number % 6])
    assert 0 < store.held_blocks_max <= blocks


async def test_a_consumer_that_goes_away_takes_nothing_from_those_that_wait_with_it(old):
    world, store, log = await old(6)
    gone, stays = await world.client(), await world.client()
    store.gate.clear()
    gone.send(fetch({("t", 0): 0}))
    await world.until(lambda: store.under_way)
    stays.send(fetch({("t", 0): 0}))
    await world.until(lambda: log.asked == 2)
    await gone.close()
    await world.until(lambda: len(world.gateway._server._connections) == 1)
    assert store.under_way
    store.gate.set()
    assert records_of((await stays.receive())[1])["t", 0] == b"".join(log.contents[0][:3])
    assert set(store.gets.values()) == {1}
    assert world.gateway._server.services.answers.taken_bytes == 0


async def test_a_get_that_fails_for_a_while_is_tried_again_and_nobody_notices(old):
    world, store, log = await old(3, retried=True)
    store.failures = 3
    assert await read_all(await world.client(), log) == b"".join(log.contents[0])
    assert store.failures == 0


async def test_a_get_that_keeps_failing_is_a_storage_error_for_now_and_is_not_kept(old):
    world, store, log = await old(3)
    clients = [await world.client() for _ in range(2)]
    store.failures = 1
    store.gate.clear()
    for client in clients:
        client.send(fetch({("t", 0): 0}))
    await world.until(lambda: log.asked == 2 and store.under_way)
    store.gate.set()
    for client in clients:
        assert errors_of((await client.receive())[1]) == {("t", 0): ErrorCode.kafka_storage_error}
    for client in clients:
        assert await read_all(client, log) == b"".join(log.contents[0])
    assert store.gets["o/0", 0] == 2
