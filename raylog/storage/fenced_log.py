"""The fenced log: a sequence of immutable slots in the bucket with one writer at a time. The metadata log and every leader log.

- A slot's number is taken by put-if-absent: the bucket lets one writer have it. That is all the fencing there is.
- **Open**: replay to the first free number and take it with an open slot one epoch up. Never past a hole: a late put of the
  old writer could fill it and be acknowledged.
- **Append**: up to ``MAX_IN_FLIGHT`` puts at once, acknowledged strictly in order. A number found taken by a higher epoch means
  fenced, for ever; by this writer itself, that an answer was lost; by a lower epoch, a fenced writer's orphan, which is stepped
  over. Orphans lie less than ``MAX_IN_FLIGHT`` above an open slot, because a writer has no more under way beyond what it has
  acknowledged; so there slots go one at a time, and stepping over keeps their order.
- **Recency**: fences are occupied slots, and trimming frees numbers. A slot therefore outlives the checkpoint that covers it by
  ``trim_grace_s``, and a writer that cannot show that less than half of that has passed since it began its last proven put
  reads the newest checkpoint's number before it acknowledges: a checkpoint at or above its own slot means fenced. The other
  half is for clocks that disagree. An opener who looked for the newest checkpoint so recently need not look again; one whose
  replay took longer looks likewise.
"""

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from raylog.model.buffers import Buffer
from raylog.model.clock import Clock, Random
from raylog.model.errors import CorruptError, FencedError, RaylogError
from raylog.model.ids import LogEpoch
from raylog.model.limits import LogLimits
from raylog.storage.checkpoint import Checkpoint, list_checkpoints, write_checkpoint
from raylog.storage.keys import slot_key
from raylog.storage.log_replay import FIRST_SLOT, LogReplay, trimmed_meanwhile
from raylog.storage.log_store import LogStore
from raylog.storage.object_store import ObjectStore, Priority
from raylog.storage.slot_format import Slot, SlotKind, SlotRecord, record_of

MAX_IN_FLIGHT = 16
"""Slots of one writer under way at once. Part of the format: openers count on where a fenced writer's slots can lie."""


@dataclass(slots=True, eq=False)
class _Append:
    body: Sequence[Buffer]
    meta: bytes
    done: asyncio.Future[int]
    by_s: float = math.inf
    priority: Priority = Priority.WAL
    slot: int = 0
    sent_at_s: float = 0.0
    """Boottime before the first put under ``slot``: no later than the moment the slot was taken."""
    durable: bool = False


class FencedLog:
    """One attempt to be the log's writer: open it once, append until closed or fenced.

    ``writer_id``: 16 bytes, drawn anew for every instance.
    """

    def __init__(
        self,
        store: ObjectStore,
        prefix: str,
        *,
        writer_id: bytes,
        clock: Clock,
        rng: Random,
        limits: LogLimits | None = None,
    ) -> None:
        self._limits = limits or LogLimits()
        self._store = LogStore(store, prefix, clock, rng, self._limits)
        self._prefix = prefix
        self._writer_id = writer_id
        self._clock = clock
        self._epoch = LogEpoch(0)
        self._open_slot = 0
        self._acknowledged_slot = 0
        self._next_slot = 0
        self._serial_until = 0
        self._proven_at_s = -math.inf
        """Boottime at which numbers above the last proven slot, or above the checkpoint to open from, had not been trimmed."""
        self._failure: Exception | None = None
        self._waiting: deque[_Append] = deque()
        self._in_flight: deque[_Append] = deque()
        self._puts: set[asyncio.Task[None]] = set()
        self._acknowledging = False
        self._trimmed_below = FIRST_SLOT

    @property
    def epoch(self) -> LogEpoch:
        """The epoch this writer holds; 0 until ``open`` is exhausted."""
        return self._epoch

    @property
    def writer_id(self) -> bytes:
        return self._writer_id

    @property
    def open_slot(self) -> int:
        """The number of this writer's open slot: the state after the replay is the state after this slot."""
        return self._open_slot

    @property
    def acknowledged_slot(self) -> int:
        """The highest slot that is proven to be this writer's, with everything below."""
        return self._acknowledged_slot

    async def latest_checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint, to ``open`` the log from. Raises CorruptError, and the store's RetryError."""
        looked_at_s = self._clock.boottime()
        checkpoint = await self._store.latest_checkpoint()
        self._proven_at_s = looked_at_s
        return checkpoint

    async def open(self, checkpoint: Checkpoint | None) -> AsyncGenerator[Slot, None]:
        """Replay what lies after the newest checkpoint (None: there is none), then take the log over.

        Yields the slots of every epoch in log order (kind OPEN too, its meta empty; fenced writers' orphans not). When it is
        exhausted this writer's open slot is durable and every earlier writer is fenced. Store errors are tried again for ever;
        raises CorruptError, and RetryError when the log was trimmed past the checkpoint meanwhile: then begin again with a
        new instance and ``latest_checkpoint``.
        """
        assert not self._open_slot, "a FencedLog is opened once"
        replay = LogReplay(self._store, checkpoint)
        while True:
            async with aclosing(replay.slots()) as slots:
                async for slot in slots:
                    yield slot
            epoch = LogEpoch(replay.epoch + 1)
            record = self._record(SlotKind.OPEN, replay.next_slot, epoch, (), b"")
            holder = await self._store.claim(record, (), b"", Priority.LEADERSHIP)
            if holder == record:
                break
            if holder is None:
                raise trimmed_meanwhile(self._prefix)
        if self._must_prove() and not await self._is_untrimmed(record.slot):
            raise trimmed_meanwhile(self._prefix)
        self._epoch = epoch
        self._open_slot = self._acknowledged_slot = record.slot
        self._next_slot = record.slot + 1
        # The first writer of a log has no predecessor who could have left orphans.
        self._serial_until = record.slot + MAX_IN_FLIGHT if epoch > 1 else record.slot

    async def append(
        self, body: Sequence[Buffer], meta: bytes, *, by_s: float = math.inf, priority: Priority = Priority.WAL
    ) -> int:
        """Write the next slot; returns its number once it and every slot before it is durable and this writer's.

        The order of calls is the order of slots; at most MAX_IN_FLIGHT are under way, later ones wait. The buffers must not
        change until it returns. Store errors are tried again for ever; but a slot that is not acknowledged ``by_s`` (boottime)
        ends the log as a fence does, as what it names may be gone then: the next writer's open slot keeps it out. Raises
        FencedError for ever after a fence, and whatever else ended the log. Cancelling the call does not take the slot back.
        """
        self._check_usable()
        done = asyncio.get_running_loop().create_future()
        append = _Append(body=body, meta=meta, done=done, by_s=by_s, priority=priority)
        append.done.add_done_callback(_mark_retrieved)
        if by_s < math.inf:
            seconds = max(0.0, by_s - self._clock.boottime())
            timer = asyncio.get_running_loop().call_later(seconds, self._end, self._late())
            append.done.add_done_callback(lambda _: timer.cancel())
        self._waiting.append(append)
        self._start_puts()
        return await asyncio.shield(append.done)

    async def write_checkpoint(self, slot: int, state: bytes) -> None:
        """Keep ``state`` as the state after ``slot``: the open slot or an acknowledged one. Raises FencedError, RetryError."""
        self._check_usable()
        assert self._open_slot <= slot <= self._acknowledged_slot, (self._open_slot, slot, self._acknowledged_slot)
        checkpoint = Checkpoint(slot=slot, epoch=self._epoch, writer_id=self._writer_id, state=state)
        await write_checkpoint(self._store.store, self._prefix, checkpoint)

    async def trim(self, below: int) -> int:
        """Delete slots below ``below`` as far as the grace allows, and checkpoints no longer needed; returns the slots deleted.

        Never reaches the newest checkpoint that is older than the grace, so it may be called with any number. Raises RetryError.
        """
        store = self._store.store
        aged_before_ms = self._clock.wall_ms() - int(self._limits.trim_grace_s * 1000)
        checkpoints = [listed async for listed in list_checkpoints(store, self._prefix)]
        aged = [slot for slot, found in checkpoints if found.modified_ms <= aged_before_ms]
        if not aged:
            return 0
        covered = aged[-1]
        keys = []
        async with aclosing(self._store.list_slots(self._trimmed_below - 1)) as slots:
            async for number, found in slots:
                if number >= min(below, covered):
                    break
                keys.append(found.key)
        await store.delete(keys)
        await store.delete([found.key for slot, found in checkpoints if slot < covered])
        self._trimmed_below = max(self._trimmed_below, min(below, covered))
        return len(keys)

    async def close(self) -> None:
        """Wait for the slots under way, then refuse further appends. Idempotent; when cancelled it gives the puts up."""
        try:
            while self._puts:
                await asyncio.wait(self._puts)
        finally:
            self._end(RaylogError(f"The log '{self._prefix}' is closed."))
            await asyncio.gather(*self._puts, return_exceptions=True)

    def _check_usable(self) -> None:
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        assert self._open_slot, "a FencedLog is opened before it is used"

    def _record(self, kind: SlotKind, slot: int, epoch: LogEpoch, body: Sequence[Buffer], meta: bytes) -> SlotRecord:
        return record_of(kind=kind, slot=slot, epoch=epoch, writer_id=self._writer_id, body=body, meta=meta)

    def _start_puts(self) -> None:
        while self._waiting and self._failure is None and self._may_start():
            append = self._waiting.popleft()
            append.slot = self._next_slot
            self._next_slot += 1
            self._in_flight.append(append)
            put = asyncio.create_task(self._put(append), name=f"put {slot_key(self._prefix, append.slot)}")
            self._puts.add(put)
            put.add_done_callback(self._put_ended)

    def _may_start(self) -> bool:
        if not self._in_flight:
            return True
        return self._in_flight[0].slot > self._serial_until and len(self._in_flight) < MAX_IN_FLIGHT

    async def _put(self, append: _Append) -> None:
        await self._take_number(append)
        append.durable = True
        await self._acknowledge()

    async def _take_number(self, append: _Append) -> None:
        """Return once the slot holds the append, under the first number from its own that no orphan has."""
        while True:
            record = self._record(SlotKind.APPEND, append.slot, self._epoch, append.body, append.meta)
            append.sent_at_s = self._clock.boottime()
            if append.sent_at_s > append.by_s:  # after a sleep the put would leave before the timer is heard
                raise self._late()
            holder = await self._store.claim(record, append.body, append.meta, append.priority)
            if holder == record:
                return
            if holder is None or holder.epoch > self._epoch:
                raise FencedError(f"The log '{self._prefix}' was taken over at slot {append.slot}.")
            if holder.epoch == self._epoch or append.slot > self._serial_until:
                raise CorruptError(
                    f"Slot {append.slot} of the log '{self._prefix}' was written at epoch {holder.epoch} where epoch "
                    f"{self._epoch} alone may write."
                )
            assert len(self._in_flight) == 1, "orphans are met one at a time"
            append.slot += 1
            self._next_slot = append.slot + 1

    async def _acknowledge(self) -> None:
        """Answer the appends that are durable with all before them. One runner at a time: it sees what becomes so meanwhile."""
        if self._acknowledging:
            return
        self._acknowledging = True
        try:
            while self._in_flight and self._in_flight[0].durable:
                append = self._in_flight[0]
                if self._must_prove():
                    await self._prove(append.slot)
                if self._clock.boottime() > append.by_s:  # the machine may have slept since
                    raise self._late()
                self._proven_at_s = max(self._proven_at_s, append.sent_at_s)
                self._in_flight.popleft()
                self._acknowledged_slot = append.slot
                append.done.set_result(append.slot)
        finally:
            self._acknowledging = False
        self._start_puts()

    def _late(self) -> FencedError:
        return FencedError(f"A slot of the log '{self._prefix}' was not there in time: what it names may be gone.")

    def _must_prove(self) -> bool:
        """Whether the log may have been trimmed past a number that is held to be free since it was last looked at."""
        return self._clock.boottime() - self._proven_at_s >= self._limits.trim_grace_s / 2

    async def _prove(self, slot: int) -> None:
        """Show that the log was not trimmed past a slot whose put has returned."""
        if not await self._is_untrimmed(slot):
            raise FencedError(f"The log '{self._prefix}' was taken over and trimmed past slot {slot}.")

    async def _is_untrimmed(self, slot: int) -> bool:
        looked_at_s = self._clock.boottime()
        if await self._store.newest_checkpoint_slot() >= slot:
            return False
        self._proven_at_s = max(self._proven_at_s, looked_at_s)
        return True

    def _put_ended(self, put: asyncio.Task[None]) -> None:
        self._puts.discard(put)
        if not put.cancelled() and (error := put.exception()) is not None:
            assert isinstance(error, Exception)
            self._end(error)

    def _end(self, reason: Exception) -> None:
        """Nothing is acknowledged after this; the first reason stays."""
        if self._failure is None:
            self._failure = reason
        for append in (*self._in_flight, *self._waiting):
            if not append.done.done():
                append.done.set_exception(self._failure)
        self._in_flight.clear()
        self._waiting.clear()
        for put in self._puts:
            put.cancel()


def _mark_retrieved(done: asyncio.Future[int]) -> None:
    """The caller of an append may be gone (cancelled); the log's end is no news then."""
    done.exception()
