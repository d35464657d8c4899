"""Slows a bucket down while it is used: a file holds how many milliseconds each request takes longer. For experiments only.

The URL option ``brake=FILE`` names the file (``raylog lab`` writes it). It is read again a few times a second; no file, or one
without a number, slows nothing.
"""

import contextlib
from pathlib import Path

from raylog.model.clock import Clock

_LOOK_EVERY_S = 0.2


class Brake:
    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._look_at = 0.0
        self._extra_s = 0.0

    def extra_s(self) -> float:
        """Seconds, by the file as it was a moment ago."""
        now = self._clock.monotonic()
        if now >= self._look_at:
            self._look_at = now + _LOOK_EVERY_S
            self._extra_s = 0.0
            with contextlib.suppress(OSError, ValueError):
                self._extra_s = max(float(self._path.read_text(encoding="ascii")), 0.0) / 1000
        return self._extra_s
