"""Races that leave no task behind: time-outs, and hedged calls. Their time is the loop's."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from raylog.model.errors import RetryError

T = TypeVar("T")


async def within(seconds: float, call: Coroutine[Any, Any, T]) -> T:
    """The call's result, or RetryError after ``seconds``; the call is cancelled then, and its effect unknown."""
    try:
        async with asyncio.timeout(seconds) as timeout:
            return await call
    except TimeoutError:
        if not timeout.expired():
            raise  # the call's own
        raise RetryError(f"no answer within {seconds:.3g} s") from None


async def hedged(delay_s: float, call: Callable[[], Coroutine[Any, Any, T]], *, more: int = 1) -> T:
    """Start ``call``, and ``more`` times again when it has not answered after ``delay_s``; the first success wins.

    An error other than RetryError ends the race; a RetryError only when all others have failed as well.
    """
    return await seconded(asyncio.ensure_future(call()), delay_s, call, more=more)


async def seconded(
    first: asyncio.Future[T], delay_s: float, call: Callable[[], Coroutine[Any, Any, T]], *, more: int = 1
) -> T:
    """As ``hedged``, where the first one is under way already; its time counts from now."""
    racers = {first}
    try:
        if not first.done():
            await asyncio.wait((first,), timeout=delay_s)
        if first.done():
            return first.result()
        racers |= {asyncio.ensure_future(call()) for _ in range(more)}
        running = set(racers)
        while True:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=lambda task: task.exception() is not None):
                if not running or not isinstance(task.exception(), RetryError):
                    return task.result()
    finally:
        await _end(*racers)


async def _end(*tasks: asyncio.Future[Any]) -> None:
    running = [task for task in tasks if not task.done()]
    for task in running:
        task.cancel()
    if running:
        await asyncio.gather(*running, return_exceptions=True)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # Looked at, so that asyncio does not report it: the race was decided without it.
