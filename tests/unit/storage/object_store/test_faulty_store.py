"""The fault model does what it says, as often as it says, and the same for the same seed."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest

from raylog.model.clock import Clock
from raylog.model.errors import AlreadyExistsError, NotFoundError, RetryError
from raylog.storage.faulty_store import FaultModel, FaultyStore
from raylog.storage.latency_model import (
    LATENCY_MODELS,
    NO_LATENCY,
    S3_EXPRESS,
    S3_STANDARD,
    LatencyModel,
    OperationLatency,
)
from raylog.storage.memory_store import MemoryStore

RunVirtual = Callable[[Coroutine[Any, Any, Any]], Any]


def test_drawn_latencies_have_the_percentiles_that_the_model_names() -> None:
    rng = Random(5)
    for model in LATENCY_MODELS.values():
        for latency in (model.put, model.get, model.head, model.list, model.delete):
            drawn_ms = sorted(latency.draw_s(rng, 0) * 1000 for _ in range(20_000))
            assert drawn_ms[10_000] == pytest.approx(latency.p50_ms, rel=0.05)
            assert drawn_ms[19_800] == pytest.approx(latency.p99_ms, rel=0.15)
            assert drawn_ms[-1] > 1.5 * latency.p99_ms


def test_bytes_take_their_time() -> None:
    latency = OperationLatency(p50_ms=10, p99_ms=10.001, per_mib_ms=7)
    assert latency.draw_s(Random(1), 4 << 20) == pytest.approx(0.038, rel=0.01)


async def drawn_fates(clock: Clock, seed: int, faults: FaultModel, latency: LatencyModel) -> list[tuple[str, float]]:
    store = FaultyStore(MemoryStore(clock), clock=clock, rng=Random(seed), latency=latency, faults=faults)
    fates = []
    for number in range(400):
        started = clock.monotonic()
        try:
            await store.put_if_absent(f"k/{number % 300}", [b"x"])
            fates.append(("ok", clock.monotonic() - started))
        except (RetryError, AlreadyExistsError) as error:
            fates.append((str(error), clock.monotonic() - started))
    await store.close()
    return fates


def test_the_same_seed_gives_the_same_run(run_virtual: RunVirtual, loop_clock: Clock) -> None:
    faults = FaultModel(slow_down=0.1, timed_out=0.1, answer_lost=0.1, late_put=0.1)
    runs = [run_virtual(drawn_fates(loop_clock, seed, faults, S3_STANDARD)) for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]
    assert len({fate for fate, _ in runs[0]}) >= 4


@pytest.mark.parametrize(
    ("faults", "has_effect"),
    [
        (FaultModel(slow_down=1), False),
        (FaultModel(timed_out=1), False),
        (FaultModel(answer_lost=1), True),
    ],
)
def test_a_failed_put_has_taken_effect_only_when_its_answer_was_lost(
    run_virtual: RunVirtual, loop_clock: Clock, faults: FaultModel, has_effect: bool
) -> None:
    async def main() -> None:
        bucket = MemoryStore(loop_clock)
        store = FaultyStore(bucket, clock=loop_clock, rng=Random(1), faults=faults)
        with pytest.raises(RetryError):
            await store.put_if_absent("k", [b"x"])
        assert [meta.key async for meta in bucket.list("")] == (["k"] if has_effect else [])

    run_virtual(main())


def test_a_late_put_lands_after_its_caller_was_told_of_a_time_out(run_virtual: RunVirtual, loop_clock: Clock) -> None:
    async def main() -> None:
        bucket = MemoryStore(loop_clock)
        store = FaultyStore(bucket, clock=loop_clock, rng=Random(1), faults=FaultModel(late_put=1))
        buffer = bytearray(b"as it was")
        with pytest.raises(RetryError):
            await store.put_if_absent("k", [buffer])
        buffer[:] = b"changed.."
        with pytest.raises(NotFoundError):
            await bucket.get("k")
        assert store.late_puts == 1
        await asyncio.sleep(60)
        assert store.late_puts == 0
        assert await bucket.get("k") == b"as it was"
        with pytest.raises(RetryError):
            await store.put_if_absent("k", [b"refused when it lands"])
        await store.close()
        assert await bucket.get("k") == b"as it was"

    run_virtual(main())


def test_a_put_cancelled_on_its_way_leaves_no_trace_and_afterwards_it_has_won(
    run_virtual: RunVirtual, loop_clock: Clock
) -> None:
    async def main() -> None:
        bucket = MemoryStore(loop_clock)
        second = OperationLatency(p50_ms=1000, p99_ms=1001)
        latency = LatencyModel(put=second, get=second, head=second, list=second, delete=second)
        store = FaultyStore(bucket, clock=loop_clock, rng=Random(1), latency=latency)
        for key, cancelled_after_s in (("early", 0.3), ("late", 0.7)):
            put = asyncio.create_task(store.put_if_absent(key, [b"x"]))
            await asyncio.sleep(cancelled_after_s)
            put.cancel()
            await asyncio.gather(put, return_exceptions=True)
        assert [meta.key async for meta in bucket.list("")] == ["late"]

    run_virtual(main())


def test_without_a_model_nothing_takes_time(run_virtual: RunVirtual, loop_clock: Clock) -> None:
    fates = run_virtual(drawn_fates(loop_clock, 1, FaultModel(), NO_LATENCY))
    assert all(took_s == 0 for _, took_s in fates)


def test_express_is_quicker_than_standard() -> None:
    assert S3_EXPRESS.put.p99_ms < S3_STANDARD.put.p50_ms
