"""Finds and ends the processes of a lab's Ray, which are nobody's children: by a mark that all have in their environment."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

MARK_VARIABLE: Final = "RAYLOG_LAB_RAY"


def marked(mark: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and _has(process, mark):
                yield process


def kill_marked(mark: str) -> None:
    """SIGKILL to all of them, until none is left."""
    while left := list(marked(mark)):
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=10)


def _has(process: psutil.Process, mark: str) -> bool:
    """Not by psutil, which reads no further than where a process's title has overwritten its environment."""
    try:
        environment = Path("/proc", str(process.pid), "environ").read_bytes()
    except OSError:  # it has ended, or is somebody else's
        return False
    return f"{MARK_VARIABLE}={mark}".encode() in environment.split(b"\0")
