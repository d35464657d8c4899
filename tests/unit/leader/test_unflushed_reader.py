"""Drafts of slots, spilled or not: the same slots, every batch to be found, and memory within its limit."""

import asyncio
import logging
from collections import deque
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylog.leader.unflushed_reader import Found, UnflushedReader
from raylog.leader.write_buffer import Cut, WriteBuffer
from raylog.model.errors import CorruptError
from raylog.model.ids import LeaderEpoch, Lsn, TopicId, TopicPartition
from raylog.model.logs import role_logger
from raylog.partition.config import PartitionConfig
from raylog.partition.outcomes import Appended
from raylog.partition.partition import Partition
from raylog.protocol.batch import Record, encode_batch, headers
from raylog.storage.wal import WalEntry

HELD_BYTES = 3000
PARTITIONS = 3
_log = role_logger("leader", leader=1)


class KeptWal:
    """A WAL that can be read back, all of it durable at once."""

    can_read_back = True

    def __init__(self) -> None:
        self.entries: list[WalEntry] = []
        self.error: Exception | None = None
        self.reads = 0

    @property
    def durable_lsn(self) -> Lsn:
        return Lsn(len(self.entries))

    async def read_back(self, first_lsn: Lsn, last_lsn: Lsn) -> list[WalEntry]:
        await asyncio.sleep(0)
        self.reads += 1
        if self.error is not None:
            raise self.error
        return self.entries[first_lsn - 1 : last_lsn]


class World:
    """Partitions whose batches go to the WAL and to a buffer that spills, and to one that does not."""

    def __init__(self) -> None:
        self.wal = KeptWal()
        self.buffer = WriteBuffer(400, held_bytes_max=HELD_BYTES, slot_bytes_max=1000, spills=True)
        self.plain = WriteBuffer(400)
        self.fatal: list[Exception] = []
        self.reader = UnflushedReader(
            self.buffer,
            self.wal,  # type: ignore[arg-type]
            kept_bytes_max=1500,
            logger=_log,
            on_fatal=self.fatal.append,
        )
        self.cores = [self._core(number) for number in range(PARTITIONS)]
        self.contents: list[list[bytes]] = [[] for _ in self.cores]
        self.flushed = [0] * PARTITIONS
        """Batches in durable slots."""
        self.cuts: deque[Cut] = deque()

    @staticmethod
    def _core(number: int) -> Partition:
        core = Partition(
            partition=TopicPartition(TopicId(UUID(int=5)), number), topic_name="t", config=PartitionConfig()
        )
        core.become_leader(LeaderEpoch(1))
        return core

    def append(self, number: int, size_bytes: int) -> None:
        core = self.cores[number]
        records = encode_batch([Record(value=Random(size_bytes).randbytes(size_bytes), timestamp_ms=1)])
        outcome = core.append(records, list(headers(records)), now_ms=1)
        assert isinstance(outcome, Appended)
        lsn = Lsn(self.wal.durable_lsn + 1)
        (batch,) = outcome.batches
        self.wal.entries.append(WalEntry(lsn, core.partition, batch.parts, batch.size_bytes))
        self.buffer.add(lsn, core.partition, outcome.batches)
        self.contents[number].append(b"".join(batch.parts))

    async def cut(self) -> bytes:
        """The body of the next slot."""
        cut = self.buffer.cut()
        self.cuts.append(cut)
        body = b"".join(await self.reader.body(cut))
        cut.meta.validate(len(body))
        for row in cut.meta.index:
            stored = body[row.position - 64 : row.position - 64 + row.size_bytes]
            expected = self.contents[row.partition][row.first_offset : row.last_offset + 1]
            assert stored == b"".join(expected)
        return body

    def settle(self) -> None:
        cut = self.cuts.popleft()
        for partition, settled in cut.partitions.items():
            self.flushed[partition.partition] = settled.rows[-1].last_offset + 1
        self.reader.settled(cut.draft)
        self.buffer.settled(cut)

    async def read(self, number: int, offset: int, max_bytes: int = 1 << 20) -> Found:
        end = len(self.contents[number])
        partition = self.cores[number].partition
        while not isinstance(found := self.reader.find(partition, offset, end, max_bytes), Found):
            await found
        return found

    async def check_all_is_found(self) -> None:
        for number, content in enumerate(self.contents):
            offset = self.flushed[number]
            while offset < len(content):
                found = await self.read(number, offset)
                assert bytes(found.records) == b"".join(content[offset : found.end_offset])
                assert found.end_offset > offset
                offset = found.end_offset


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, PARTITIONS - 1), st.integers(0, 300)),
        st.tuples(st.sampled_from(("cut", "settle", "read")), st.just(0), st.just(0)),
    ),
    max_size=80,
)


@given(STEPS)
def test_whatever_is_spilled_slots_and_readers_have_every_batch(steps: list[tuple[str, int, int]]) -> None:
    async def run() -> None:
        world = World()
        for step, number, size_bytes in steps:
            if step == "append":
                world.append(number, size_bytes)
            elif step == "cut" and not world.buffer.is_empty() and world.buffer.may_cut():
                await world.cut()
            elif step == "settle" and world.cuts:
                world.settle()
            elif step == "read":
                await world.check_all_is_found()
            # A slot read back when nothing else is in flight may come beside what waits in memory.
            assert world.buffer.held_bytes <= HELD_BYTES + 1000
        await world.check_all_is_found()
        while not world.buffer.is_empty() or world.cuts:
            if not world.buffer.is_empty() and world.buffer.may_cut():
                await world.cut()
            else:
                world.settle()
        assert world.flushed == [len(content) for content in world.contents]
        assert world.buffer.held_bytes == world.buffer._row_count == world.reader.kept_bytes == 0

    logging.disable()
    try:
        asyncio.run(run())
    finally:
        logging.disable(logging.NOTSET)


async def test_memory_is_bounded_however_much_is_appended() -> None:
    world = World()
    for n in range(500):
        world.append(n % PARTITIONS, 250)
        assert world.buffer.held_bytes <= HELD_BYTES
    await world.check_all_is_found()
    assert world.reader.kept_bytes <= 1500 + 1000


async def test_readers_of_one_draft_share_its_reading_and_only_the_first_to_find_nothing_causes_it() -> None:
    world = World()
    for n in range(60):
        world.append(n % PARTITIONS, 250)
    last = len(world.contents[0]) - 3
    partition = world.cores[0].partition
    nothing = world.reader.find(partition, last, last + 1, 1 << 20, is_first=False)
    assert isinstance(nothing, Found) and not nothing.records and world.wal.reads == 0
    tasks = [world.reader.find(partition, last, last + 1, 1 << 20) for _ in range(3)]
    assert tasks[0] is tasks[1] is tasks[2] and isinstance(tasks[0], asyncio.Task)
    await tasks[0]
    assert world.wal.reads == 1
    assert bytes((await world.read(0, last)).records).startswith(world.contents[0][last])


async def test_limits_of_a_read_are_those_of_a_fetch() -> None:
    world = World()
    for _ in range(30):
        world.append(0, 100)
    for offset in (0, 29):
        assert bytes((await world.read(0, offset, max_bytes=1)).records) == world.contents[0][offset]
    found = world.reader.find(world.cores[0].partition, 0, 2, 1 << 20)
    assert isinstance(found, Found) and bytes(found.records) == b"".join(world.contents[0][:2])


async def test_a_wal_that_gives_back_less_than_it_was_given_is_corrupt() -> None:
    world = World()
    for _ in range(60):
        world.append(0, 250)
    while not (draft := world.buffer.drafts[len(world.cuts)]).is_spilled:
        await world.cut()
    world.wal.entries[draft.first_lsn] = world.wal.entries[draft.first_lsn]._replace(parts=(b"",))
    world.settle()
    with pytest.raises(CorruptError):
        await world.cut()
    world.wal.error = OSError("broken")
    found = world.reader.find(world.cores[0].partition, len(world.contents[0]) - 2, len(world.contents[0]), 1 << 20)
    assert isinstance(found, asyncio.Task)
    with pytest.raises(OSError, match="broken"):
        await found
