"""Processes are stopped for a while, and always go on in the end."""

import os
import subprocess
import threading
from collections.abc import Iterator

import psutil
import pytest

from lab import slowing


@pytest.fixture
def process() -> Iterator[psutil.Process]:
    child = subprocess.Popen(["sleep", "600"])
    yield psutil.Process(child.pid)
    child.kill()
    child.wait()


def _wait_until_stopped(process: psutil.Process) -> None:
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)


def _wait_until_continued(process: psutil.Process) -> None:
    _, status = os.waitpid(process.pid, os.WCONTINUED)
    assert os.WIFCONTINUED(status)


def test_a_process_is_stopped_inside_and_runs_after(process: psutil.Process) -> None:
    with slowing.paused([process]):
        _wait_until_stopped(process)
    _wait_until_continued(process)


def test_it_runs_after_a_failure_too(process: psutil.Process) -> None:
    with pytest.raises(ValueError, match="fails"), slowing.paused([process]):
        _wait_until_stopped(process)
        raise ValueError("fails")
    _wait_until_continued(process)


def test_processes_that_are_gone_are_passed_over(process: psutil.Process) -> None:
    child = subprocess.Popen(["true"])
    gone = psutil.Process(child.pid)
    child.wait()
    with slowing.paused([gone, process]):
        _wait_until_stopped(process)


def test_an_end_cuts_a_pause_and_a_slow_time_short(process: psutil.Process) -> None:
    ended = threading.Event()
    ended.set()
    slowing.pause([process], 3600, ended)
    slowing.slow_down(lambda: [process], 4, 3600, ended)
    assert process.status() != psutil.STATUS_STOPPED
