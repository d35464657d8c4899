"""The fenced log over the real retry layer and a bucket with S3's latencies and seeded faults: late puts, lost answers."""

import asyncio
import heapq
from collections.abc import Coroutine
from itertools import count
from random import Random

import pytest

from raylog.model.errors import FencedError
from raylog.model.limits import StoreLimits
from raylog.storage.faulty_store import FaultModel, FaultyStore
from raylog.storage.fenced_log import FencedLog
from raylog.storage.hedge_delay import HedgeDelay
from raylog.storage.latency_model import S3_STANDARD
from raylog.storage.memory_store import MemoryStore
from raylog.storage.retrying_store import RetryingStore
from tests.harness.manual_clock import ManualClock

FAULTS = FaultModel(slow_down=0.05, timed_out=0.03, answer_lost=0.08, late_put=0.05, timeout_s=2.0, late_s_max=5.0)
APPENDS = 60


class VirtualClock(ManualClock):
    """Time that jumps to the next sleeper when nobody can run."""

    def __init__(self) -> None:
        super().__init__()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now_s + seconds, next(self._order), woken))
        await woken

    async def run(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.ensure_future(work)
        while not task.done():
            for _ in range(25):
                await asyncio.sleep(0)
            if self._sleepers and not task.done():
                self.now_s, _, woken = heapq.heappop(self._sleepers)
                if not woken.done():
                    woken.set_result(None)
        await task


@pytest.mark.parametrize("seed", range(12))
async def test_writers_that_take_over_from_each_other_lose_nothing_acknowledged(seed):
    clock, rng = VirtualClock(), Random(seed)
    memory = MemoryStore(clock)
    faulty = FaultyStore(memory, clock=clock, rng=Random(seed + 1000), latency=S3_STANDARD, faults=FAULTS)
    limits = StoreLimits(attempt_s_max=3.0, patience_s=4.0)

    def a_log() -> FencedLog:
        # A process of its own: its requests wait for their turn only among themselves.
        store = RetryingStore(
            faulty, clock=clock, rng=rng, limits=limits, hedge_delay=HedgeDelay(min_s=0.025, max_s=1.0)
        )
        return FencedLog(store, "metadata/", writer_id=rng.randbytes(16), clock=clock, rng=rng)

    acknowledged: dict[int, bytes] = {}
    replays: list[tuple[int, list[tuple[int, bytes]]]] = []

    async def live(name: str, begins_at_s: float) -> None:
        await clock.sleep(begins_at_s)
        log = a_log()
        replayed = [(slot.number, slot.meta) async for slot in log.open(None) if slot.meta]
        replays.append((log.open_slot, replayed))
        appends = []
        for i in range(APPENDS):
            appends.append(asyncio.ensure_future(append(log, f"{name}.{i}".encode())))
            await clock.sleep(rng.expovariate(30))
        await asyncio.gather(*appends)
        await log.close()

    async def append(log: FencedLog, payload: bytes) -> None:
        try:
            slot = await log.append([rng.randbytes(100)], payload)
        except FencedError:
            return
        assert acknowledged.setdefault(slot, payload) == payload

    async def all_lives() -> None:
        await asyncio.gather(*(live(f"w{i}", rng.uniform(0, 4)) for i in range(3)))
        await faulty.close()  # what is late lands now

    await clock.run(all_lives())
    final = FencedLog(memory, "metadata/", writer_id=bytes(16), clock=clock, rng=rng)
    replay = [(slot.number, slot.meta) async for slot in final.open(None) if slot.meta]
    assert acknowledged.items() <= dict(replay).items()
    assert len(acknowledged) >= APPENDS, "the last writer, at the least, got all it wrote"
    for open_slot, replayed in replays:
        assert replayed == [(number, meta) for number, meta in replay if number < open_slot]
    for name in ("w0", "w1", "w2"):
        own = [meta for _, meta in replay if meta.startswith(name.encode() + b".")]
        assert own == [f"{name}.{i}".encode() for i in range(len(own))]
