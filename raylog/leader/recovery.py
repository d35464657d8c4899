"""From the bucket and the WAL to partitions that can serve: checkpoint, slots, open slot, WAL tail. In this order, because the
open slot fences the old writer's slots and the WAL's fence its entries; only then is what is read all that there will be.

The bucket being away, or the WAL, is waited for, visibly: coming up without the tail would lose what was acknowledged.

What only the WAL has is kept in memory for the slots to come, up to half of what may be held there. A longer tail, as an outage
of the bucket leaves, is brought into slots at once, piece by piece; should this writer end meanwhile, the next one finds them.
"""

from contextlib import aclosing
from dataclasses import dataclass

from raylog.leader.backoff import backoff
from raylog.leader.checkpoint_format import decode_checkpoint_state
from raylog.leader.handover_reader import HandoverReader, source_of
from raylog.leader.log_state import Led, LogState
from raylog.leader.releases import Releases
from raylog.leader.write_buffer import WriteBuffer
from raylog.model.clock import Clock, Random
from raylog.model.errors import RetryError, reading
from raylog.model.ids import LeaderEpoch, LeaderId, Lsn, TopicPartition
from raylog.model.limits import LeaderLimits, Limits, LogLimits
from raylog.model.logs import RoleLogger, fields
from raylog.partition.outcomes import PlacedBatch
from raylog.protocol.batch import headers
from raylog.storage.checkpoint import Checkpoint
from raylog.storage.data_object import decode_meta, encode_meta
from raylog.storage.fenced_log import FencedLog
from raylog.storage.keys import checkpoint_key, leader_prefix
from raylog.storage.object_store import ObjectStore
from raylog.storage.slot_events import TakeOver
from raylog.storage.slot_format import WRITER_ID_BYTES, SlotKind
from raylog.storage.wal import Wal, WalEntry
from raylog.storage.wal_take_over import decode_take_over


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """``log`` is open at its new epoch, the WAL is open and read; partitions have become leaders at their new epochs."""

    log: FencedLog
    partitions: dict[TopicPartition, Led]
    taken_over: list[TakeOver]
    """Take-overs that only the WAL holds, of some of the partitions: to be written before the tail."""
    tail: list[tuple[TopicPartition, tuple[PlacedBatch, ...]]]
    """What only the WAL holds besides, in append order."""
    releases: Releases
    slots: int
    """Replayed, and those written since."""
    rows: int
    """Of these slots."""
    last_slot: int
    """That the partitions have: the open slot, or the last one written since."""


async def recover(
    *,
    leader_id: LeaderId,
    store: ObjectStore,
    wal: Wal,
    clock: Clock,
    rng: Random,
    limits: Limits,
    logger: RoleLogger,
) -> Recovered:
    """Raises FencedError when another process takes the same leader over meanwhile, CorruptError."""
    began_s = clock.monotonic()
    log, state, slots, rows, has_written = await _open_log(leader_id, store, clock, rng, limits.log, logger)
    logger.info(
        "the leader log is replayed",
        extra=fields(epoch=log.epoch, slots=slots, rows=rows, seconds=round(clock.monotonic() - began_s, 3)),
    )
    for pause in backoff(rng):
        try:
            await wal.open(log.epoch, expected=has_written)
            break
        except RetryError as error:
            logger.warning("the WAL is not reachable, the leader waits for it", extra=fields(error=error))
            await clock.sleep(pause)
    tail = _Tail(leader_id, log, state, limits.leader)
    reader = HandoverReader(store)
    now_ms = clock.wall_ms()
    async for entry in wal.recover():
        if entry.is_take_over:
            await _replay_take_over(entry, state, tail, reader, clock, rng, logger)
        else:
            await _replay_batches(entry, state, tail, now_ms)
    for led in state.partitions.values():
        led.core.become_leader(LeaderEpoch(led.epoch_base + log.epoch))
    return Recovered(
        log=log,
        partitions=state.partitions,
        taken_over=tail.taken_over,
        tail=tail.kept,
        releases=state.releases,
        slots=slots + tail.slots,
        rows=rows + tail.rows,
        last_slot=tail.last_slot,
    )


async def _open_log(
    leader_id: LeaderId, store: ObjectStore, clock: Clock, rng: Random, limits: LogLimits, logger: RoleLogger
) -> tuple[FencedLog, LogState, int, int, bool]:
    """The open log, its state, the slots replayed and their rows, and whether an earlier epoch got as far as its WAL."""
    prefix = leader_prefix(leader_id)
    for pause in backoff(rng):
        log = FencedLog(store, prefix, writer_id=rng.randbytes(WRITER_ID_BYTES), clock=clock, rng=rng, limits=limits)
        try:
            checkpoint = await log.latest_checkpoint()
            state = state_at(leader_id, checkpoint)
            reader = HandoverReader(store)
            slots = rows = 0
            has_written = checkpoint is not None
            async with aclosing(log.open(checkpoint)) as replay:
                async for slot in replay:
                    slots += 1
                    if slot.kind is SlotKind.APPEND:
                        has_written = True
                        with reading(f"'{slot.key}'"):
                            meta = decode_meta(slot.meta)
                        rows += meta.row_count
                        handed = await reader.handed_to(prefix, slot.number, state.taken_over(meta))
                        state.apply(slot.number, meta, handed)
        except RetryError as error:
            logger.warning("the leader log cannot be read now, trying again", extra=fields(error=error))
            await clock.sleep(pause)
            continue
        return log, state, slots, rows, has_written
    raise AssertionError("pauses never end")


def state_at(leader_id: LeaderId, checkpoint: Checkpoint | None) -> LogState:
    """What a leader's log says up to its checkpoint; None: nothing yet. Raises CorruptError."""
    if checkpoint is None:
        return LogState(leader_id)
    with reading(f"'{checkpoint_key(leader_prefix(leader_id), checkpoint.slot)}'"):
        return LogState(leader_id, decode_checkpoint_state(checkpoint.state))


class _Tail:
    """What the WAL has beyond the slots, as it is read."""

    def __init__(self, leader_id: LeaderId, log: FencedLog, state: LogState, limits: LeaderLimits) -> None:
        self._leader_id = leader_id
        self._log = log
        self._state = state
        self._limits = limits
        self._kept_bytes = 0
        self.taken_over: list[TakeOver] = []
        self.kept: list[tuple[TopicPartition, tuple[PlacedBatch, ...]]] = []
        self.last_slot = log.open_slot
        self.slots = 0
        """Written."""
        self.rows = 0
        """Of these slots."""

    async def add(self, partition: TopicPartition, batches: tuple[PlacedBatch, ...]) -> None:
        """Raises FencedError when it has to be written and another writer has come."""
        self.kept.append((partition, batches))
        self._kept_bytes += sum(batch.size_bytes for batch in batches)
        if self._kept_bytes > self._limits.unflushed_bytes_max // 2:
            await self._write()

    async def _write(self) -> None:
        buffer = WriteBuffer(self._limits.plan_run_bytes_max)
        for event in self.taken_over:
            buffer.add_event(event)  # they take effect before the batches, as in the WAL
        for partition, batches in self.kept:
            buffer.add(Lsn(0), partition, batches)
        cut = buffer.cut()
        slot = await self._log.append(cut.body, encode_meta(cut.meta))
        for partition, settled in cut.partitions.items():
            led = self._state.partitions[partition]
            led.core.slot_flushed(self._leader_id, slot, settled.rows, settled.producers)
        self.taken_over, self.kept, self._kept_bytes = [], [], 0
        self.last_slot = slot
        self.slots += 1
        self.rows += cut.meta.row_count


async def _replay_batches(entry: WalEntry, state: LogState, tail: _Tail, now_ms: int) -> None:
    led = state.partitions.get(entry.partition)
    if led is None:
        # Released or deleted after the entry was written. Had the bucket lost the adoption instead, the leader ends when it
        # registers (``assignments``), before a flush of others' entries lets the WAL go.
        return
    records = entry.parts[0] if len(entry.parts) == 1 else b"".join(entry.parts)
    batches = led.core.replay_batches(records, list(headers(records)), now_ms=now_ms)
    if batches:
        await tail.add(entry.partition, batches)


async def _replay_take_over(
    entry: WalEntry, state: LogState, tail: _Tail, reader: HandoverReader, clock: Clock, rng: Random, logger: RoleLogger
) -> None:
    """A partition that served before its adoption was in a slot, unless the log has had that. Waits while the bucket is away."""
    with reading("The WAL"):
        event, epoch = decode_take_over(b"".join(entry.parts))
    if event.partition in state.partitions or state.releases.has_had(epoch, entry.lsn):
        return
    handed = await reader.patiently([source_of(event)], clock, rng, logger)
    state.take_over(event, handed[event.partition], as_of_slot=tail.last_slot)
    tail.taken_over.append(event)
