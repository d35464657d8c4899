"""Lets the main thread of a Ray worker sleep: Ray has it wake a hundred times a second, to look for signals.

That look is all that an idle worker's main thread does, and costs 0.7 to 0.9 % of a core in each of Ray's processes, as
much as all else there. A role works in its own threads, and its main thread only begins Ray's calls to the actor, of which a
leader or a gateway has a few in its life. So the look itself is made to last: a signal, set again by each look, has a handler
that sleeps (docs/decisions/0019).

A call to the actor that arrives meanwhile begins when the sleep ends, unless another process has said that it is coming
(``wake_main_thread``). All other signals are handled at once, as sleeping in a
handler does not hold them up; and what else the main thread may run, such as a task, is left alone.
"""

import os
import select
import signal
import threading
from contextlib import suppress
from types import CodeType, FrameType
from typing import Final

import ray

_LOOK_S = 0.00003
"""From a sleep's end to the next signal, whose handler runs at Ray's next look, 10 ms later: what has come in the sleep is begun
in between. So soon that the thread is awake still, and not woken for it; not before the handler has returned."""
_BUSY_S = 1.0
"""From a signal that found the main thread at work to the next."""
_AWAKE_S = 1.0
"""A main thread that was woken does not sleep for so long."""
_WAKE: Final = signal.SIGURG
"""A process that has no handler for it, as another one that has got the number by now, takes no notice of it."""

_idle_code: CodeType | None = None
"""Of Ray's own loop."""
with suppress(AttributeError):  # a Ray that names it otherwise is not slept in
    _idle_code = ray._private.worker.Worker.main_loop.__code__
_sleep_s = 0.0
_is_called = False
"""By another process, since the last look."""
_alarm: tuple[int, int] | None = None
"""A pipe, of which a read ends the sleep: a lock that the sleeper has would not be to be had in a handler."""


def let_main_thread_sleep(sleep_s: float) -> None:
    """From now on calls to this process's actor may wait for ``sleep_s``, 0: not at all. The last call counts.

    Only the main thread can set a signal's handler, and actors are made in another: so the first call is to be made when Ray
    imports ``actors.warm``. In a process without that the main thread goes on as Ray has it.
    """
    global _alarm, _sleep_s  # noqa: PLW0603
    if threading.current_thread() is threading.main_thread():
        if _alarm is None:
            _alarm = os.pipe()
            for end in _alarm:
                os.set_blocking(end, False)
        signal.signal(signal.SIGALRM, _look)
        signal.signal(_WAKE, _woken)
    elif signal.getsignal(signal.SIGALRM) is not _look:
        return
    _sleep_s = sleep_s
    signal.setitimer(signal.ITIMER_REAL, _BUSY_S)


def wake_main_thread(pid: int) -> None:
    """Have the main thread of another such process awake for a second, as work is coming to it. It may be gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, _WAKE)


def _look(_signal: int, frame: FrameType | None) -> None:
    global _is_called  # noqa: PLW0603
    if frame is None or frame.f_code is not _idle_code:
        signal.setitimer(signal.ITIMER_REAL, _BUSY_S)
    elif _is_called:
        _is_called = False
        signal.setitimer(signal.ITIMER_REAL, _AWAKE_S)
    elif _sleep_s:
        _sleep()
        signal.setitimer(signal.ITIMER_REAL, _LOOK_S)


def _sleep() -> None:
    assert _alarm is not None
    poll = select.poll()
    poll.register(_alarm[0], select.POLLIN)
    poll.poll(_sleep_s * 1000)
    with suppress(BlockingIOError):
        os.read(_alarm[0], 4096)


def _woken(_signal: int, _frame: FrameType | None) -> None:
    global _is_called  # noqa: PLW0603
    assert _alarm is not None
    _is_called = True
    with suppress(BlockingIOError):
        os.write(_alarm[1], b"!")
