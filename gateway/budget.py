"""A count of bytes with a limit, and those who wait for it to fall below: the joint between a full queue and its senders."""

from collections import deque
from collections.abc import Callable


class Budget:
    """What is taken is never refused, as it is here already; whoever finds the budget over its limit stops reading instead.

    Waiters are called in the order in which they came, and only as long as the budget stays below its limit.
    """

    __slots__ = ("_limit_bytes", "_waiters", "taken_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._waiters: deque[Callable[[], object]] = deque()
        self.taken_bytes = 0

    @property
    def is_over(self) -> bool:
        return self.taken_bytes > self._limit_bytes

    def take(self, size_bytes: int) -> None:
        self.taken_bytes += size_bytes

    def give_back(self, size_bytes: int) -> None:
        self.taken_bytes -= size_bytes
        assert self.taken_bytes >= 0, "more was given back than taken"
        while self._waiters and not self.is_over:
            self._waiters.popleft()()

    def when_below(self, waiter: Callable[[], object]) -> None:
        """Call ``waiter`` once, when the budget is at or below its limit (later, even when it is now)."""
        self._waiters.append(waiter)
