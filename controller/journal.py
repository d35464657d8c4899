"""The metadata log with the states that it makes: many callers submit changes, one task writes them, one slot for all that came.

A change is decided on ``planned``, which already has the changes on their way, so that two callers cannot both create a
topic. Nobody is answered, an error included, before all that the answer builds on is durable (invariant 2): so every
caller waits for ``settled``. What others are shown comes from ``durable``.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from controller.metrics import ControllerMetrics
from controller.records import Record, decode_records, encode_records
from controller.state import MetadataState
from raylog.model.clock import Clock, Random
from raylog.model.errors import RetryError, reading
from raylog.model.ids import LeaderId
from raylog.model.limits import LogLimits
from raylog.model.logs import RoleLogger, fields
from raylog.storage.checkpoint import Checkpoint
from raylog.storage.fenced_log import FencedLog
from raylog.storage.keys import METADATA_PREFIX, checkpoint_key
from raylog.storage.object_store import ObjectStore, Priority
from raylog.storage.slot_format import WRITER_ID_BYTES, Slot

_REOPEN_S: Final = 0.2

OnCommit = Callable[[int, Sequence[Record], frozenset[LeaderId]], None]
"""Called with the slot's number, its records, and the leaders whose assignments they changed."""


class Journal:
    """Open it with ``open_journal``; then ``run`` and ``run_checkpoints`` must be running."""

    def __init__(
        self,
        log: FencedLog,
        planned: MetadataState,
        durable: MetadataState,
        *,
        slots_replayed: int,
        checkpoint_slots: int,
        clock: Clock,
        metrics: ControllerMetrics,
        role_log: RoleLogger,
    ) -> None:
        self.planned = planned
        self.durable = durable
        self._log = log
        self._clock = clock
        self._metrics = metrics
        self._role_log = role_log
        self._queue: list[Record] = []
        self._submitted = 0
        self._committed = 0
        self._work = asyncio.Event()
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._checkpoint_slots = checkpoint_slots
        self._since_checkpoint = slots_replayed
        self._checkpoint_due = asyncio.Event()
        self._ended: str | None = None

    @property
    def slot(self) -> int:
        """The slot after which ``durable`` is the state."""
        return self._log.acknowledged_slot

    @property
    def epoch(self) -> int:
        return self._log.epoch

    def submit(self, records: Sequence[Record]) -> None:
        """Have these written, in this order, all in one slot; ``planned`` has them from now on."""
        for record in records:
            self.planned.apply(record)
        self._queue.extend(records)
        self._submitted += len(records)
        if records:
            self._work.set()

    async def settled(self) -> None:
        """Return once all that was submitted so far is durable. Raises RetryError when the journal has ended before that."""
        if self._ended is not None:
            raise RetryError(self._ended)
        if self._committed < self._submitted:
            done = asyncio.get_running_loop().create_future()
            self._waiting.append((self._submitted, done))
            await done

    async def run(self, on_commit: OnCommit) -> None:
        """Write what is submitted until cancelled. Raises FencedError when another controller has taken over."""
        while True:
            await self._work.wait()
            self._work.clear()
            records, self._queue = self._queue, []
            position = self._submitted
            started_s = self._clock.monotonic()
            slot = await self._log.append((), encode_records(records), priority=Priority.LEADERSHIP)
            self._metrics.slot_seconds.observe(self._clock.monotonic() - started_s)
            affected: frozenset[LeaderId] = frozenset()
            for record in records:
                affected |= self.durable.apply(record)
            self._committed = position
            on_commit(slot, records, affected)
            while self._waiting and self._waiting[0][0] <= position:
                done = self._waiting.popleft()[1]
                if not done.done():
                    done.set_result(None)
            self._since_checkpoint += 1
            if self._since_checkpoint >= self._checkpoint_slots:
                self._checkpoint_due.set()

    async def run_checkpoints(self) -> None:
        """Write the state down whenever enough slots have come, and trim the log, until cancelled."""
        while True:
            await self._checkpoint_due.wait()
            self._checkpoint_due.clear()
            self._since_checkpoint = 0
            slot, state = self.slot, encode_records(self.durable.to_records())
            try:
                await self._log.write_checkpoint(slot, state)
                trimmed = await self._log.trim(slot)
            except RetryError as error:
                self._role_log.warning(
                    "the metadata is not checkpointed now, but after further slots", extra=fields(error=error)
                )
            else:
                self._role_log.info("the metadata is checkpointed", extra=fields(slot=slot, trimmed=trimmed))

    def end(self, reason: str) -> None:
        """Refuse and release all callers: they are told RetryError with ``reason``. Idempotent."""
        self._ended = self._ended or reason
        while self._waiting:
            done = self._waiting.popleft()[1]
            if not done.done():
                done.set_exception(RetryError(self._ended))

    async def close(self) -> None:
        """Let the slot under way land. To be called when nothing runs any more. Idempotent."""
        await self._log.close()


async def open_journal(
    store: ObjectStore,
    *,
    clock: Clock,
    rng: Random,
    limits: LogLimits,
    checkpoint_slots: int,
    metrics: ControllerMetrics,
    role_log: RoleLogger,
) -> Journal:
    """Take the metadata log over: whoever wrote it before is fenced. Waits while the bucket is away. Raises CorruptError."""
    while True:
        log = FencedLog(
            store, METADATA_PREFIX, writer_id=rng.randbytes(WRITER_ID_BYTES), clock=clock, rng=rng, limits=limits
        )
        planned, durable = MetadataState(), MetadataState()
        slots = 0
        try:
            checkpoint = await log.latest_checkpoint()
            records = checkpoint_records(checkpoint)
            async for slot in log.open(checkpoint):
                slots += 1
                records += slot_records(slot)
        except RetryError as error:
            role_log.warning("the metadata log cannot be opened, trying again", extra=fields(error=error))
            await clock.sleep(_REOPEN_S)
            continue
        for record in records:
            planned.apply(record)
            durable.apply(record)
        return Journal(
            log,
            planned,
            durable,
            slots_replayed=slots,
            checkpoint_slots=checkpoint_slots,
            clock=clock,
            metrics=metrics,
            role_log=role_log,
        )


def checkpoint_records(checkpoint: Checkpoint | None) -> list[Record]:
    """What a checkpoint of the metadata log says; None: nothing yet. Raises CorruptError."""
    if checkpoint is None:
        return []
    with reading(f"'{checkpoint_key(METADATA_PREFIX, checkpoint.slot)}'"):
        return decode_records(checkpoint.state)


def slot_records(slot: Slot) -> list[Record]:
    """What a slot of the metadata log says. Raises CorruptError."""
    with reading(f"'{slot.key}'"):
        return decode_records(slot.meta) if slot.meta else []
