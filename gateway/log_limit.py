"""Keeps log lines that clients can cause at will from flooding the log."""

from raylog.model.clock import Clock


class LogLimit:
    """At most ``lines`` in each ``interval_s``; the next line let through tells how many were not."""

    __slots__ = ("_clock", "_interval_s", "_left", "_lines", "_started", "suppressed")

    def __init__(self, clock: Clock, *, lines: int = 10, interval_s: float = 10.0) -> None:
        self._clock = clock
        self._lines = lines
        self._interval_s = interval_s
        self._started = float("-inf")
        self._left = 0
        self.suppressed = 0
        """Lines not let through since the last one that was."""

    def allows(self) -> bool:
        now = self._clock.monotonic()
        if now - self._started >= self._interval_s:
            self._started, self._left = now, self._lines
        if self._left == 0:
            self.suppressed += 1
            return False
        self._left -= 1
        return True

    def take_suppressed(self) -> int:
        suppressed, self.suppressed = self.suppressed, 0
        return suppressed
