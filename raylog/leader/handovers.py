"""Partitions leave for another leader: put into one handover while they still serve, which their next leader reads; then stopped,
and released by one slot that has their last batches and names the handover. All at once, however many: a leader that gives up a
thousand partitions writes one object and one slot for it.

- What is unflushed goes to the bucket before the handover is written, and again before the partitions stop: so the time without a
  leader is one PUT of this one, and depends neither on how much was unflushed nor on how much there is to hand over.
- What comes after the handover was written is told by the log: see ``raylog.partition.changes``. Swaps would not be, so
  there are none from before it is written (``is_leaving``).
- A handover is named only after it was written, so garbage collection must not find it too old before it is: see
  docs/decisions/0006. One whose release took longer than half the grace is written anew.
- Once begun, it is carried through: a partition whose move was called off is handed over, and comes back by the controller.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from raylog.leader.backoff import backoff
from raylog.leader.checkpoint_format import encode_checkpoint
from raylog.leader.checkpoints import first_slot_of
from raylog.leader.flusher import Flusher
from raylog.leader.hosted import HostedPartition, HostedPartitions
from raylog.leader.log_state import LedSnapshot
from raylog.leader.releases import Releases
from raylog.leader.write_buffer import WriteBuffer
from raylog.model.admin import ControllerClient, Released
from raylog.model.clock import Clock, Random
from raylog.model.errors import RetryError
from raylog.model.ids import LeaderId, TopicPartition
from raylog.model.logs import RoleLogger, fields
from raylog.partition.flushed_state import PartitionSnapshot
from raylog.storage.fenced_log import FencedLog
from raylog.storage.handover import NUMBER_BITS, Handover, write_handover
from raylog.storage.object_store import ObjectStore
from raylog.storage.slot_events import HandOver, Release, WalPosition


class Handovers:
    def __init__(
        self,
        *,
        leader_id: LeaderId,
        store: ObjectStore,
        log: FencedLog,
        partitions: HostedPartitions,
        releases: Releases,
        buffer: WriteBuffer,
        flusher: Flusher,
        controller: ControllerClient,
        clock: Clock,
        rng: Random,
        grace_s: float,
        logger: RoleLogger,
        on_stopped: Callable[[HostedPartition], None],
    ) -> None:
        """``grace_s``: the age at which garbage collection takes an object that nothing names."""
        self._leader_id = leader_id
        self._store = store
        self._log = log
        self._partitions = partitions
        self._releases = releases
        self._buffer = buffer
        self._flusher = flusher
        self._controller = controller
        self._clock = clock
        self._rng = rng
        self._naming_s_max = grace_s / 2
        self._logger = logger
        self._on_stopped = on_stopped

    async def hand_over(self, leaving: Sequence[HostedPartition]) -> None:
        """Release these for whoever the controller says; returns once that is durable. Raises FencedError."""
        if not leaving:
            return
        for hosted in leaving:
            hosted.is_leaving = True
        while True:
            written = await self._write(leaving)
            await self._offer(written.handover.number, leaving)
            await self._flusher.drain()
            if not self._is_late(written):
                break
        began_s = self._clock.monotonic()
        self._stop(leaving)
        released = self._buffer.add_last([self._wal_position(), *(self._event(hosted, written) for hosted in leaving)])
        self._flusher.poke()
        await released
        if self._is_late(written):
            await self._put(written.handover, is_there=True)
        self._logger.info(
            "partitions are handed over",
            extra=fields(partitions=len(leaving), ms=round(1000 * (self._clock.monotonic() - began_s), 1)),
        )

    async def release(self, leaving: Sequence[HostedPartition]) -> None:
        """Let go of partitions that nobody leads any more: their topics are deleted. Returns once that is durable."""
        self._stop(leaving)
        position = self._buffer.add_event(self._wal_position())
        events = [
            self._buffer.add_event(Release(partition=hosted.partition, end_offset=hosted.core.log_end_offset))
            for hosted in leaving
        ]
        self._flusher.poke()
        await asyncio.gather(position, *events)

    def untold(self, partitions: Collection[TopicPartition]) -> list[Released]:
        """Which of these were released by this log, and how: what the controller is to be told of."""
        untold = self._releases.untold
        return [
            Released(
                partition=p, epoch_base=untold[p].epoch_base, handover=untold[p].handover, changes=untold[p].changes
            )
            for p in partitions
            if p in untold
        ]

    def forget_all_but(self, partitions: Collection[TopicPartition]) -> None:
        """The controller has these alone still with this leader: of all others it knows."""
        still = frozenset(partitions)
        self._releases.told([p for p in self._releases.untold if p not in still])

    def _stop(self, leaving: Sequence[HostedPartition]) -> None:
        for hosted in leaving:
            self._partitions.stop_serving(hosted)
            self._on_stopped(hosted)

    def _wal_position(self) -> WalPosition:
        return WalPosition(epoch=self._log.epoch, lsn=self._buffer.last_lsn)

    def _event(self, hosted: HostedPartition, written: "_Written") -> HandOver:
        handed, end_offset = written.partitions[hosted.partition], hosted.core.log_end_offset
        first_slot = first_slot_of(self._leader_id, handed.index)
        if not first_slot and handed.end_offset < end_offset:
            first_slot = written.slot + 1
        return HandOver(
            partition=hosted.partition,
            end_offset=end_offset,
            epoch_base=hosted.epoch_base,
            handover=written.handover.number,
            first_slot=first_slot,
            handed_log_start_offset=handed.log_start_offset,
            handed_end_offset=handed.end_offset,
        )

    async def _offer(self, handover: int, leaving: Sequence[HostedPartition]) -> None:
        """Have those read it who are to lead the partitions next."""
        try:
            await self._controller.offer_handover(
                self._leader_id, self._log.epoch, handover, [hosted.partition for hosted in leaving]
            )
        except RetryError as error:
            self._logger.warning("a handover could not be offered, it is read later", extra=fields(error=error))

    async def _write(self, leaving: Sequence[HostedPartition]) -> "_Written":
        """One handover of these as they are in slots now."""
        slot = self._log.acknowledged_slot
        await self._flusher.drain()
        written_s = self._clock.boottime()
        snapshots = [self._snapshot(hosted) for hosted in leaving]
        state = await asyncio.get_running_loop().run_in_executor(None, encode_checkpoint, snapshots)
        handover = Handover(
            leader_id=self._leader_id,
            number=self._rng.getrandbits(NUMBER_BITS),
            epoch=self._log.epoch,
            writer_id=self._log.writer_id,
            state=state,
        )
        await self._put(handover)
        return _Written(handover, {led.partition: led.state for led in snapshots}, slot, written_s)

    async def _put(self, handover: Handover, *, is_there: bool = False) -> None:
        for pause in backoff(self._rng):
            try:
                return await write_handover(self._store, handover, is_there=is_there)
            except RetryError as error:
                self._logger.warning("a handover cannot be written now, trying again", extra=fields(error=error))
                await self._clock.sleep(pause)
        raise AssertionError("pauses never end")

    def _snapshot(self, hosted: HostedPartition) -> LedSnapshot:
        return LedSnapshot(
            partition=hosted.partition,
            topic_name=hosted.topic_name,
            epoch_base=hosted.epoch_base,
            configs=hosted.configs,
            as_of_slot=self._log.acknowledged_slot,
            state=hosted.core.snapshot(),
        )

    def _is_late(self, written: "_Written") -> bool:
        return self._clock.boottime() - written.began_s >= self._naming_s_max


class _Written(NamedTuple):
    handover: Handover
    partitions: dict[TopicPartition, PartitionSnapshot]
    """What it says."""
    slot: int
    """What it does not say lies in slots above."""
    began_s: float
    """When it began to be written, by boottime."""
