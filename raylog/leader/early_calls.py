"""Produce requests that come before their partitions, which are on their way here from another leader: they wait for these.

A partition moves in the time of a few requests to the bucket, shorter than a client waits between two tries. A gateway that hears
from the leader before that it has stopped asks here at once; so producers see the move as one slow answer.

- Only partitions are waited for whose handover has been offered and read: their leader is about to stop, or has stopped.
- The first request for a partition begins its time. When that is over it is not waited for any more, and whoever waits is
  answered as for any partition that is not led here: their connections' other answers must not be held up for long.
- Requests for a partition are served in the order in which they came.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from raylog.leader.call import Call
from raylog.model.clock import Clock
from raylog.model.ids import TopicPartition

Serve = Callable[[Call], None]


class _Held(NamedTuple):
    call: Call
    serve: Serve
    partitions: frozenset[TopicPartition]
    """That were waited for when it came."""


class EarlyCalls:
    def __init__(self, clock: Clock, *, bytes_max: int, s_max: float) -> None:
        """``bytes_max``: of requests that wait; ``s_max``: for so long a partition is waited for."""
        self._clock = clock
        self._bytes_max = bytes_max
        self._s_max = s_max
        self._expected: dict[TopicPartition, tuple[str, int]] = {}
        self._by_name: dict[tuple[str, int], TopicPartition] = {}
        self._deadlines: dict[TopicPartition, float] = {}
        self._held: deque[_Held] = deque()
        self._held_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_expecting(self) -> bool:
        """Whether any partition is on its way here."""
        return bool(self._expected)

    def expect(self, partition: TopicPartition, topic_name: str) -> None:
        """The partition is about to be led here."""
        self.forget(partition)
        self._expected[partition] = name = (topic_name, partition.partition)
        self._by_name[name] = partition

    def forget(self, partition: TopicPartition) -> None:
        """It is led here now, or is not coming."""
        name = self._expected.pop(partition, None)
        if name is not None:
            del self._by_name[name]
        self._deadlines.pop(partition, None)

    def hold(self, call: Call, serve: Serve, asked: Sequence[tuple[Any, int]]) -> bool:
        """Whether the call waits: for one of the partitions ``asked`` for, by topic (name or id) and number."""
        waits_for = [partition for topic, number in asked if (partition := self._find(topic, number)) is not None]
        if not waits_for or self._held_bytes + call.size_bytes > self._bytes_max:
            return False
        for partition in waits_for:
            self._deadlines.setdefault(partition, self._clock.monotonic() + self._s_max)
        self._held.append(_Held(call, serve, frozenset(waits_for)))
        self._held_bytes += call.size_bytes
        self._set_timer()
        return True

    def serve_ready(self) -> None:
        """Serve those that wait for nothing any more, but none before an earlier one for the same partition."""
        if not self._held:
            return
        blocked: set[TopicPartition] = set()
        ready: list[_Held] = []
        for held in self._held:
            if self._expected.keys() & held.partitions or blocked & held.partitions:
                blocked |= held.partitions
            else:
                ready.append(held)
        self._held = deque(held for held in self._held if blocked & held.partitions)
        self._held_bytes = sum(held.call.size_bytes for held in self._held)
        for held in ready:
            held.serve(held.call)

    def stop(self) -> None:
        """Forget all that wait; their connections are dropped."""
        self._held.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _find(self, topic: Any, number: int) -> TopicPartition | None:
        if isinstance(topic, str):
            return self._by_name.get((topic, number))
        partition = TopicPartition(topic, number)
        return partition if partition in self._expected else None

    def _set_timer(self) -> None:
        if self._timer is None and self._deadlines:
            delay_s = max(0.0, min(self._deadlines.values()) - self._clock.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = self._clock.monotonic()
        for partition in [partition for partition, deadline in self._deadlines.items() if deadline <= now]:
            self.forget(partition)
        self._set_timer()
        self.serve_ready()
