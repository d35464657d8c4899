"""The port to a write-ahead log: it decides when a write may be acknowledged.

The leader appends every entry to its WAL in the order of its write buffer, cuts the buffer into slots of its leader log
when the ``FlushPolicy`` says so, and tells the WAL when a slot is durable. The WAL calls back when entries are durable:

- ``ObjectWal``: an entry is durable when the slot that holds it is (``flushed`` moves ``durable_lsn``). Nothing else is written.
- ``FileWal``: an entry is durable when its group commit's ``fdatasync`` is done and the fence file still shows this
  writer's epoch; ``flushed`` lets the WAL trim its segments.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from raylog.model.buffers import Buffer
from raylog.model.ids import LogEpoch, Lsn, TopicPartition


class WalEntry(NamedTuple):
    """Batches appended to one partition in one step, or the take-over that stands before the first of them. ``parts`` joined are
    whole record batches, offsets already assigned, or the take-over's bytes. A tuple, as one is made for each append."""

    lsn: Lsn
    partition: TopicPartition
    parts: tuple[Buffer, ...]
    size_bytes: int
    is_take_over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushPolicy:
    """When the leader's write buffer is cut into a slot.

    With ``immediate`` the first entry after a quiet interval is cut at once, and after that one slot at most each
    ``interval_ms`` unless ``max_bytes`` is reached; without it the buffer waits ``interval_ms`` from its first entry.
    """

    interval_ms: int
    max_bytes: int
    immediate: bool

    @property
    def gather_s(self) -> float:
        """So long a new leader's first slot waits for those who come back to it."""
        return self.interval_ms / 10_000 if self.immediate else 0.0

    def cut_at_s(self, last_cut_s: float, first_entry_s: float) -> float:
        """When what has waited since ``first_entry_s`` is due, unless it has ``max_bytes`` before."""
        return (last_cut_s if self.immediate else first_entry_s) + self.interval_ms / 1000


class Wal(Protocol):
    flush_policy: FlushPolicy
    can_read_back: bool
    """Whether it keeps entries readable until they are in durable slots."""

    @property
    def durable_lsn(self) -> Lsn:
        """All entries up to here are durable, in order."""
        ...

    async def open(self, epoch: LogEpoch, *, expected: bool = False) -> None:
        """Take the WAL over at the log's new epoch: earlier writers are fenced before this returns.

        ``expected`` says that an earlier epoch has written to this WAL, so that an empty place is the wrong place.
        Raises FencedError when a higher epoch already holds it, RetryError when it is not reachable; after that it may be
        tried again.
        """
        ...

    def recover(self) -> AsyncIterator[WalEntry]:
        """After ``open`` and before the first append: what earlier epochs left, in append order; a torn tail is dropped.

        Entries may lie at offsets that slots already hold: the leader compares offsets and skips them.
        Their ``lsn`` are the old writer's; an entry at or below a partition's end offset is a duplicate.
        """
        ...

    def start(self, on_durable: Callable[[Lsn], None], on_fatal: Callable[[Exception], None]) -> None:
        """Begin to accept appends. ``on_durable(lsn)`` is called on the event loop, in rising order.

        ``on_fatal`` is called once with FencedError, or with the I/O error that ended the WAL; nothing is acknowledged after it.
        """
        ...

    def append(self, entry: WalEntry) -> None:
        """Queue an entry; never blocks. Room is asked first with ``has_room``."""
        ...

    def has_room(self, size_bytes: int, *, beyond_bytes: int = 0) -> bool:
        """False when the WAL is full: the leader then holds requests back until ``flushed`` makes room, and asks again each
        second or so, as room on a full disk may also come from elsewhere. ``beyond_bytes`` more than that may wait for room."""
        ...

    async def read_back(self, first_lsn: Lsn, last_lsn: Lsn) -> list[WalEntry]:
        """The entries that were appended with these LSNs and are not all ``flushed``, once they are written.

        Raises OSError when they cannot be read; CorruptError when they are not there, as they are not after ``flushed``.
        """
        ...

    def cut(self, lsn: Lsn) -> None:
        """All entries up to ``lsn`` go into slots that are being written, or are in them; those behind it into later ones."""
        ...

    def flushed(self, lsn: Lsn) -> None:
        """All entries up to ``lsn`` are in durable slots of the leader log; from 1 on, so is all that ``recover`` gave."""
        ...

    async def close(self) -> None:
        """Sync what is queued, then stop. Idempotent."""
        ...
