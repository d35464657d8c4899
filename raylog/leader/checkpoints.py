"""Writes checkpoints of the leader log now and then, so that a recovery replays little; then trims what nothing needs any more.

The partitions are copied one after another with turns of the event loop between them, so each says as of which slot it is; the
encoding runs in a thread. A failed checkpoint is tried again with the next slot: only recovery time depends on it.
"""

import asyncio

from raylog.leader.checkpoint_format import encode_checkpoint
from raylog.leader.hosted import HostedPartition, HostedPartitions
from raylog.leader.log_state import LedSnapshot
from raylog.leader.releases import Releases
from raylog.leader.turns import in_turns
from raylog.model.clock import Clock
from raylog.model.errors import RetryError
from raylog.model.ids import LeaderId
from raylog.model.limits import LeaderLimits
from raylog.model.logs import RoleLogger, fields
from raylog.partition.offset_index import IndexSnapshot
from raylog.storage.fenced_log import FencedLog

_SLOT_READ_BYTES = 64 * 1024
"""What a replay reads of a slot."""

_STATE_ROWS_PER_REPLAYED = 15
"""So many rows of a checkpoint take as long to read as one in a slot to replay: 1 us and 16 us (``make bench-return``)."""


class Checkpoints:
    def __init__(
        self,
        *,
        leader_id: LeaderId,
        log: FencedLog,
        partitions: HostedPartitions,
        releases: Releases,
        clock: Clock,
        limits: LeaderLimits,
        logger: RoleLogger,
        settled_slot: int,
        replayed_slots: int,
        replayed_rows: int,
    ) -> None:
        """``settled_slot`` is the last one that the partitions have: recovery may have written slots after the open slot.

        What was replayed since the last checkpoint counts as written, so that frequent restarts make one, too.
        """
        self._leader_id = leader_id
        self._log = log
        self._partitions = partitions
        self._releases = releases
        self._clock = clock
        self._limits = limits
        self._logger = logger
        self._slots = replayed_slots
        self._slots_due = limits.checkpoint_slots
        """Never less than what a replay reads of as many bytes as the checkpoint has: a large state is written rarely."""
        self._rows = replayed_rows
        self._rows_due = limits.checkpoint_rows
        """Never less than what a replay takes as long for as the checkpoint takes to be read."""
        self._rows_covered = 0
        """By the checkpoint that is being written."""
        self._bytes = 0
        self._settled_slot = settled_slot
        self.newest_slot = 0
        """Of the newest checkpoint that this writer has written."""
        self.lock = asyncio.Lock()
        """Held while a checkpoint is written, and by whoever needs that none is."""
        self._written_at_s = clock.monotonic()
        self._due = asyncio.Event()
        self._wake_if_due()

    @property
    def replay_rows(self) -> int:
        """What a successor would have to replay now."""
        return self._rows_covered + self._rows

    def settled(self, slot: int, size_bytes: int, rows: int) -> None:
        """The slot is durable and applied to its partitions."""
        self._settled_slot = slot
        self._slots += 1
        self._rows += rows
        self._bytes += size_bytes
        self._wake_if_due()

    def look(self) -> None:
        """To be called now and then: a checkpoint falls due by time as well."""
        if self._slots and self._clock.monotonic() - self._written_at_s >= self._limits.checkpoint_s_max:
            self._due.set()

    async def run(self) -> None:
        """Write checkpoints as they fall due, for ever. Raises FencedError."""
        while True:
            await self._due.wait()
            self._due.clear()
            self._slots = self._bytes = 0
            self._written_at_s = self._clock.monotonic()
            try:
                await self.write()
            except RetryError as error:
                self._logger.warning("a checkpoint could not be written, trying again", extra=fields(error=error))
                self._slots = self._slots_due

    async def write(self) -> None:
        """One checkpoint, and the trimming that it allows. Raises FencedError, RetryError."""
        async with self.lock:
            await self._write()

    async def _write(self) -> None:
        slot = self._settled_slot
        self._rows_covered += self._rows
        self._rows = 0
        snapshots = await self._copy()
        releases = self._releases.snapshot()  # last, as a partition that left meanwhile is in no copy
        state = await asyncio.get_running_loop().run_in_executor(None, encode_checkpoint, snapshots, releases)
        await self._log.write_checkpoint(slot, state)
        self.newest_slot = slot
        self._rows_covered = 0
        state_rows = sum(len(led.state.index.columns[0]) for led in snapshots)
        self._rows_due = max(self._limits.checkpoint_rows, state_rows // _STATE_ROWS_PER_REPLAYED)
        self._slots_due = max(self._limits.checkpoint_slots, len(state) // _SLOT_READ_BYTES)
        trimmed = await self._log.trim(
            min([slot, *self._first_slot_of_others(), *(self._first_slot_needed(led) for led in snapshots)])
        )
        self._logger.info("the leader log is checkpointed", extra=fields(slot=slot, trimmed=trimmed))

    async def _copy(self) -> list[LedSnapshot]:
        snapshots = []
        async for hosted in in_turns(list(self._partitions), self._clock):
            if self._partitions.settling(hosted.partition) is not hosted or not hosted.is_adopted:
                continue  # released or taken over meanwhile: the slots after this checkpoint say so
            snapshots.append(self._snapshot(hosted))
        return snapshots

    def _snapshot(self, hosted: HostedPartition) -> LedSnapshot:
        return LedSnapshot(
            partition=hosted.partition,
            topic_name=hosted.topic_name,
            epoch_base=hosted.epoch_base,
            configs=hosted.configs,
            as_of_slot=self._settled_slot,
            state=hosted.core.snapshot(),
        )

    def _first_slot_of_others(self) -> tuple[int, ...]:
        """The lowest slot of this log that rows of other logs may point into, if any may. As of now: what was handed over while
        the others were copied is not among the copies."""
        return (self._releases.first_slot,) if self._releases.first_slot else ()

    def _first_slot_needed(self, led: LedSnapshot) -> int:
        return first_slot_of(self._leader_id, led.state.index) or self._settled_slot

    def _wake_if_due(self) -> None:
        if (
            self._slots >= self._slots_due
            or self._rows >= self._rows_due
            or self._bytes >= self._limits.checkpoint_bytes
        ):
            self._due.set()


def first_slot_of(leader_id: LeaderId, index: IndexSnapshot) -> int:
    """The lowest slot of a leader's log that the rows point into; 0: they point into none."""
    sources, numbers, *_ = index.columns
    # Rows of one source are in the order of its slots.
    return next((number for source, number in zip(sources, numbers, strict=True) if source == leader_id), 0)
