"""Makes processes slow, and stops them for a while, by SIGSTOP and SIGCONT: as a machine that has too much else to do."""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

import psutil

_PERIOD_S = 0.04
"""Short beside what anybody waits for, long beside a signal's cost."""
_LOOK_AGAIN_PERIODS = 25


def slow_down(
    processes: Callable[[], Sequence[psutil.Process]], factor: float, seconds: float, ended: threading.Event
) -> None:
    """Let processes run ``1 / factor`` of the time, those too that come meanwhile; until ``seconds`` have passed or all has
    ``ended``. They run when this returns."""
    stopped_s = _PERIOD_S * (1 - 1 / factor)
    family: Sequence[psutil.Process] = ()
    for period in range(round(seconds / _PERIOD_S)):
        if period % _LOOK_AGAIN_PERIODS == 0:
            family = processes()
        with paused(family):
            ended.wait(stopped_s)
        if ended.wait(_PERIOD_S - stopped_s):
            return


def pause(processes: Sequence[psutil.Process], seconds: float, ended: threading.Event) -> None:
    """As ``slow_down``, without any time to run."""
    with paused(processes):
        ended.wait(seconds)


@contextlib.contextmanager
def paused(processes: Iterable[psutil.Process]) -> Iterator[None]:
    """They are stopped inside; those that are gone are passed over."""
    taken = list(processes)
    try:
        for process in taken:
            with contextlib.suppress(psutil.Error):
                process.suspend()
        yield
    finally:
        for process in reversed(taken):
            with contextlib.suppress(psutil.Error):
                process.resume()
