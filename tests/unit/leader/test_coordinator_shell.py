"""The shell of a group coordinator on a log in memory and a clock that the test moves: loading, durability, order, ends."""

import asyncio
import heapq
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from kio.schema.errors import ErrorCode

from raylog.coordination import messages
from raylog.coordination.records import encode_group_key
from raylog.coordination.settings import GroupSettings
from raylog.leader import coordinator_shell
from raylog.leader.coordinator_shell import CoordinatorShell
from raylog.model.errors import CorruptError, FencedError, NewerFormatError, RetryError, StaleRouteError
from raylog.model.ids import TopicId, TopicPartition
from raylog.protocol.batch import Record, encode_batch, headers, patched

PARTITION = TopicPartition(TopicId(UUID(int=7)), 3)


async def breathe() -> None:
    """Let every task that can go on do so."""
    for _ in range(30):
        await asyncio.sleep(0)


class ManualClock:
    def __init__(self) -> None:
        self.now = 100.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = itertools.count()

    def wall_ms(self) -> int:
        return 1_700_000_000_000 + int(self.now * 1000)

    def monotonic(self) -> float:
        return self.now

    def boottime(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._count), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        until = self.now + seconds
        await breathe()
        while self._sleepers and self._sleepers[0][0] <= until:
            self.now, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
                await breathe()
        self.now = until
        await breathe()


class FakeLog:
    """The leader's internal log: batches with offsets; appends are durable at once unless ``holds``."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, bytes]] = []
        self.start = 0
        self.end = 0
        self.holds = False
        self.has_room = True
        self.under_way: list[tuple[asyncio.Future[int], int]] = []
        self.reads = 0
        self.failure: Exception | None = None
        self.trimmed: list[int] = []

    def append_internal(self, partition: TopicPartition, batch: Any) -> asyncio.Future[int]:
        assert partition == PARTITION
        if self.failure is not None:
            raise self.failure
        (header,) = headers(batch)
        self.batches.append((self.end, b"".join(patched(batch, header, self.end, 5))))
        durable = asyncio.get_running_loop().create_future()
        self.under_way.append((durable, self.end))
        self.end += header.record_count
        if not self.holds:
            self.settle()
        return durable

    def settle(self) -> None:
        for durable, base_offset in self.under_way:
            durable.set_result(base_offset)
        self.under_way.clear()

    async def read_internal(self, partition: TopicPartition, offset: int, max_bytes: int) -> bytes:
        self.reads += 1
        if self.failure is not None:
            raise self.failure
        found = b""
        for at, (base_offset, batch) in enumerate(self.batches):
            next_base = self.batches[at + 1][0] if at + 1 < len(self.batches) else self.end
            if next_base > offset and (not found or len(found) + len(batch) <= max_bytes):
                assert base_offset >= 0
                found += batch
        return found

    def bounds_internal(self, partition: TopicPartition) -> tuple[int, int]:
        if self.failure is not None:
            raise self.failure
        return self.start, self.end

    async def delete_records_internal(self, partition: TopicPartition, before_offset: int) -> None:
        if self.failure is not None:
            raise self.failure
        self.trimmed.append(before_offset)
        self.start = before_offset


class World:
    def __init__(self) -> None:
        self.log = FakeLog()
        self.clock = ManualClock()
        self.topics: dict[str, TopicId] | None = {}
        self.settings = GroupSettings(initial_rebalance_delay_ms=0)

    def shell(self) -> CoordinatorShell:
        return CoordinatorShell(
            partition=PARTITION,
            log=self.log,
            settings=self.settings,
            clock=self.clock,
            existing_topics=self._existing_topics,
            logger=logging.LoggerAdapter(logging.getLogger("raylog.test"), {}),
        )

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[CoordinatorShell]:
        shell = self.shell()
        running = asyncio.create_task(shell.run())
        await breathe()
        try:
            yield shell
        finally:
            shell.close()
            await running

    async def _existing_topics(self) -> dict[str, TopicId]:
        if self.topics is None:
            raise RetryError("The controller is away.")
        return self.topics


@pytest.fixture
def world() -> World:
    return World()


def commit(offset: int, group_id: str = "tool", partition: int = 0) -> Callable[[Any], Any]:
    one = messages.OffsetToCommit(topic="orders", topic_id=None, partition=partition, offset=offset)
    return lambda token: messages.CommitOffsets(token=token, group_id=group_id, offsets=(one,))


def fetch(group_id: str = "tool", partition: int = 0) -> Callable[[Any], Any]:
    topics = (messages.TopicPartitions(topic="orders", partitions=(partition,)),)
    return lambda token: messages.FetchOffsets(token=token, group_id=group_id, topics=topics)


def join(member_id: str = "") -> Callable[[Any], Any]:
    return lambda token: messages.JoinGroup(
        token=token,
        group_id="readers",
        member_id=member_id,
        session_timeout_ms=10_000,
        rebalance_timeout_ms=60_000,
        protocol_type="consumer",
        protocols=(("range", b""),),
        requires_member_id=False,
        supports_skip_assignment=True,
        new_member_uuid="1",
    )


def heartbeat(member_id: str, generation: int) -> Callable[[Any], Any]:
    return lambda token: messages.Heartbeat(token=token, group_id="readers", member_id=member_id, generation=generation)


async def fetched(answer: Awaitable[Any]) -> int:
    return (await answer).topics[0].offsets[0].offset


async def test_it_serves_what_the_one_before_has_acknowledged(world: World) -> None:
    async with world.serving() as shell:
        for partition in range(100):
            assert (await shell.ask(commit(partition, partition=partition))).errors == (ErrorCode.none,)
    async with world.serving() as shell:
        assert [await fetched(shell.ask(fetch(partition=at))) for at in (0, 50, 99)] == [0, 50, 99]


async def test_a_long_log_is_read_in_parts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coordinator_shell, "LOAD_READ_BYTES", 500)
    async with world.serving() as shell:
        for offset in range(100):
            await shell.ask(commit(offset))
    async with world.serving() as shell:
        await breathe()
        assert await fetched(shell.ask(fetch())) == 99
    assert world.log.reads > 10


async def test_a_log_that_begins_within_a_batch_is_read_from_there(world: World) -> None:
    async with world.serving() as shell:
        two = tuple(messages.OffsetToCommit(topic="orders", topic_id=None, partition=at, offset=9) for at in range(2))
        await shell.ask(lambda token: messages.CommitOffsets(token=token, group_id="tool", offsets=two))
    world.log.start = 1
    async with world.serving() as shell:
        assert await fetched(shell.ask(fetch(partition=0))) == -1
        assert await fetched(shell.ask(fetch(partition=1))) == 9


async def test_records_that_no_coordinator_wrote_are_left_out(world: World) -> None:
    async with world.serving() as shell:
        await shell.ask(commit(1))
    for key, value in (
        (b"\x00\x01garbage", b""),
        (b"\x00\x02\x00\x01g", b"\xff\xff"),
        (None, b"x"),
        (b"\x00\x07", b""),
    ):
        world.log.append_internal(PARTITION, encode_batch([Record(key=key, value=value)]))
    async with world.serving() as shell:
        await shell.ask(commit(2, partition=1))
        assert [await fetched(shell.ask(fetch(partition=at))) for at in (0, 1)] == [1, 2]


async def test_while_it_loads_it_says_so_and_tries_again(world: World) -> None:
    world.log.failure = RetryError("The bucket is away.")
    async with world.serving() as shell:
        with pytest.raises(RetryError):
            shell.ask(fetch())
        world.log.failure = None
        await world.clock.advance(coordinator_shell.RETRY_S)
        assert await fetched(shell.ask(fetch())) == -1


async def test_answers_wait_for_durability(world: World) -> None:
    async with world.serving() as shell:
        world.log.holds = True
        answer = shell.ask(commit(1))
        await breathe()
        assert not answer.done()
        world.log.settle()
        assert (await answer).errors == (ErrorCode.none,)


async def test_time_out_of_members(world: World) -> None:
    async with world.serving() as shell:
        waiting = shell.ask(join())
        await world.clock.advance(0.001)
        joined = await waiting
        await world.clock.advance(9.9)
        answer = await shell.ask(heartbeat(joined.member_id, joined.generation))
        assert answer.error is ErrorCode.none
        await world.clock.advance(10)
        answer = await shell.ask(heartbeat(joined.member_id, joined.generation))
        assert answer.error is ErrorCode.unknown_member_id


async def test_too_much_under_way_makes_requests_wait_in_line(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coordinator_shell, "APPEND_BYTES_MAX", 1_000)
    async with world.serving() as shell:
        world.log.holds = True
        answers = [shell.ask(commit(offset)) for offset in range(100)]
        assert len(world.log.batches) < 20
        last = shell.ask(fetch())
        world.log.holds = False
        world.log.settle()
        assert await fetched(last) == 99
        assert [result.errors for result in await asyncio.gather(*answers)] == [(ErrorCode.none,)] * 100
    values = [batch for _, batch in world.log.batches]
    assert len(values) == 100


async def test_requests_wait_in_line_while_the_leader_has_no_room(world: World) -> None:
    async with world.serving() as shell:
        world.log.has_room = False
        committed = shell.ask(commit(1))
        fetched_after = shell.ask(fetch())
        shell.retry()
        await breathe()
        assert not world.log.batches and not committed.done() and not fetched_after.done()
        world.log.has_room = True
        shell.retry()
        assert (await committed).errors == (ErrorCode.none,)
        assert await fetched(fetched_after) == 1


async def test_requests_that_wait_when_it_ends_are_told_to_look_elsewhere(world: World) -> None:
    async with world.serving() as shell:
        world.log.holds = True
        waiting = [shell.ask(commit(1)), shell.ask(join())]
        shell.close()
        for answer in waiting:
            with pytest.raises(StaleRouteError):
                await answer
        with pytest.raises(StaleRouteError):
            shell.ask(fetch())
        world.log.settle()


@pytest.mark.parametrize("failure", [StaleRouteError("moved"), FencedError("fenced")])
async def test_an_append_that_fails_ends_it(world: World, failure: Exception) -> None:
    async with world.serving() as shell:
        world.log.holds = True
        under_way = shell.ask(commit(1))
        world.log.under_way.pop()[0].set_exception(failure)
        with pytest.raises(StaleRouteError):
            await under_way
        world.log.failure = failure
        with pytest.raises(StaleRouteError):
            await shell.ask(commit(2))


async def test_a_log_that_cannot_be_read_is_a_failure_of_the_leader(world: World) -> None:
    world.log.failure = CorruptError("bad bytes")
    with pytest.raises(CorruptError):
        await world.shell().run()


async def test_a_record_of_a_newer_coordinator_is_not_left_out(world: World) -> None:
    newer = Record(offset=0, timestamp_ms=0, key=encode_group_key("g"), value=b"\0\5 as nobody knows yet")
    world.log.append_internal(PARTITION, encode_batch([newer]))
    with pytest.raises(NewerFormatError, match=r"offset 0 of __consumer_offsets-3 .*use a newer Raylog"):
        await world.shell().run()


async def test_a_broken_invariant_is_a_failure_of_the_leader(world: World) -> None:
    shell = world.shell()
    running = asyncio.create_task(shell.run())
    await breathe()
    answer = shell.ask(lambda token: messages.GroupRequest(token=token, group_id="tool"))
    with pytest.raises(StaleRouteError):
        await answer
    with pytest.raises(AssertionError):
        await running


async def test_a_partition_that_is_gone_before_it_has_loaded_ends_quietly(world: World) -> None:
    world.log.failure = StaleRouteError("moved")
    await world.shell().run()


async def test_offsets_expire(world: World) -> None:
    world.topics = None
    async with world.serving() as shell:
        await shell.ask(commit(1))
        await world.clock.advance(7 * 24 * 3600 - 600)
        assert await fetched(shell.ask(fetch())) == 1
        await world.clock.advance(1200)
        assert await fetched(shell.ask(fetch())) == -1


async def test_offsets_of_topics_that_are_gone_are_dropped_once_the_controller_says_so(world: World) -> None:
    world.topics = None
    async with world.serving() as shell:
        await shell.ask(commit(1))
        await world.clock.advance(600)
        assert await fetched(shell.ask(fetch())) == 1
        world.topics = {"orders": TopicId(UUID(int=1))}
        await world.clock.advance(600)
        assert await fetched(shell.ask(fetch())) == 1
        world.topics = {}
        await world.clock.advance(600)
        assert await fetched(shell.ask(fetch())) == -1


async def test_the_log_is_trimmed_after_a_rewrite(world: World) -> None:
    world.settings = GroupSettings(rewrite_bytes_min=1_000)
    async with world.serving() as shell:
        for offset in range(200):
            await shell.ask(commit(offset))
        await breathe()
    assert world.log.trimmed
    assert world.log.start > 100
    async with world.serving() as shell:
        assert await fetched(shell.ask(fetch())) == 199
