"""Ctrl-C and SIGTERM for a command that starts processes: noted, and acted on where the command can stop cleanly.

The first is only noted, so that no start or stop is torn apart half-way; the second ends the command at once.
"""

import signal
import threading

from raylog.model.errors import RaylogError

_SHELL_OFFSET = 128
"""A shell's exit code for a command that a signal has ended is this + the signal's number."""


class InterruptedStartError(RaylogError):
    """The command was asked to stop before it had started."""


class Interrupts:
    """To be used by the main thread."""

    def __init__(self) -> None:
        self._taken = threading.Event()
        self._number = signal.SIGTERM

    @property
    def exit_code(self) -> int:
        """Of a command that was stopped before it did what it was asked to."""
        return _SHELL_OFFSET + self._number

    def install(self) -> None:
        """Take both signals over from now on; again whenever somebody else (Ray does) may have."""
        signal.signal(signal.SIGINT, self._take)
        signal.signal(signal.SIGTERM, self._take)

    def check(self) -> None:
        """Raises InterruptedStartError if one has come."""
        self.install()
        if self._taken.is_set():
            raise InterruptedStartError("Stopped before it served.")

    def wait(self, seconds: float | None = None) -> bool:
        """Return when one comes, or after so many seconds: whether one has come."""
        return self._taken.wait(seconds)

    def _take(self, number: int, _frame: object) -> None:
        if self._taken.is_set():
            raise KeyboardInterrupt
        self._number = signal.Signals(number)
        self._taken.set()
