"""Virtual time: an event loop that never waits, and the processes whose callbacks it runs.

- Time stands still while callbacks run, and jumps to the next timer when none is ready. Nothing else moves it.
- Every callback belongs to the process whose context it was scheduled in. A dead process's callbacks are dropped, a paused
  one's are kept in order until it goes on: that is what kill -9, SIGSTOP and SIGCONT look like from outside.
- Tasks and futures hash by their serial number, so that sets of them have the same order in every run.
- Blocking work given to an executor runs in one piece, some virtual time later.
"""

import asyncio
import contextvars
import gc
import heapq
import sys
import warnings
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from tests.sim.trace import Trace

_OWNER: contextvars.ContextVar["Process | None"] = contextvars.ContextVar("owner", default=None)
_STARTS_AT_S = 1_000.0
_EXECUTOR_S_MAX = 0.01


class Deadlock(Exception):
    """Nothing is ready and no timer is set, but the run is not over."""


class SimFuture(asyncio.Future):  # type: ignore[type-arg]
    serial = 0

    def __hash__(self) -> int:
        return _serial(self)


class SimTask(asyncio.Task):  # type: ignore[type-arg]
    serial = 0

    def __hash__(self) -> int:
        return _serial(self)


def _serial(future: Any) -> int:
    """Given when it is first asked for: most futures are never in a set."""
    serial: int = future.serial or future.get_loop().next_serial()
    future.serial = serial
    return serial


class Process:
    """What ``kill -9`` ends: a role's tasks, callbacks and connections. A restarted role is a new process."""

    def __init__(self, loop: "SimLoop", name: str, node: str) -> None:
        self._loop = loop
        self.number = loop.next_serial()
        self.name = name
        self.node = node
        self.is_dead = False
        self.is_paused = False
        self.is_draining = False
        self.parked: list[asyncio.Handle] = []
        self.main: asyncio.Task[Any] | None = None
        self.role: Any = None
        self.on_death: list[Callable[[], None]] = []
        self.tasks: list[asyncio.Task[Any]] = []
        """Kept, so that nothing of a dead process runs its clean-up when memory happens to be collected."""

    def context(self) -> contextvars.Context:
        """A fresh one to run something of this process in."""
        context = contextvars.copy_context()
        context.run(_OWNER.set, self)
        return context

    def run(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return self._loop.create_task(work, context=self.context())

    def kill(self) -> None:
        """Nothing of it runs from here on. Idempotent."""
        if self.is_dead:
            return
        self.is_dead = True
        self.parked.clear()
        for action in self.on_death:
            action()

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        """All that has come meanwhile runs now, in its order."""
        self.is_paused = False
        if not self.is_dead:
            self._loop.make_ready(self.parked)
        self.parked = []


def this_process() -> Process | None:
    """Whose code is running; None for the world's."""
    return _OWNER.get()


@contextmanager
def forgotten() -> Iterator[None]:
    """What was begun inside and is not finished ends with it as memory does when a machine goes off: unseen and unheard."""
    gc.freeze()  # for good: of what was there before the run, nothing need be gone through after each
    gc.disable()
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        yield
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what had not begun has never been awaited
            while gc.collect():
                pass  # again: what ends may hold on to others in its last moments
    finally:
        sys.unraisablehook = hook
        gc.enable()


class SimLoop(asyncio.BaseEventLoop):
    def __init__(self, rng: Random, trace: Trace) -> None:
        super().__init__()
        self._rng = rng
        self._trace = trace
        self._now = _STARTS_AT_S
        self._serial = 0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timers_set = 0
        self._is_over = False
        self.network: Any = None
        self.errors: list[str] = []
        """What no owner has taken: a bug of the code under test, or of the simulation."""
        self.set_task_factory(self._make_task)
        self.set_exception_handler(self._unhandled)
        trace.clock = self.time

    def time(self) -> float:
        return self._now

    def next_serial(self) -> int:
        self._serial += 1
        return self._serial

    def create_future(self) -> "asyncio.Future[Any]":
        return SimFuture(loop=self)

    def make_ready(self, handles: list[asyncio.Handle]) -> None:
        self._ready.extend(handles)  # type: ignore[attr-defined]

    def world(self) -> contextvars.Context:
        """A context that no process owns."""
        context = contextvars.copy_context()
        context.run(_OWNER.set, None)
        return context

    def later(self, delay_s: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        """Have the world do something."""
        return self.call_later(delay_s, callback, *args, context=self.world())

    def run_in_executor(self, executor: object, func: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":  # type: ignore[override]
        done: asyncio.Future[Any] = self.create_future()

        def work() -> None:
            try:
                result = func(*args)
            except Exception as error:  # noqa: BLE001  (the caller's, as with a thread)
                if not done.done():
                    done.set_exception(error)
            else:
                if not done.done():
                    done.set_result(result)

        self.call_later(self._rng.uniform(0, _EXECUTOR_S_MAX), work)
        return done

    # Sockets

    async def create_server(self, protocol_factory: Any, host: Any = None, port: Any = None, **kwargs: Any) -> Any:
        return self.network.listen(protocol_factory, kwargs.get("sock") or self.network.bind(host, port))

    async def create_unix_server(self, protocol_factory: Any, path: Any = None, **kwargs: Any) -> Any:
        return self.network.listen_unix(protocol_factory, path)

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **kwargs: Any) -> Any:
        return await self.network.connect(protocol_factory, (host, port))

    async def create_unix_connection(self, protocol_factory: Any, path: Any = None, **kwargs: Any) -> Any:
        return await self.network.connect(protocol_factory, path)

    # The loop itself

    def end(self) -> None:
        """Nothing happens any more."""
        self._is_over = True
        self._ready.clear()  # type: ignore[attr-defined]
        self._timers.clear()
        self.network = None
        self._trace.clock = lambda: 0.0
        self.close()

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._timers_set += 1
        heapq.heappush(self._timers, (when, self._timers_set, timer))
        return timer

    def _timer_handle_cancelled(self, handle: Any) -> None:
        """It is passed over when its time comes."""

    def _run_once(self) -> None:
        """Until the loop is stopped, or nothing is left to happen: a turn after another."""
        timers, ready, step = self._timers, self._ready, self._trace.steps.append  # type: ignore[attr-defined]
        while not self._stopping:  # type: ignore[attr-defined]
            while timers and timers[0][2]._cancelled:
                heapq.heappop(timers)
            if not ready:
                if not timers:
                    raise Deadlock("nothing is left to happen")
                self._now = max(self._now, timers[0][0])
            now = self._now
            while timers and timers[0][0] <= now:
                timer = heapq.heappop(timers)[2]
                if not timer._cancelled:
                    ready.append(timer)
            for _ in range(len(ready)):
                handle = ready.popleft()
                if handle._cancelled:
                    continue
                owner = handle._context.get(_OWNER)
                if owner is None:
                    step(0.0)
                elif owner.is_dead:
                    continue
                elif owner.is_paused:
                    owner.parked.append(handle)
                    continue
                else:
                    step(owner.number)
                step(now)
                handle._run()

    def _make_task(self, loop: Any, coro: Any, context: Any = None) -> SimTask:
        task = SimTask(coro, loop=self, context=context)
        task._log_destroy_pending = False
        owner = context.get(_OWNER) if context is not None else _OWNER.get()
        if owner is not None:
            owner.tasks.append(task)
            if len(owner.tasks) > 2_000:
                owner.tasks = [task for task in owner.tasks if not task.done()]
        return task

    def _unhandled(self, loop: Any, details: dict[str, Any]) -> None:
        if self._is_over:
            return
        owner = _OWNER.get()
        error = details.get("exception")
        text = f"{owner.name if owner else 'world'}: {details['message']}: {error!r}"
        self.errors.append(text)
        self._trace.event("unhandled", text)

    def _asyncgen_finalizer_hook(self, agen: Any) -> None:
        self._asyncgens.discard(agen)  # type: ignore[attr-defined]

    def _process_events(self, event_list: Any) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps."""
