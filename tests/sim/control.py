"""The way to the controller: calls that take time, get lost before or after they took effect, and end when the controller does.

What Ray does in a cluster. A lost call is RetryError to its caller, who cannot know whether it has been done.
"""

import asyncio
from random import Random
from typing import Any

from raylog.model.errors import RaylogError, RetryError
from tests.harness.travel import as_it_travels
from tests.sim.loop import Process, SimLoop
from tests.sim.trace import Trace

_DELAY_S = (0.0005, 0.01)
_LOST_AFTER_S = 1.0
_PATIENCE_TRIES = 4


class ControllerSeat:
    """Calls go to whoever sits there. ``loss`` is the chance that one gets lost, half of them after its effect."""

    def __init__(self, loop: SimLoop, rng: Random, trace: Trace) -> None:
        self._loop = loop
        self._rng = rng
        self._trace = trace
        self._pending: dict[asyncio.Future[Any], Process] = {}
        self.process: Process | None = None
        self.loss = 0.0

    def vacate(self, process: Process) -> None:
        """The process has died: whoever waits for it is told."""
        for answer, asked in list(self._pending.items()):
            if asked is process and not answer.done():
                answer.set_exception(RetryError("The controller has died."))

    async def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        for attempt in range(_PATIENCE_TRIES):
            try:
                return await self._call_once(name, args, kwargs)
            except RetryError:
                if attempt == _PATIENCE_TRIES - 1:
                    raise
                await asyncio.sleep(self._rng.uniform(0.1, 0.5))
        raise AssertionError("unreachable")

    async def _call_once(self, name: str, args: Any, kwargs: Any) -> Any:
        loop, rng = self._loop, self._rng
        await asyncio.sleep(rng.uniform(*_DELAY_S))
        fate = rng.random()
        process = self.process
        if process is None or process.is_dead or process.role is None:
            raise RetryError("The controller is away.")
        if fate < self.loss / 2:
            await asyncio.sleep(_LOST_AFTER_S)
            raise RetryError("The call was lost.")
        answer: asyncio.Future[Any] = loop.create_future()
        self._pending[answer] = process
        is_answered = fate >= self.loss

        async def there() -> None:
            result, error = None, None
            try:
                result = as_it_travels(await getattr(process.role, name)(*as_it_travels(args), **as_it_travels(kwargs)))
            except RaylogError as caught:
                error = caught
            if is_answered:
                loop.later(rng.uniform(*_DELAY_S), settle, answer, result, error)

        process.run(there())
        if not is_answered:
            loop.later(_LOST_AFTER_S, settle, answer, None, RetryError("The answer was lost."))
        try:
            return await answer
        finally:
            del self._pending[answer]


def settle(answer: "asyncio.Future[Any]", result: Any, error: RaylogError | None) -> None:
    """Unless it has been settled."""
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(result)


class ControllerClient:
    """See ``raylog.model.admin.ControllerClient``."""

    def __init__(self, seat: ControllerSeat) -> None:
        self._seat = seat

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._seat.call(name, *args, **kwargs)

        return call
