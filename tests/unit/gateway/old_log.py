"""A leader that has nothing in memory, and the bucket that its plans lead to: for tests of catch-up consumers."""

import asyncio
from collections import Counter
from dataclasses import replace
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
        self.ahead_bytes = 0
        """Its plans go so far beyond what is asked for."""
        self.aborted = ()

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
                    limit_bytes = part.partition_max_bytes + self.ahead_bytes
                    if found.last_offset >= part.fetch_offset and size_bytes < limit_bytes:
                        plan.append(found)
                        size_bytes += found.size_bytes
                records = encode_read_plan(plan) if plan else b""
                self.given_bytes += len(records)
                end = len(self.contents[part.partition])
                answer = answered(
                    head.api_version,
                    part,
                    records,
                    has_plan=bool(plan),
                    high_watermark=end,
                    last_stable_offset=end if request.isolation_level else 0,
                )
                partitions.append(replace(answer, aborted_transactions=self.aborted))
            topics.append((topic, partitions))
        return response(head.api_version, topics)


def batch(offset: int) -> bytes:
    return encode_batch([Record(value=Random(offset).randbytes(BATCH_VALUE_BYTES), timestamp_ms=1)], base_offset=offset)


@pytest.fixture
async def old(make_world):
    """Gives a world with old partitions of so many batches each, its store and its leader's log."""

    async def make(*batches: int, retried: bool = False, store=None, ahead_bytes=0, **limits):
        store = store or CountingStore()
        seen = RetryingStore(store, clock=SystemClock(), rng=Random(1), limits=PATIENT) if retried else store
        world = await make_world(store=seen, **limits)
        store.registry = world.registry
        world.gateway._server.services.plan_cache._ahead_bytes = ahead_bytes
        log = OldLog()
        for partition, count in enumerate(batches):
            await log.fill(store, partition, count)
        leader = await world.leader(1, log)
        leader.plan_bit = PLAN_BIT
        await world.topic("t", [1] * len(batches))
        return world, store, log

    return make


PATIENT = StoreLimits(backoff_s_initial=0.001, backoff_s_max=0.001)


async def read_all(client, log, partition=0, start=0, **options):
    """A consumer from the start of a partition, or another offset, to its end; what it got."""
    found, offset, end = bytearray(), start, len(log.contents[partition])
    while offset < end:
        answer = await client.ask(fetch({("t", partition): offset}, part_bytes=BLOCK, **options))
        assert errors_of(answer) == {("t", partition): ErrorCode.none}
        records = records_of(answer)["t", partition]
        found += records
        while records:
            header = read_header(records)
            offset, records = header.last_offset + 1, records[header.size_bytes :]
    return bytes(found)
