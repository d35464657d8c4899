"""Reading a fenced log in slot order: tails are fetched many at once, judged and yielded one by one. Only the one that is next
in order is hedged, as everything waits for it; more would take places from the others.

The rule: an open slot raises the epoch; a slot below the epoch reached is a fenced writer's orphan and says nothing; the log
ends at the first number that no object has, whatever lies beyond.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator

from raylog.model.errors import CorruptError, NotFoundError, RetryError
from raylog.model.ids import LogEpoch
from raylog.storage.checkpoint import Checkpoint
from raylog.storage.log_store import LogStore
from raylog.storage.object_store import ObjectMeta
from raylog.storage.slot_format import Slot, SlotKind, SlotRecord

FIRST_SLOT = 1
"""So that 0 is "before the log"."""

_Read = asyncio.Task[tuple[SlotRecord, bytes]]


class LogReplay:
    """Where a replay stands. ``slots`` may be called again, to read on where the log ended the last time."""

    def __init__(self, store: LogStore, checkpoint: Checkpoint | None) -> None:
        self._store = store
        self.next_slot = FIRST_SLOT if checkpoint is None else checkpoint.slot + 1
        """After ``slots`` is exhausted: the first free number."""
        self.epoch = LogEpoch(0 if checkpoint is None else checkpoint.epoch)
        self.writer_id = b"" if checkpoint is None else checkpoint.writer_id
        """Who holds the log at ``epoch``."""

    async def slots(self) -> AsyncGenerator[Slot, None]:
        """The slots from ``next_slot`` to the log's end, without orphans. Raises CorruptError, RetryError (trimmed meanwhile)."""
        reads: deque[tuple[ObjectMeta, _Read]] = deque()
        expected = self.next_slot
        try:
            for number, found in await self._store.slots_above(expected - 1):
                if number != expected:
                    break
                expected += 1
                reads.append((found, asyncio.create_task(self._store.read_slot(found))))
                if len(reads) >= self._store.limits.replay_prefetch:
                    slot = await self._next(*reads[0])
                    reads.popleft()
                    if slot is not None:
                        yield slot
            while reads:
                slot = await self._next(*reads[0])
                reads.popleft()
                if slot is not None:
                    yield slot
        finally:
            for _, read in reads:
                read.cancel()
            await asyncio.gather(*(read for _, read in reads), return_exceptions=True)

    async def _next(self, found: ObjectMeta, read: _Read) -> Slot | None:
        try:
            record, meta = await self._store.read_slot_soon(found, read)
        except NotFoundError as error:
            raise trimmed_meanwhile(self._store.prefix) from error
        self.next_slot = record.slot + 1
        if not self._belongs(record, found.key):
            return None
        return Slot(
            number=record.slot,
            epoch=record.epoch,
            kind=record.kind,
            key=found.key,
            size_bytes=found.size,
            body_bytes=record.body_bytes,
            meta=meta,
        )

    def _belongs(self, record: SlotRecord, key: str) -> bool:
        """Whether the slot is part of the log. False for an orphan."""
        if record.epoch < self.epoch:
            return False
        if record.kind is SlotKind.OPEN and record.epoch > self.epoch:
            self.epoch = record.epoch
            self.writer_id = record.writer_id
        elif record.kind is not SlotKind.APPEND or (record.epoch, record.writer_id) != (self.epoch, self.writer_id):
            raise CorruptError(
                f"Slot '{key}' of epoch {record.epoch} was written by someone who did not hold the log: two writers shared "
                "an epoch, which a bucket that honours If-None-Match does not allow."
            )
        return True


def trimmed_meanwhile(prefix: str) -> RetryError:
    """What an opener raises when the log under ``prefix`` went on and was trimmed past the checkpoint that it began from."""
    return RetryError(f"The log '{prefix}' was trimmed while it was opened from an old checkpoint: open it again.")
