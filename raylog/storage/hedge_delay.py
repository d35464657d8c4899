"""When a slow PUT is worth sending twice: at the 95th percentile of the recent ones, so that about one in twenty is.

Until it has seen enough, the delay is the longest allowed, so that a start-up's slow first requests are not doubled.
"""

from collections import deque

_WINDOW = 200
_SAMPLES_MIN = 20
_REFRESH = 20
_PERCENTILE = 0.95


class HedgeDelay:
    def __init__(self, *, min_s: float, max_s: float) -> None:
        self._min_s = min_s
        self._max_s = max_s
        self._recent_s: deque[float] = deque(maxlen=_WINDOW)
        self._recorded = 0
        self._current_s = max_s

    @property
    def current_s(self) -> float:
        return self._current_s

    def record(self, seconds: float) -> None:
        """How long a PUT took, hedged or not, from its start to its success."""
        self._recent_s.append(seconds)
        self._recorded += 1
        if self._recorded % _REFRESH == 0 and len(self._recent_s) >= _SAMPLES_MIN:
            ordered = sorted(self._recent_s)
            percentile_s = ordered[int(len(ordered) * _PERCENTILE)]
            self._current_s = min(self._max_s, max(self._min_s, percentile_s))
