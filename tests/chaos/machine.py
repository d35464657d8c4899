"""What is under test: ``raylog serve`` with a supervisor that starts it again whenever it ends, as systemd would."""

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from lab.history.journal import Journal
from tests.harness.serve import ServeProcess

_LOOK_EVERY_S = 0.2
_START_AGAIN_S_MAX = 180.0
_STOPPED_SENTENCE = "Start it again: the bucket and the WAL have everything that was acknowledged."


class Machine:
    """Enter it to start it; leaving it kills all that is left of it."""

    def __init__(self, server: ServeProcess, journal: Journal) -> None:
        self.server = server
        self._journal = journal
        self._lock = threading.RLock()
        self._leaving = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
        self.ended_by_itself = 0

    def __enter__(self) -> Self:
        self.server.start()
        self._supervisor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leaving.set()
        self._supervisor.join(_START_AGAIN_S_MAX)
        self.server.kill()

    def processes(self, name: str) -> list[psutil.Process]:
        """Whose command line contains it; none while the server is being started again."""
        if not self._lock.acquire(blocking=False):
            return []
        try:
            return self.server.processes(name)
        finally:
            self._lock.release()

    def kill_everything(self, pause_s: float) -> None:
        """SIGKILL to every process at once, and a new start on the same bucket and WAL after a while."""
        with self._lock:
            self.server.kill()
            time.sleep(pause_s)
            self._start()

    def wait_until_up(self) -> None:
        with self._lock:
            pass  # whoever starts it holds the lock

    def stop(self) -> None:
        """Ctrl-C, with its exit code looked at. The supervisor is sent away first."""
        self._leaving.set()
        self._supervisor.join(_START_AGAIN_S_MAX)
        code = self.server.stop()
        if code != 0:
            self._journal.oddity(f"the server's exit code after Ctrl-C was {code}")

    def _supervise(self) -> None:
        while not self._leaving.wait(_LOOK_EVERY_S):
            with self._lock:
                if self.server.has_ended and not self._leaving.is_set():
                    self._note_end()
                    self._start()

    def _note_end(self) -> None:
        code = self.server.wait_for_end(30)
        self.ended_by_itself += 1
        self._journal.write("ended", code=code)
        if code != 1 or _STOPPED_SENTENCE not in _end_of(self.server.output):
            self._journal.oddity(
                f"the server ended by itself with code {code} and no sentence: {_end_of(self.server.output)[-300:]}"
            )

    def _start(self) -> None:
        """Again and again, as a supervisor does: a role that was stopped (SIGSTOP) may keep the port until it is continued."""
        deadline = time.monotonic() + _START_AGAIN_S_MAX
        while True:
            try:
                self.server.start()
            except AssertionError as error:
                self._journal.write("not-started", why=str(error)[-300:])
                if time.monotonic() > deadline:
                    self._journal.oddity(f"the server does not start: {str(error)[-1000:]}")
                    return
                time.sleep(1)
            else:
                self._journal.write("started")
                return


def _end_of(output: Path) -> str:
    return output.read_text(errors="replace")[-2000:]
