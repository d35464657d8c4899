"""Races between tasks that leave no task behind: time-outs on the injected clock, and hedged calls."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from raylog.model.clock import Clock
from raylog.model.errors import RetryError

T = TypeVar("T")


async def within(clock: Clock, seconds: float, call: Coroutine[Any, Any, T]) -> T:
    """The call's result, or RetryError after ``seconds``; the call is cancelled then, and its effect unknown."""
    task = asyncio.ensure_future(call)
    timer = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((task, timer), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise RetryError(f"no answer within {seconds:.3g} s")
        return task.result()
    finally:
        await _end(task, timer)


async def hedged(clock: Clock, delay_s: float, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Start ``call``, and once more when it has not answered after ``delay_s``; the first success wins.

    An error other than RetryError ends the race; a RetryError only when the other call has failed as well.
    """
    first = asyncio.ensure_future(call())
    timer = asyncio.ensure_future(clock.sleep(delay_s))
    racers = {first}
    try:
        await asyncio.wait((first, timer), return_when=asyncio.FIRST_COMPLETED)
        if first.done():
            return first.result()
        racers.add(asyncio.ensure_future(call()))
        running = set(racers)
        while True:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=lambda task: task.exception() is not None):
                if not running or not isinstance(task.exception(), RetryError):
                    return task.result()
    finally:
        await _end(timer, *racers)


async def _end(*tasks: asyncio.Future[Any]) -> None:
    running = [task for task in tasks if not task.done()]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # Looked at, so that asyncio does not report it: the race was decided without it.
