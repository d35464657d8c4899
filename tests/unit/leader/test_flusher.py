"""When the write buffer is cut, and that slots settle in order. The interval is an hour: only what does not wait happens here."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest

from raylog.leader.flusher import Flusher
from raylog.leader.write_buffer import Cut, WriteBuffer
from raylog.model.buffers import Buffer
from raylog.model.errors import FencedError
from raylog.model.ids import Lsn, TopicId, TopicPartition
from raylog.partition.outcomes import PlacedBatch
from raylog.storage.object_store import Priority
from raylog.storage.slot_events import LogStart
from raylog.storage.wal import FlushPolicy
from tests.harness.manual_clock import ManualClock

PARTITION = TopicPartition(TopicId(UUID(int=1)), 0)
HOUR_MS = 3_600_000
IN_FLIGHT_MAX = 8


class Log:
    """Slots that become durable when a test says so, in whatever order."""

    def __init__(self) -> None:
        self.puts: list[asyncio.Future[int]] = []

    async def append(self, body: Sequence[Buffer], meta: bytes, *, by_s: float, priority: Priority) -> int:
        put: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.puts.append(put)
        return await put


class Harness:
    def __init__(self, *, immediate: bool, max_bytes: int = 1000, gather_s: float = 0.0) -> None:
        self.log = Log()
        self.clock = ManualClock()
        self.buffer = WriteBuffer(1 << 20)
        self.cuts: list[Lsn] = []
        self.settled: list[tuple[int, Lsn]] = []
        self.fatal: list[Exception] = []
        self.flusher = Flusher(
            log=self.log,  # type: ignore[arg-type]
            buffer=self.buffer,
            policy=FlushPolicy(interval_ms=HOUR_MS, max_bytes=max_bytes, immediate=immediate),
            gather_s=gather_s,
            in_flight_max=IN_FLIGHT_MAX,
            clock=self.clock,
            content=self._content,
            on_cut=self.cuts.append,
            on_flushed=self._flushed,
            on_fatal=self._failed,
        )
        self._offset = 0

    async def _content(self, cut: Cut) -> list[Buffer]:
        return cut.body

    def _flushed(self, slot: int, cut: Cut) -> None:
        self.settled.append((slot, cut.last_lsn))

    def _failed(self, error: Exception) -> None:
        self.fatal.append(error)
        self.flusher.stop(error)

    async def add(self, size: int = 10) -> None:
        offset, self._offset = self._offset, self._offset + 1
        batch = PlacedBatch(offset, offset, (bytes(size),), size, 0, 1, 0, -1, -1, -1, -1, 0, 0)
        self.buffer.add(Lsn(offset + 1), PARTITION, (batch,))
        self.flusher.poke()
        await turns()


async def turns() -> None:
    """Let everything that can happen happen."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_immediate_cuts_the_first_entry_at_once_and_the_next_ones_later() -> None:
    harness = Harness(immediate=True)
    await harness.add()
    assert len(harness.log.puts) == 1
    await harness.add()
    assert harness.cuts == [1] and harness.settled == []
    harness.log.puts[0].set_result(1)
    await turns()
    assert harness.settled == [(1, 1)]
    assert len(harness.log.puts) == 1 and not harness.buffer.is_empty()


async def test_the_first_slot_waits_for_who_comes_back_at_the_same_moment() -> None:
    gather_s = 3600.0
    harness = Harness(immediate=True, gather_s=gather_s)
    await harness.add()
    await harness.add()
    assert harness.log.puts == []
    harness.clock.now_s += gather_s
    harness.flusher._tick()
    await turns()
    harness.log.puts[0].set_result(1)
    await turns()
    assert harness.settled == [(1, 2)]
    harness.clock.now_s += HOUR_MS / 1000
    await harness.add()
    assert len(harness.log.puts) == 2, "only the first one waits"


async def test_without_immediate_nothing_is_cut_before_its_time() -> None:
    harness = Harness(immediate=False)
    await harness.add()
    assert harness.log.puts == []


@pytest.mark.parametrize("immediate", [True, False])
async def test_a_full_buffer_does_not_wait(immediate: bool) -> None:
    harness = Harness(immediate=immediate, max_bytes=100)
    await harness.add(60)
    before = len(harness.log.puts)
    await harness.add(99)
    assert len(harness.log.puts) == before + (0 if immediate else 1)
    await harness.add(1)
    assert len(harness.log.puts) == before + 1


async def test_an_event_takes_along_what_came_before_it_in_a_slot_of_its_own() -> None:
    harness = Harness(immediate=False)
    await harness.add()
    written = harness.buffer.add_event(LogStart(partition=PARTITION, offset=1))
    harness.flusher.poke()
    await turns()
    assert len(harness.log.puts) == 2
    harness.log.puts[1].set_result(2)
    await turns()
    assert harness.settled == [] and not written.done()
    harness.log.puts[0].set_result(1)
    await turns()
    assert harness.settled == [(1, 1), (2, 1)]
    assert written.done()


async def test_slots_settle_in_order_and_only_so_many_are_under_way() -> None:
    harness = Harness(immediate=False, max_bytes=1)
    for _ in range(IN_FLIGHT_MAX + 3):
        await harness.add()
    assert len(harness.log.puts) == IN_FLIGHT_MAX
    for number in reversed(range(1, IN_FLIGHT_MAX)):
        harness.log.puts[number].set_result(number + 1)
    await turns()
    assert harness.settled == []
    harness.log.puts[0].set_result(1)
    await turns()
    assert [slot for slot, _ in harness.settled] == list(range(1, IN_FLIGHT_MAX + 1))
    # What had to wait goes out together.
    assert len(harness.log.puts) == IN_FLIGHT_MAX + 1


async def test_flush_returns_when_everything_is_durable() -> None:
    harness = Harness(immediate=False)
    await harness.add()
    flushing = asyncio.create_task(harness.flusher.flush())
    await turns()
    assert not flushing.done()
    harness.log.puts[0].set_result(1)
    await flushing
    await asyncio.wait_for(harness.flusher.flush(), 5)
    assert harness.settled == [(1, 1)]


async def test_fence_is_fatal_once_and_ends_all_waits() -> None:
    harness = Harness(immediate=False, max_bytes=1)
    await harness.add()
    written = harness.buffer.add_event(LogStart(partition=PARTITION, offset=1))
    harness.flusher.poke()
    flushing = asyncio.create_task(harness.flusher.flush())
    await turns()
    harness.log.puts[0].set_exception(FencedError("taken over"))
    await turns()
    assert [type(error) for error in harness.fatal] == [FencedError]
    with pytest.raises(FencedError):
        await written
    with pytest.raises(FencedError):
        await flushing
    await harness.flusher.join()
    await harness.add()
    assert harness.settled == []


async def test_error_in_settling_is_fatal() -> None:
    harness = Harness(immediate=True)

    def broken(slot: int, cut: Cut) -> None:
        raise AssertionError("does not add up")

    harness.flusher._on_flushed = broken
    await harness.add()
    harness.log.puts[0].set_result(1)
    await turns()
    assert [type(error) for error in harness.fatal] == [AssertionError]


async def test_drain_waits_for_what_is_there_and_not_for_what_comes_after() -> None:
    harness = Harness(immediate=False)
    await harness.add()
    draining = asyncio.ensure_future(harness.flusher.drain())
    await turns()
    assert len(harness.log.puts) == 1
    await harness.add()
    assert not draining.done()
    harness.log.puts[0].set_result(1)
    await turns()
    assert draining.done()
    assert len(harness.log.puts) == 1, "what came after waits for its interval"


async def test_drain_waits_for_slots_under_way_when_nothing_else_is_there() -> None:
    harness = Harness(immediate=True)
    await harness.add()
    draining = asyncio.ensure_future(harness.flusher.drain())
    await turns()
    assert not draining.done()
    harness.log.puts[0].set_result(1)
    await turns()
    assert draining.done()
    assert harness.settled == [(1, Lsn(1))]
    await harness.flusher.drain()
