"""Retries end, a PUT of ours that had won is never taken for another's, and another's never for ours."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raylog.model.buffers import Buffer
from raylog.model.clock import Clock
from raylog.model.errors import AlreadyExistsError, InvalidError, NotFoundError, RetryError
from raylog.model.limits import MIB, StoreLimits
from raylog.storage.faulty_store import FaultModel, FaultyStore
from raylog.storage.hedge_delay import HedgeDelay
from raylog.storage.latency_model import S3_STANDARD
from raylog.storage.memory_store import MemoryStore
from raylog.storage.object_store import ObjectStore, Priority
from raylog.storage.retrying_store import RetryingStore

RunVirtual = Callable[[Coroutine[Any, Any, Any]], Any]
LIMITS = StoreLimits()


def own_body(writer: str = "writer 1") -> list[bytes]:
    """As a slot: its first 64 bytes in several buffers, then content."""
    header = writer.encode().ljust(64, b".")
    return [header[:10], header[10:50], header[50:] + b"content"]


class ScriptedStore(MemoryStore):
    """Each PUT does what the script says next: ``fail`` before or after taking effect, ``hang`` likewise, else ``ok``."""

    def __init__(self, clock: Clock, *script: str) -> None:
        super().__init__(clock)
        self._script = list(script)
        self.puts = 0

    async def put_if_absent(self, key: str, body: Sequence[Buffer], *, priority: Priority = Priority.WAL) -> None:
        self.puts += 1
        step = self._script.pop(0) if self._script else "ok"
        if step == "fail before":
            raise RetryError("503 SlowDown")
        if step == "hang before":
            await asyncio.Event().wait()
        if step == "wrong":
            raise InvalidError("no such bucket")
        await super().put_if_absent(key, body, priority=priority)
        if step == "fail after":
            raise RetryError("connection lost")
        if step == "hang after":
            await asyncio.Event().wait()


def retrying(inner: ObjectStore, clock: Clock, **options: Any) -> RetryingStore:
    return RetryingStore(inner, clock=clock, rng=Random(1), limits=LIMITS, **options)


@pytest.mark.parametrize("step", ["fail before", "fail after", "hang before", "hang after"])
@pytest.mark.parametrize("times", [1, 3])
def test_a_conditional_put_that_failed_or_hung_is_done_once(
    run_virtual: RunVirtual, loop_clock: Clock, step: str, times: int
) -> None:
    async def main() -> None:
        inner = ScriptedStore(loop_clock, *[step] * times)
        await retrying(inner, loop_clock).put_if_absent("log/1", own_body())
        assert await inner.get("log/1") == b"".join(own_body())

    run_virtual(main())


@pytest.mark.parametrize("first", ["ok", "fail before", "hang before"])
def test_another_writers_object_is_never_taken_for_ours(run_virtual: RunVirtual, loop_clock: Clock, first: str) -> None:
    async def main() -> None:
        inner = ScriptedStore(loop_clock, "ok", first)
        await inner.put_if_absent("log/1", own_body("writer 2"))
        with pytest.raises(AlreadyExistsError):
            await retrying(inner, loop_clock).put_if_absent("log/1", own_body("writer 1"))
        assert await inner.get("log/1") == b"".join(own_body("writer 2"))

    run_virtual(main())


def test_a_shorter_object_of_another_is_not_ours(run_virtual: RunVirtual, loop_clock: Clock) -> None:
    async def main() -> None:
        inner = MemoryStore(loop_clock)
        await inner.put("log/1", [b"wri"])
        with pytest.raises(AlreadyExistsError):
            await retrying(inner, loop_clock).put_if_absent("log/1", own_body())

    run_virtual(main())


def test_what_is_wrong_for_good_is_not_tried_again(run_virtual: RunVirtual, loop_clock: Clock) -> None:
    async def main() -> None:
        inner = ScriptedStore(loop_clock, "wrong")
        with pytest.raises(InvalidError):
            await retrying(inner, loop_clock).put_if_absent("log/1", own_body())
        assert inner.puts == 1
        with pytest.raises(NotFoundError):
            await retrying(inner, loop_clock).get("absent")

    run_virtual(main())


def test_patience_ends_and_says_what_happened_last(run_virtual: RunVirtual, loop_clock: Clock) -> None:
    async def main() -> None:
        store = retrying(
            FaultyStore(MemoryStore(loop_clock), clock=loop_clock, rng=Random(2), faults=FaultModel(slow_down=1.0)),
            loop_clock,
        )
        for call in (
            store.put("k", [b"x"]),
            store.get("k"),
            store.get_tail("k", 1),
            store.head("k"),
            store.delete(["k"]),
            store.put_if_absent("k", [b"x"]),
            anext(store.list("k")),
        ):
            started = loop_clock.monotonic()
            with pytest.raises(RetryError, match=r"has failed for 60 s; the last time: .*SlowDown"):
                await call
            assert LIMITS.patience_s - LIMITS.backoff_s_max <= loop_clock.monotonic() - started <= LIMITS.patience_s

    run_virtual(main())


def test_one_warning_is_logged_when_the_bucket_goes_on_failing(
    run_virtual: RunVirtual, loop_clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("raylog"), "propagate", True)  # Whatever earlier tests have configured.

    async def main() -> None:
        for failures, warnings in ((3, 0), (10, 1)):
            caplog.clear()
            inner = ScriptedStore(loop_clock, *["fail before"] * failures)
            await retrying(inner, loop_clock).put_if_absent("log/1", own_body())
            assert len(caplog.records) == warnings

    run_virtual(main())


def test_a_large_body_gets_the_time_that_its_bytes_take(run_virtual: RunVirtual, loop_clock: Clock) -> None:
    class SlowStore(MemoryStore):
        async def put(self, key: str, body: Sequence[Buffer], *, priority: Priority = Priority.TAIL) -> None:
            await asyncio.sleep(sum(len(part) for part in body) / MIB)
            await super().put(key, body, priority=priority)

    async def main() -> None:
        await retrying(SlowStore(loop_clock), loop_clock).put("k", [bytes(20 * MIB)])
        assert loop_clock.monotonic() == pytest.approx(20)

    run_virtual(main())


def test_no_more_attempts_are_under_way_than_the_limit(run_virtual: RunVirtual, loop_clock: Clock) -> None:
    class CountingStore(MemoryStore):
        running = 0
        most = 0

        async def get(self, key: str, **options: Any) -> bytes:
            self.running += 1
            self.most = max(self.most, self.running)
            await asyncio.sleep(1)
            self.running -= 1
            return await super().get(key, **options)

    async def main() -> None:
        inner = CountingStore(loop_clock)
        await inner.put("k", [b"x"])
        store = RetryingStore(inner, clock=loop_clock, rng=Random(1), limits=StoreLimits(requests_max=4))
        await asyncio.gather(*(store.get("k", priority=Priority.WAL) for _ in range(20)))
        assert inner.most == 4
        # Waiting for a place is no time-out, however long.
        assert loop_clock.monotonic() == pytest.approx(5)

    run_virtual(main())


def test_a_listing_goes_on_after_the_last_key_seen(run_virtual: RunVirtual, loop_clock: Clock) -> None:
    class BreakingStore(MemoryStore):
        async def list(self, prefix: str, *, start_after: str = "") -> Any:
            seen = 0
            async for meta in super().list(prefix, start_after=start_after):
                yield meta
                seen += 1
                if seen == 3:
                    raise RetryError("connection lost")

    async def main() -> None:
        inner = BreakingStore(loop_clock)
        keys = [f"log/{number}" for number in range(10)]
        for key in keys:
            await inner.put(key, [b"x"])
        assert [meta.key async for meta in retrying(inner, loop_clock).list("log/")] == keys

    run_virtual(main())


def test_a_hedge_saves_a_put_that_hangs_and_costs_a_quick_one_nothing(
    run_virtual: RunVirtual, loop_clock: Clock
) -> None:
    async def main() -> None:
        for step in ("hang before", "hang after"):
            inner = ScriptedStore(loop_clock, step)
            started = loop_clock.monotonic()
            store = retrying(inner, loop_clock, hedge_delay=HedgeDelay(min_s=0.1, max_s=0.3))
            await store.put_if_absent("log/1", own_body())
            assert loop_clock.monotonic() - started == pytest.approx(0.3)
            assert inner.puts == 2
            await store.put_if_absent("log/2", own_body())
            assert inner.puts == 3

    run_virtual(main())


def test_background_puts_are_not_hedged(run_virtual: RunVirtual, loop_clock: Clock) -> None:
    async def main() -> None:
        inner = ScriptedStore(loop_clock, "hang before")
        store = retrying(inner, loop_clock, hedge_delay=HedgeDelay(min_s=0.1, max_s=0.3))
        await store.put_if_absent("k", own_body(), priority=Priority.BACKGROUND)
        assert loop_clock.monotonic() >= LIMITS.attempt_s_max

    run_virtual(main())


def test_a_put_that_says_who_leads_is_sent_several_times_at_once_unless_it_is_large(
    run_virtual: RunVirtual, loop_clock: Clock
) -> None:
    async def main() -> None:
        inner = ScriptedStore(loop_clock, "hang before", "fail before", "ok", "hang before")
        store = retrying(inner, loop_clock, hedge_delay=HedgeDelay(min_s=0.1, max_s=0.3))
        started = loop_clock.monotonic()
        await store.put_if_absent("log/1", own_body(), priority=Priority.LEADERSHIP)
        assert inner.puts == LIMITS.leadership_puts == 3
        assert loop_clock.monotonic() - started < 0.1
        large = [*own_body(), bytes(LIMITS.leadership_bytes_max)]
        await store.put_if_absent("log/2", large, priority=Priority.LEADERSHIP)
        assert inner.puts == 5
        assert loop_clock.monotonic() - started == pytest.approx(0.3, abs=0.1)

    run_virtual(main())


def test_hedging_shortens_the_tail_under_the_s3_model_for_few_more_requests(
    run_virtual: RunVirtual, loop_clock: Clock
) -> None:
    async def measure(hedge_delay: HedgeDelay | None) -> tuple[float, int]:
        inner = ScriptedStore(loop_clock)
        slow = FaultyStore(inner, clock=loop_clock, rng=Random(3), latency=S3_STANDARD)
        store = retrying(slow, loop_clock, hedge_delay=hedge_delay)
        took_s = []
        for number in range(2000):
            started = loop_clock.monotonic()
            await store.put_if_absent(f"log/{number}", own_body())
            took_s.append(loop_clock.monotonic() - started)
        return sorted(took_s)[-2], inner.puts

    async def main() -> None:
        plain_s, plain_puts = await measure(None)
        hedged_s, hedged_puts = await measure(HedgeDelay(min_s=0.025, max_s=1.0))
        assert hedged_s < 0.8 * plain_s
        assert plain_puts == 2000
        # A hedge may find its twin done and add a request that the bucket refuses; about one in twenty is hedged at all.
        assert hedged_puts < 1.1 * plain_puts

    run_virtual(main())


class TestUnderFaults:
    """Whatever the bucket does, racing writers of one slot agree who won, and the winner's bytes are what is there."""

    @settings(max_examples=60, deadline=None)
    @given(seed=st.integers(0, 2**32), hedge=st.booleans(), writers=st.integers(1, 4))
    def test_exactly_one_racing_writer_wins_a_slot(self, seed: int, hedge: bool, writers: int) -> None:
        from random import Random

        run_virtual, clock = self._tools
        rng = Random(seed)
        faults = FaultModel(slow_down=0.15, timed_out=0.1, answer_lost=0.2, late_put=0.15, timeout_s=2, late_s_max=20)

        async def main() -> None:
            bucket = MemoryStore(clock)
            faulty = FaultyStore(bucket, clock=clock, rng=rng, latency=S3_STANDARD, faults=faults)
            hedge_delay = HedgeDelay(min_s=0.01, max_s=0.1) if hedge else None
            store = RetryingStore(
                faulty, clock=clock, rng=rng, limits=StoreLimits(patience_s=600), hedge_delay=hedge_delay
            )

            async def write(writer: int, slot: int) -> bool:
                await asyncio.sleep(rng.uniform(0, 0.2))
                try:
                    await store.put_if_absent(f"log/{slot}", own_body(f"writer {writer} slot {slot}"))
                except AlreadyExistsError:
                    return False
                return True

            for slot in range(4):
                won = await asyncio.gather(*(write(writer, slot) for writer in range(writers)))
                assert sum(won) == 1
                assert await bucket.get(f"log/{slot}") == b"".join(own_body(f"writer {won.index(True)} slot {slot}"))
            await store.close()
            assert faulty.late_puts == 0
            for slot in range(4):
                assert (await bucket.head(f"log/{slot}")).size == 71

        run_virtual(main())

    @pytest.fixture(autouse=True)
    def _keep_tools(self, run_virtual: RunVirtual, loop_clock: Clock) -> None:
        self._tools = (run_virtual, loop_clock)
