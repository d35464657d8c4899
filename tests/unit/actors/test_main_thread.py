"""A worker's main thread sleeps in Ray's look for signals, and nowhere else."""

import signal
import sys
import threading
from collections.abc import Iterator

import pytest

from actors import main_thread
from actors.main_thread import let_main_thread_sleep

_SOON_S, _LATER_S = 100.0, 1000.0
"""No signal comes while a test runs."""


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    """Leave the signal as it was: pytest's time-out is one."""
    before, left = signal.getsignal(signal.SIGALRM), signal.setitimer(signal.ITIMER_REAL, 0)
    yield
    signal.signal(signal.SIGALRM, before)
    signal.setitimer(signal.ITIMER_REAL, *left)


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each sleep is meant to last; it lasts no time."""
    asked: list[float] = []

    class Never(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            asked.append(timeout or 0.0)
            return False

    monkeypatch.setattr(main_thread, "_never", Never())
    monkeypatch.setattr(main_thread, "_idle_code", _idle_loop.__code__)
    monkeypatch.setattr(main_thread, "_LOOK_S", _SOON_S)
    monkeypatch.setattr(main_thread, "_BUSY_S", _LATER_S)
    return asked


def _idle_loop() -> None:
    main_thread._look(signal.SIGALRM, sys._getframe())


def _work() -> None:
    main_thread._look(signal.SIGALRM, sys._getframe())


def test_an_idle_main_thread_sleeps_and_soon_looks_again(sleeps: list[float]) -> None:
    let_main_thread_sleep(0.25)
    _idle_loop()
    assert sleeps == [0.25]
    assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= _SOON_S


def test_a_main_thread_at_work_does_not_sleep_and_is_left_alone_for_longer(sleeps: list[float]) -> None:
    let_main_thread_sleep(0.25)
    _work()
    assert sleeps == []
    assert signal.getitimer(signal.ITIMER_REAL)[0] > _SOON_S


def test_a_main_thread_that_is_not_to_sleep_is_not_woken_either(sleeps: list[float]) -> None:
    let_main_thread_sleep(0.25)
    let_main_thread_sleep(0.0)
    signal.setitimer(signal.ITIMER_REAL, 0)  # the one that was set, and has come
    _idle_loop()
    assert sleeps == []
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_where_the_main_thread_was_not_asked_first_nothing_changes() -> None:
    before = signal.getsignal(signal.SIGALRM)
    thread = threading.Thread(target=let_main_thread_sleep, args=(0.25,))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_the_last_call_counts(sleeps: list[float]) -> None:
    let_main_thread_sleep(0.05)
    let_main_thread_sleep(0.2)
    _idle_loop()
    assert sleeps == [0.2]
