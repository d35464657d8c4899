"""Pauses between tries of what a leader cannot do without."""

from collections.abc import Iterator

from raylog.model.clock import Random

_S_MIN = 0.2
_S_MAX = 5.0


def backoff(rng: Random, seconds_max: float = _S_MAX) -> Iterator[float]:
    """Growing pauses with jitter, in seconds."""
    pause = min(_S_MIN, seconds_max)
    while True:
        yield pause * (0.5 + rng.random() / 2)
        pause = min(2 * pause, seconds_max)
