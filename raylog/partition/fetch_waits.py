"""Fetches that wait for bytes, for error or for their time to run out: a registry, without tasks or timers of its own.

- A wait is ready when the bytes that its partitions gained since it began reach what it lacks, when one of its partitions fails
  (moved, deleted, truncated by DeleteRecords), or when its deadline passes. It is given back once, and is gone then.
- An event of a partition costs O(waits of that partition); a busy partition with thousands of waiters is the only one to pay.
- The registry is bounded: the shell answers at once what it cannot add (``has_room``).

``W`` is whatever the shell wants back: a call, a future.
"""

import heapq
from collections.abc import Iterable
from typing import Generic, TypeVar

from raylog.model.ids import TopicPartition

W = TypeVar("W")


class Wait(Generic[W]):
    """One waiting fetch. ``over`` once it was given back or cancelled."""

    __slots__ = ("_lacking_bytes", "_partitions", "deadline", "over", "read_committed", "waiter")

    def __init__(
        self,
        waiter: W,
        partitions: tuple[TopicPartition, ...],
        lacking_bytes: int,
        deadline: float,
        read_committed: bool,
    ) -> None:
        self.waiter = waiter
        self.deadline = deadline
        self.read_committed = read_committed
        self.over = False
        self._partitions = partitions
        self._lacking_bytes = lacking_bytes


class FetchWaits(Generic[W]):
    __slots__ = ("_by_deadline", "_by_partition", "_count", "_sequence", "_waits_max")

    def __init__(self, waits_max: int) -> None:
        self._waits_max = waits_max
        self._count = 0
        self._sequence = 0
        # A dict as an ordered set: waits of a partition become ready in the order in which they came.
        self._by_partition: dict[TopicPartition, dict[Wait[W], None]] = {}
        self._by_deadline: list[tuple[float, int, Wait[W]]] = []

    def __len__(self) -> int:
        return self._count

    @property
    def has_room(self) -> bool:
        return self._count < self._waits_max

    @property
    def next_deadline(self) -> float | None:
        """When ``expire`` is due next, in the clock's monotonic seconds; None: nothing waits."""
        while self._by_deadline and self._by_deadline[0][2].over:
            heapq.heappop(self._by_deadline)
        return self._by_deadline[0][0] if self._by_deadline else None

    def add(
        self,
        waiter: W,
        partitions: Iterable[TopicPartition],
        *,
        lacking_bytes: int,
        deadline: float,
        read_committed: bool = False,
    ) -> Wait[W]:
        """Wait until ``partitions`` have gained ``lacking_bytes`` (min bytes less what is there), or until ``deadline``."""
        assert self.has_room and lacking_bytes > 0
        wait = Wait(waiter, tuple(dict.fromkeys(partitions)), lacking_bytes, deadline, read_committed)
        for partition in wait._partitions:
            self._by_partition.setdefault(partition, {})[wait] = None
        self._sequence += 1
        heapq.heappush(self._by_deadline, (deadline, self._sequence, wait))
        self._count += 1
        return wait

    def gained(self, partition: TopicPartition, size_bytes: int, stable_bytes: int) -> list[W]:
        """The high watermark passed ``size_bytes`` of batches, the last stable offset ``stable_bytes``: who is ready."""
        waits = self._by_partition.get(partition)
        if not waits:
            return []
        ready = []
        for wait in waits:
            wait._lacking_bytes -= stable_bytes if wait.read_committed else size_bytes
            if wait._lacking_bytes <= 0:
                ready.append(wait)
        return self._finish(ready)

    def failed(self, partition: TopicPartition) -> list[W]:
        """The partition has an answer of its own now (an error, another log start): all its waits are ready."""
        return self._finish(list(self._by_partition.get(partition, ())))

    def expire(self, now: float) -> list[W]:
        """Waits whose deadline is reached, the earliest first."""
        expired = []
        while self._by_deadline and self._by_deadline[0][0] <= now:
            wait = heapq.heappop(self._by_deadline)[2]
            if not wait.over:
                expired.append(wait)
        return self._finish(expired)

    def cancel(self, wait: Wait[W]) -> None:
        """Its connection is gone. A wait that is over already is passed over."""
        if not wait.over:
            self._finish([wait])

    def close(self) -> list[W]:
        """All that wait, as the leader stops."""
        return self._finish([wait for _, _, wait in sorted(self._by_deadline) if not wait.over])

    def validate(self) -> None:
        waits = {wait for _, _, wait in self._by_deadline if not wait.over}
        assert len(waits) == self._count <= self._waits_max
        assert len(self._by_deadline) <= 2 * self._count + _SLACK
        for partition, members in self._by_partition.items():
            assert members and all(wait in waits and partition in wait._partitions for wait in members), partition
        assert all(wait in self._by_partition[partition] for wait in waits for partition in wait._partitions)

    def _finish(self, waits: list[Wait[W]]) -> list[W]:
        for wait in waits:
            wait.over = True
            for partition in wait._partitions:
                members = self._by_partition[partition]
                members.pop(wait, None)
                if not members:
                    del self._by_partition[partition]
        self._count -= len(waits)
        if len(self._by_deadline) > 2 * self._count + _SLACK:
            # Waits that were answered early leave their deadline behind: swept here, at a cost their number has paid for.
            self._by_deadline = [item for item in self._by_deadline if not item[2].over]
            heapq.heapify(self._by_deadline)
        return [wait.waiter for wait in waits]


_SLACK = 64
