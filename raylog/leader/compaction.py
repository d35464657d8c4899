"""When a leader compacts: now and then it looks what is due, has one job done at a time, and swaps the segment in durably.

Between the job and the swap the log start may move and partitions may come and go: what does not hold the same batches any
more, the swap passes over, where its slot settles and in every replay alike (``FlushedState.swap``).

**No segment is named that garbage collection has taken.** Until a log names it, only its age protects a segment. So once it is
written, the leader announces it by an event, and goes on only if half of the grace has not passed since the job began when
that is durable: any collection old enough to take the segment reads the log after that, and keeps what is announced. An
announcement counts until a checkpoint passes it, so none is written between it and the swap, however long that takes.
"""

import asyncio
from dataclasses import replace

from raylog.leader.checkpoints import Checkpoints
from raylog.leader.compactor import CompactionJob, Compactor
from raylog.leader.flusher import Flusher
from raylog.leader.hosted import HostedPartitions
from raylog.leader.metrics import LeaderMetrics
from raylog.leader.turns import in_turns
from raylog.leader.write_buffer import WriteBuffer
from raylog.model.clock import Clock, Random
from raylog.model.errors import CorruptError, FencedError, RaylogError
from raylog.model.ids import LeaderId, LogEpoch, TopicPartition
from raylog.model.limits import Limits
from raylog.model.logs import RoleLogger, fields
from raylog.partition.compaction import CompactionPlan, ObjectId, plan_compaction
from raylog.partition.offset_index import IndexSnapshot
from raylog.storage.segment import segment_number
from raylog.storage.slot_events import SegmentPut, SlotEvent, Swap, SwapPart
from raylog.storage.slot_format import WRITER_ID_BYTES


class Compaction:
    def __init__(
        self,
        *,
        leader_id: LeaderId,
        epoch: LogEpoch,
        partitions: HostedPartitions,
        checkpoints: Checkpoints,
        buffer: WriteBuffer,
        flusher: Flusher,
        compactor: Compactor,
        clock: Clock,
        rng: Random,
        limits: Limits,
        metrics: LeaderMetrics,
        logger: RoleLogger,
    ) -> None:
        self._leader_id = leader_id
        self._epoch = epoch
        self._partitions = partitions
        self._checkpoints = checkpoints
        self._buffer = buffer
        self._flusher = flusher
        self._compactor = compactor
        self._clock = clock
        self._rng = rng
        self._limits = limits.compaction
        self._announce_s_max = max(limits.garbage.grace_s, limits.log.trim_grace_s) / 2
        self._metrics = metrics
        self._logger = logger
        self._avoid: set[ObjectId] = set()
        """Sources of jobs that met a corrupt batch: left alone until the leader starts again."""
        self._nothing_due_at = -1
        """The covered slot with which nothing was due: only slots that a checkpoint covers anew change that."""

    async def run(self) -> None:
        """Look once in each interval, and go on while something is due, for ever. Raises FencedError."""
        while True:
            await self._clock.sleep(self._limits.interval_s)
            while await self.look():
                pass

    async def look(self) -> int:
        """Do the jobs that are due, one after another; returns how many segments were swapped in. Raises FencedError."""
        covered = self._checkpoints.newest_slot
        if covered == self._nothing_due_at:
            return 0
        indexes = await self._copy()
        plans = await asyncio.get_running_loop().run_in_executor(None, self._plan, indexes, covered)
        if not plans:
            self._nothing_due_at = covered
        done = 0
        for plan in plans:
            done += await self._do(plan)
        return done

    def _plan(self, indexes: dict[TopicPartition, IndexSnapshot], covered_slot: int) -> list[CompactionPlan]:
        return plan_compaction(
            indexes,
            leader_id=self._leader_id,
            covered_slot=covered_slot,
            limits=self._limits,
            avoid=self._avoid,
        )

    async def _copy(self) -> dict[TopicPartition, IndexSnapshot]:
        """The indexes, with turns of the event loop between them: what changes meanwhile, the swap looks at."""
        indexes = {}
        async for hosted in in_turns(list(self._partitions), self._clock):
            indexes[hosted.partition] = hosted.core.index.snapshot()
        return indexes

    async def _do(self, plan: CompactionPlan) -> bool:
        began_s = self._clock.boottime()
        job = CompactionJob(
            number=segment_number(plan.level, self._rng),
            epoch=self._epoch,
            writer_id=self._rng.randbytes(WRITER_ID_BYTES),
            plan=plan,
        )
        try:
            swap = await self._compactor.compact(job)
        except FencedError:
            raise
        except CorruptError as error:
            self._avoid |= plan.sources
            self._logger.error(
                "records cannot be compacted, they stay where they are",
                extra=fields(objects=len(plan.sources), error=error),
            )
            return False
        except RaylogError as error:
            self._logger.warning("a compaction job is begun anew", extra=fields(error=error))
            return False
        return await self._commit(swap, began_s)

    async def _commit(self, swap: Swap, began_s: float) -> bool:
        async with self._checkpoints.lock:
            await self._write(SegmentPut(segment=swap.segment))
            if self._clock.boottime() - began_s >= self._announce_s_max:
                self._logger.warning("a compaction job took too long, it is begun anew")
                return False
            await self._write(replace(swap, parts=tuple(filter(self._may_swap, swap.parts))))
        self._metrics.compacted_bytes.add(sum(row.size_bytes for part in swap.parts for row in part.rows))
        self._metrics.segments.add(1)
        return True

    def _may_swap(self, part: SwapPart) -> bool:
        """Not in a partition that is leaving: its handover says where its batches lie, and what must stay for that."""
        hosted = self._partitions.get(part.partition)
        return hosted is not None and not hosted.is_leaving

    async def _write(self, event: SlotEvent) -> None:
        """Returns once the event is durable and has taken effect."""
        written = self._buffer.add_event(event)
        self._flusher.poke()
        await asyncio.shield(written)
