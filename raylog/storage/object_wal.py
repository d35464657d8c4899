"""The WAL that is the leader log itself: an entry is durable when the slot that holds it is. Nothing else is written.

The latency of an acknowledgement is the flush policy's interval plus one PUT; the cost is one PUT for all partitions together.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable

from raylog.model.ids import LogEpoch, Lsn
from raylog.storage.wal import FlushPolicy, WalEntry

_SLOTS_PENDING_MAX = 32
"""Full slots that may wait for the bucket: twice what the leader log keeps in flight."""


class ObjectWal:
    """See ``Wal``."""

    can_read_back = False

    def __init__(self, *, flush_policy: FlushPolicy) -> None:
        self.flush_policy = flush_policy
        self._pending: deque[tuple[Lsn, int]] = deque()
        self._pending_bytes = 0
        self._pending_bytes_max = flush_policy.max_bytes * _SLOTS_PENDING_MAX
        self._last_lsn = Lsn(0)
        self._durable_lsn = Lsn(0)
        self._on_durable: Callable[[Lsn], None] | None = None

    @property
    def durable_lsn(self) -> Lsn:
        return self._durable_lsn

    async def open(self, epoch: LogEpoch, *, expected: bool = False) -> None:
        """The leader log's open slot has fenced earlier writers already."""

    async def recover(self) -> AsyncIterator[WalEntry]:
        """Nothing: what was acknowledged is in slots."""
        nothing: tuple[WalEntry, ...] = ()
        for entry in nothing:
            yield entry

    def start(self, on_durable: Callable[[Lsn], None], on_fatal: Callable[[Exception], None]) -> None:
        """``on_fatal`` is never called: the leader hears from its log itself when that ends."""
        self._on_durable = on_durable

    def append(self, entry: WalEntry) -> None:
        assert entry.lsn == self._last_lsn + 1, f"LSN {entry.lsn} after {self._last_lsn}"
        self._last_lsn = entry.lsn
        self._pending.append((entry.lsn, entry.size_bytes))
        self._pending_bytes += entry.size_bytes

    def has_room(self, size_bytes: int, *, beyond_bytes: int = 0) -> bool:
        return not self._pending or self._pending_bytes + size_bytes <= self._pending_bytes_max + beyond_bytes

    async def read_back(self, first_lsn: Lsn, last_lsn: Lsn) -> list[WalEntry]:
        raise AssertionError("entries of an object WAL are nowhere but in memory until their slot is durable")

    def cut(self, lsn: Lsn) -> None:
        """Nothing is kept anywhere but in slots."""

    def flushed(self, lsn: Lsn) -> None:
        while self._pending and self._pending[0][0] <= lsn:
            self._pending_bytes -= self._pending.popleft()[1]
        if lsn > self._durable_lsn:
            assert self._on_durable is not None, "start comes first"
            self._durable_lsn = lsn
            self._on_durable(lsn)

    async def close(self) -> None:
        """The leader cuts its last slot itself."""
