"""The port to whoever does the work of a compaction job: a Ray task (``actors.compaction``), or this process."""

from dataclasses import dataclass
from typing import Protocol

from raylog.leader.segment_writer import write_segment
from raylog.model.ids import LogEpoch
from raylog.model.limits import Limits
from raylog.partition.compaction import CompactionPlan
from raylog.storage.object_store import ObjectStore
from raylog.storage.slot_events import Swap


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionJob:
    """Plain values, so that it can travel."""

    number: int
    """Of the segment to write: no other job has it."""
    epoch: LogEpoch
    """Of the leader log that asks for it."""
    writer_id: bytes
    """16 random bytes, by which a put whose answer was lost is recognised."""
    plan: CompactionPlan


class Compactor(Protocol):
    async def compact(self, job: CompactionJob) -> Swap:
        """Write the segment; returns the event that puts it in the place of what it was made from.

        Raises CorruptError (a source is not what its rows promise: nothing was written), NotFoundError (a source is gone),
        RetryError (the bucket is away, the worker was lost); then what may have been written is garbage.
        """
        ...


class StoreCompactor:
    """Does it here, on this event loop and its threads."""

    def __init__(self, store: ObjectStore, limits: Limits) -> None:
        self._store = store
        self._limits = limits

    async def compact(self, job: CompactionJob) -> Swap:
        return await write_segment(
            self._store,
            job.plan,
            number=job.number,
            epoch=job.epoch,
            writer_id=job.writer_id,
            row_bytes_max=self._limits.leader.plan_run_bytes_max,
            reads_max=self._limits.compaction.reads_max,
        )
