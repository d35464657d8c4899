"""What happened, in order: for people when a seed fails, and as a digest for the comparison of two runs."""

import hashlib
import struct
from collections.abc import Callable
from typing import Any
from zlib import crc32

_STEP = struct.Struct(">dI")


class Trace:
    """Every event is a line; every callback that ran counts in the digest by its time and its process."""

    def __init__(self) -> None:
        self.clock: Callable[[], float] = lambda: 0.0
        self.lines: list[str] = []
        self.steps = 0
        self._steps_crc = 0

    def event(self, what: str, text: object = "") -> None:
        self.lines.append(f"{self.clock():12.6f} {what:<12} {text}")

    def step(self, now: float, owner: Any) -> None:
        self._steps_crc = crc32(_STEP.pack(now, 0 if owner is None else owner.number), self._steps_crc)
        self.steps += 1

    def digest(self, *more: bytes) -> str:
        """Of all lines, all steps, and ``more``."""
        found = hashlib.sha256()
        for line in self.lines:
            found.update(line.encode())
        found.update(struct.pack(">QI", self.steps, self._steps_crc))
        for part in more:
            found.update(part)
        return found.hexdigest()
