"""Answers that wait for durability, and the high watermarks that move with it. One queue in LSN order, settled in one pass.

Rules (invariants 1 and 2):

- An answer to a produce, an error or a duplicate's included, leaves when everything appended before it is durable, so that it
  reveals nothing that a crash could take back.
- A high watermark moves, and readers see the records, at the same moment and not before.
- An answer whose request has waited past its timeout is REQUEST_TIMED_OUT; its records stay where they are.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from typing import NamedTuple

from kio.static.protocol import Payload

from raylog.leader.call import Call
from raylog.leader.hosted import HostedPartition
from raylog.leader.metrics import LeaderMetrics
from raylog.model.clock import Clock
from raylog.model.ids import Lsn, TopicPartition

_SWEEP_SECONDS = 0.25


class _Answer:
    """An answer that waits."""

    __slots__ = ("call", "deadline", "lsn", "response", "timed_out")

    def __init__(
        self, lsn: Lsn, call: Call, response: Payload | bytes, deadline: float, timed_out: Callable[[Call], Payload]
    ) -> None:
        self.lsn = lsn
        self.call = call
        self.response = response
        self.deadline = deadline
        self.timed_out = timed_out


class _Appended(NamedTuple):
    lsn: Lsn
    hosted: HostedPartition
    end_offset: int
    size_bytes: int
    at: float


class Acks:
    """Everything between an append and its answer."""

    def __init__(
        self, clock: Clock, metrics: LeaderMetrics, advance: Callable[[HostedPartition, int, int], None]
    ) -> None:
        """``advance`` moves a partition's high watermark to an offset, by so many bytes."""
        self._clock = clock
        self._metrics = metrics
        self._advance = advance
        self._appended: deque[_Appended] = deque()
        self._answers: deque[_Answer] = deque()
        self._waiters: deque[tuple[Lsn, asyncio.Future[int], int]] = deque()
        self._sweep: asyncio.TimerHandle | None = None
        self._is_stopped = False
        self.durable_lsn = Lsn(0)

    @property
    def waiting(self) -> int:
        """Answers not given yet."""
        return len(self._answers)

    def undurable_bytes(self) -> Counter[TopicPartition]:
        """What was appended to each partition and is not durable yet."""
        found: Counter[TopicPartition] = Counter()
        for entry in self._appended:
            found[entry.hosted.partition] += entry.size_bytes
        return found

    def appended(self, lsn: Lsn, hosted: HostedPartition, end_offset: int, size_bytes: int) -> None:
        """A partition ends at ``end_offset`` with the entry ``lsn``."""
        self._appended.append(_Appended(lsn, hosted, end_offset, size_bytes, self._clock.monotonic()))

    def answer(
        self, lsn: Lsn, call: Call, response: Payload | bytes, timeout_s: float, timed_out: Callable[[Call], Payload]
    ) -> None:
        """Give ``response`` once ``lsn`` (of the newest entry appended so far) is durable."""
        if lsn <= self.durable_lsn:
            call.answer(response)
            return
        self._answers.append(_Answer(lsn, call, response, self._clock.monotonic() + timeout_s, timed_out))
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._expire)

    def wait(self, lsn: Lsn, result: int) -> asyncio.Future[int]:
        """A future of ``result``, done once ``lsn`` (of the newest entry appended so far) is durable."""
        future = asyncio.get_running_loop().create_future()
        if lsn <= self.durable_lsn:
            future.set_result(result)
        else:
            self._waiters.append((lsn, future, result))
        return future

    def durable(self, lsn: Lsn) -> None:
        """All entries up to ``lsn`` are durable."""
        if self._is_stopped:
            return
        self.durable_lsn = lsn
        appended, answers, waiters = self._appended, self._answers, self._waiters
        now = self._clock.monotonic()
        if appended:
            self._metrics.wal_seconds.observe(now - appended[0].at)
        group_bytes = 0
        while appended and appended[0].lsn <= lsn:
            _, hosted, end_offset, size_bytes, _ = appended.popleft()
            self._advance(hosted, end_offset, size_bytes)
            group_bytes += size_bytes
        while waiters and waiters[0][0] <= lsn:
            _, future, result = waiters.popleft()
            if not future.done():
                future.set_result(result)
        while answers and answers[0].lsn <= lsn:
            answer = answers.popleft()
            answer.call.answer(answer.response)
        self._metrics.wal_group_bytes.observe(group_bytes)
        self._metrics.acknowledge_seconds.observe(self._clock.monotonic() - now)

    def stop(self, error: Exception) -> None:
        """Nothing is acknowledged any more, whatever becomes durable."""
        self._is_stopped = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        self._answers.clear()
        self._appended.clear()
        for _, future, _ in self._waiters:
            if not future.done():
                future.set_exception(error)
        self._waiters.clear()

    def _expire(self) -> None:
        self._sweep = None
        now = self._clock.monotonic()
        late = [answer for answer in self._answers if answer.deadline <= now]
        if late:
            # Not left for the WAL to pass: while it is away, clients ask again and again.
            self._answers = deque(answer for answer in self._answers if answer.deadline > now)
        for answer in late:
            answer.call.answer(answer.timed_out(answer.call))
        if self._answers:
            self._sweep = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._expire)
