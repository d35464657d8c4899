"""A bucket whose requests wait until the test says what becomes of them, and writers on it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import pytest

from raylog.model.buffers import Buffer
from raylog.model.errors import RaylogError, RetryError
from raylog.model.limits import LogLimits
from raylog.storage.checkpoint import Checkpoint
from raylog.storage.fenced_log import FencedLog
from raylog.storage.memory_store import MemoryStore
from raylog.storage.object_store import ObjectMeta, Priority
from raylog.storage.slot_format import Slot, SlotKind
from tests.harness.manual_clock import ManualClock

PREFIX = "leaders/000001/"


@dataclass(eq=False)
class Put:
    """A put-if-absent under way. ``apply`` and the answer are separate, as a network makes them."""

    key: str
    run: Callable[[], None]
    answer: asyncio.Future[None]
    outcome: Exception | None = None
    applied: bool = False

    def apply(self) -> None:
        """The bucket executes the request; nobody knows yet."""
        if not self.applied:
            self.applied = True
            try:
                self.run()
            except RaylogError as error:
                self.outcome = error

    def respond(self) -> None:
        self.apply()
        if not self.answer.done():
            self.answer.set_exception(self.outcome) if self.outcome else self.answer.set_result(None)

    def lose(self) -> None:
        """The caller sees a time-out. If the request was not applied it still may be, later."""
        if not self.answer.done():
            self.answer.set_exception(RetryError("The answer was lost."))


@dataclass
class ScriptedStore(MemoryStore):
    """A memory store whose put-if-absent requests wait in ``puts`` while ``held``."""

    clock: ManualClock
    held: bool = False
    puts: list[Put] = field(default_factory=list)
    fail_reads: int = 0
    """So many of the next reads and listings end with RetryError."""
    lists: list[str] = field(default_factory=list)
    gets: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(self.clock)

    async def put_if_absent(self, key: str, body: Sequence[Buffer], *, priority: Priority = Priority.WAL) -> None:
        content = [b"".join(body)]

        def run() -> None:
            # MemoryStore's put-if-absent never suspends: one step runs it.
            with pytest.raises(StopIteration):
                MemoryStore.put_if_absent(self, key, content).send(None)

        if not self.held:
            run_now = Put(key, run, asyncio.get_running_loop().create_future())
            run_now.apply()
            if run_now.outcome:
                raise run_now.outcome
            return
        put = Put(key, run, asyncio.get_running_loop().create_future())
        self.puts.append(put)
        await put.answer

    async def get(
        self, key: str, *, start: int = 0, length: int | None = None, priority: Priority = Priority.TAIL
    ) -> bytes:
        self._read()
        self.gets.append(key)
        return await super().get(key, start=start, length=length)

    async def get_tail(self, key: str, length: int, *, priority: Priority = Priority.TAIL) -> bytes:
        self._read()
        self.gets.append(key)
        await asyncio.sleep(0)
        return await super().get_tail(key, length)

    async def list(self, prefix: str, *, start_after: str = "") -> AsyncIterator[ObjectMeta]:
        self._read()
        self.lists.append(prefix)
        async for found in super().list(prefix, start_after=start_after):
            yield found

    def _read(self) -> None:
        if self.fail_reads:
            self.fail_reads -= 1
            raise RetryError("SlowDown")

    def put_for(self, slot: int) -> Put:
        """The latest put under way for a slot's number."""
        return next(put for put in reversed(self.puts) if put.key.endswith(f"{slot:020d}") and not put.answer.done())


@dataclass
class Bench:
    """A scripted bucket, its clock, and writers of one log."""

    store: ScriptedStore
    clock: ManualClock
    rng: Random
    limits: LogLimits = field(default_factory=LogLimits)

    def writer(self) -> FencedLog:
        return FencedLog(
            self.store, PREFIX, writer_id=self.rng.randbytes(16), clock=self.clock, rng=self.rng, limits=self.limits
        )

    async def open(self, checkpoint: Checkpoint | None = None) -> tuple[FencedLog, list[Slot]]:
        """A new writer that has taken the log over, and what it replayed."""
        log = self.writer()
        return log, [slot async for slot in log.open(checkpoint)]

    async def replay(self, checkpoint: Checkpoint | None = None) -> list[tuple[int, bytes]]:
        """What a new writer replays: number and meta of each append."""
        _, slots = await self.open(checkpoint)
        return [(slot.number, slot.meta) for slot in slots if slot.kind is SlotKind.APPEND]

    async def settle(self) -> None:
        """Let everybody run until nobody can go on without an answer of the bucket."""
        for _ in range(60):
            await asyncio.sleep(0)


def make_bench(seed: int = 0) -> Bench:
    clock = ManualClock()
    return Bench(ScriptedStore(clock), clock, Random(seed))


@pytest.fixture
def bench() -> Bench:
    return make_bench()


@pytest.fixture
def new_bench() -> Callable[[int], Bench]:
    """Benches for property tests: one an example."""
    return make_bench
