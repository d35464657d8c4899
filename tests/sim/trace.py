"""What happened, in order: for people when a seed fails, and as a digest for the comparison of two runs."""

import hashlib
from array import array
from collections.abc import Callable


class Trace:
    """Every event is a line; every callback that ran counts in the digest by its process and its time."""

    def __init__(self) -> None:
        self.clock: Callable[[], float] = lambda: 0.0
        self.lines: list[str] = []
        self.steps = array("d")
        """Of each callback the number of its process, 0 for the world's, and the time."""

    def event(self, what: str, text: object = "") -> None:
        self.lines.append(f"{self.clock():12.6f} {what:<12} {text}")

    def digest(self, *more: bytes) -> str:
        """Of all lines, all steps, and ``more``."""
        found = hashlib.sha256()
        for line in self.lines:
            found.update(line.encode())
        found.update(self.steps)
        for part in more:
            found.update(part)
        return found.hexdigest()
