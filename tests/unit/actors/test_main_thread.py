"""A worker's main thread sleeps in Ray's look for signals, and nowhere else."""

import os
import signal
import sys
import threading
from collections.abc import Iterator

import pytest

from actors import main_thread
from actors.main_thread import let_main_thread_sleep, wake_main_thread

_SOON_S, _LATER_S = 100.0, 1000.0
"""No signal comes while a test runs."""


@pytest.fixture(autouse=True)
def alarm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave the signals as they were: pytest's time-out is one. Nobody was woken before."""
    monkeypatch.setattr(main_thread, "_is_called", False)
    numbers = (signal.SIGALRM, signal.SIGURG)
    before, left = [signal.getsignal(number) for number in numbers], signal.setitimer(signal.ITIMER_REAL, 0)
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
    signal.setitimer(signal.ITIMER_REAL, *left)


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each sleep is meant to last; it lasts no time."""
    asked: list[float] = []

    monkeypatch.setattr(main_thread, "_sleep", lambda: asked.append(main_thread._sleep_s))
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


def test_a_main_thread_that_was_called_stays_awake_for_a_while(
    sleeps: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main_thread, "_AWAKE_S", _LATER_S)
    let_main_thread_sleep(0.25)
    wake_main_thread(os.getpid())
    _idle_loop()
    assert sleeps == []
    assert signal.getitimer(signal.ITIMER_REAL)[0] > _SOON_S
    _idle_loop()
    assert sleeps == [0.25]


def test_a_call_from_another_process_ends_the_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_thread, "_idle_code", _idle_loop.__code__)
    monkeypatch.setattr(main_thread, "_LOOK_S", _SOON_S)
    let_main_thread_sleep(_LATER_S)
    caller = threading.Timer(0.05, wake_main_thread, (os.getpid(),))
    caller.start()
    _idle_loop()
    caller.join()


def test_nobody_is_woken_where_there_is_no_process() -> None:
    wake_main_thread(2**22 + 1)
