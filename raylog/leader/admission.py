"""Back-pressure: a produce for which there is no room waits, and its connection is not read meanwhile. Nothing is dropped.

Requests are admitted in the order in which they came, so a small one does not overtake a large one for ever.
"""

from collections import deque
from collections.abc import Callable

from raylog.leader.append import Appender
from raylog.leader.call import Call
from raylog.leader.metrics import LeaderMetrics
from raylog.model.clock import Clock


class Admission:
    def __init__(self, appender: Appender, clock: Clock, metrics: LeaderMetrics) -> None:
        self._appender = appender
        self._clock = clock
        self._metrics = metrics
        self._held: deque[tuple[Call, Callable[[Call], None], float]] = deque()
        self._is_retrying = False

    @property
    def held(self) -> int:
        """Requests that wait."""
        return len(self._held)

    def run(self, call: Call, serve: Callable[[Call], None]) -> None:
        """Call ``serve`` now, or once there is room for the request."""
        if not self._held and self._appender.has_room(call.size_bytes):
            serve(call)
            return
        call.connection.hold_reading()
        self._held.append((call, serve, self._clock.monotonic()))

    def retry(self) -> None:
        """There may be room again."""
        if self._is_retrying:
            return  # a connection that goes on reading hands over its next request from within
        self._is_retrying = True
        try:
            while self._held and self._appender.has_room(self._held[0][0].size_bytes):
                call, serve, since = self._held.popleft()
                self._metrics.queue_seconds.observe(self._clock.monotonic() - since)
                serve(call)
                call.connection.release_reading()
        finally:
            self._is_retrying = False

    def stop(self) -> None:
        """Requests that still wait are never served; their connections are dropped."""
        self._held.clear()
