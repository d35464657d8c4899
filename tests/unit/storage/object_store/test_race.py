"""Time-outs and hedges end with the right result, and with no task of theirs still running (``run_virtual`` checks)."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from raylog.model.clock import Clock
from raylog.model.errors import AlreadyExistsError, RetryError
from raylog.storage.race import hedged, within

RunVirtual = Callable[[Coroutine[Any, Any, Any]], Any]


def test_a_call_in_time_gives_its_result(run_virtual: RunVirtual) -> None:
    async def call() -> str:
        await asyncio.sleep(0.9)
        return "result"

    assert run_virtual(within(1.0, call())) == "result"


def test_a_call_that_fails_gives_its_error(run_virtual: RunVirtual) -> None:
    async def call() -> None:
        raise AlreadyExistsError("taken")

    with pytest.raises(AlreadyExistsError, match="taken"):
        run_virtual(within(1.0, call()))


def test_a_calls_own_time_out_is_an_error_like_others(run_virtual: RunVirtual) -> None:
    async def call() -> None:
        raise TimeoutError("the socket's")

    with pytest.raises(TimeoutError, match="the socket's"):
        run_virtual(within(1.0, call()))


def test_a_call_that_takes_too_long_is_cancelled(run_virtual: RunVirtual) -> None:
    ended: list[str] = []

    async def call() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    with pytest.raises(RetryError, match="no answer within 1 s"):
        run_virtual(within(1.0, call()))
    assert ended == ["cancelled"]


def test_cancelling_the_caller_cancels_the_call(run_virtual: RunVirtual) -> None:
    async def main() -> None:
        ended = asyncio.Event()

        async def call() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        task = asyncio.create_task(within(100.0, call()))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()

    run_virtual(main())


class Attempts:
    """Calls that take a time each and end with a result or an error each."""

    def __init__(self, *plan: tuple[float, object]) -> None:
        self._plan = plan
        self.started = 0

    async def __call__(self) -> object:
        seconds, outcome = self._plan[self.started]
        self.started += 1
        await asyncio.sleep(seconds)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@pytest.mark.parametrize(
    ("plan", "expected", "started", "took_s"),
    [
        ([(0.1, "a")], "a", 1, 0.1),
        ([(0.9, "a"), (0.1, "b")], "b", 2, 0.6),
        ([(0.6, "a"), (0.9, "b")], "a", 2, 0.6),
        ([(0.7, RetryError("slow")), (0.5, "b")], "b", 2, 1.0),
        ([(0.9, "a"), (0.1, RetryError("no"))], "a", 2, 0.9),
    ],
)
def test_the_first_success_of_a_hedged_call_wins(
    run_virtual: RunVirtual,
    loop_clock: Clock,
    plan: list[tuple[float, object]],
    expected: str,
    started: int,
    took_s: float,
) -> None:
    async def main() -> None:
        attempts = Attempts(*plan)
        assert await hedged(0.5, attempts) == expected
        assert attempts.started == started
        assert loop_clock.monotonic() == pytest.approx(took_s)

    run_virtual(main())


def test_several_may_be_started_at_once(run_virtual: RunVirtual, loop_clock: Clock) -> None:
    async def main() -> None:
        attempts = Attempts((0.9, "a"), (0.1, RetryError("no")), (0.4, "c"))
        assert await hedged(0.0, attempts, more=2) == "c"
        assert loop_clock.monotonic() == pytest.approx(0.4)

    run_virtual(main())


@pytest.mark.parametrize(
    ("plan", "error"),
    [
        ([(0.1, RetryError("at once"))], RetryError),
        ([(0.9, RetryError("first")), (0.1, RetryError("second"))], RetryError),
        ([(9.0, "a"), (0.1, AlreadyExistsError("taken"))], AlreadyExistsError),
    ],
)
def test_a_hedged_call_fails_when_both_fail_or_one_for_good(
    run_virtual: RunVirtual, plan: list[tuple[float, object]], error: type[Exception]
) -> None:
    with pytest.raises(error):
        run_virtual(hedged(0.5, Attempts(*plan)))
