"""Hysteresis, as Kubernetes' HorizontalPodAutoscaler has it: a number goes up only to the least that was needed throughout a
short window, and down only to the most that was needed in a long one. Pure; times are arguments.
"""

from collections import deque


class Window:
    def __init__(self, first: int) -> None:
        """``first`` is the number at the start: nothing goes below it before a long window has passed."""
        self._first = first
        self._needs: deque[tuple[float, int]] = deque()

    def settle(self, now_s: float, present: int, need: int, *, up_s: float, down_s: float) -> int:
        """What the ``present`` number becomes, when ``need`` is what is needed now."""
        if not self._needs:
            self._needs.append((now_s, self._first))
        self._needs.append((now_s, need))
        while self._needs[0][0] < now_s - max(up_s, down_s):
            self._needs.popleft()
        least = min(each for at_s, each in self._needs if at_s >= now_s - up_s)
        most = max(each for at_s, each in self._needs if at_s >= now_s - down_s)
        return max(least, min(present, most))
