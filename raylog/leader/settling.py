"""What follows when the WAL has made entries durable, and when a slot of the leader log is: in this order, in one pass each.

- Durable: high watermarks move, answers leave, fetches that waited long enough are answered, requests held back are tried.
- Slot durable: events take effect as in a replay, rows get into the index, the WAL hears of it (an object WAL's entries become
  durable by it), partitions are handed over that end with this slot, then the batches leave the write buffer.
"""

from raylog.leader.acks import Acks
from raylog.leader.admission import Admission
from raylog.leader.adoptions import Adoptions
from raylog.leader.append import Appender
from raylog.leader.checkpoints import Checkpoints
from raylog.leader.fetch import Fetcher
from raylog.leader.hosted import HostedPartition, HostedPartitions
from raylog.leader.log_start import LogStarts
from raylog.leader.metrics import LeaderMetrics
from raylog.leader.unflushed_reader import UnflushedReader
from raylog.leader.write_buffer import Cut
from raylog.model.ids import LeaderId, Lsn
from raylog.storage.slot_events import (
    Adopt,
    HandOver,
    LogStart,
    Release,
    SegmentPut,
    SlotEvent,
    Swap,
    TakeOver,
    WalPosition,
)
from raylog.storage.wal import Wal

_PLENTY = 1 << 62
"""Bytes that a transaction's end makes stable at once: not counted, its waiters look again."""


class Settling:
    """Bound to the parts by ``Leader``; plain calls on the event loop."""

    def __init__(
        self,
        *,
        leader_id: LeaderId,
        partitions: HostedPartitions,
        fetcher: Fetcher,
        unflushed: UnflushedReader,
        adoptions: Adoptions,
        wal: Wal,
        metrics: LeaderMetrics,
    ) -> None:
        self._leader_id = leader_id
        self._partitions = partitions
        self._fetcher = fetcher
        self._unflushed = unflushed
        self._adoptions = adoptions
        self._wal = wal
        self._metrics = metrics
        self._is_stopped = False

    def bind(
        self, *, acks: Acks, appender: Appender, admission: Admission, log_starts: LogStarts, checkpoints: Checkpoints
    ) -> None:
        """The parts that need this one first."""
        self._acks = acks
        self._appender = appender
        self._admission = admission
        self._log_starts = log_starts
        self._checkpoints = checkpoints

    def stop(self) -> None:
        """Nothing is settled any more."""
        self._is_stopped = True

    def durable(self, lsn: Lsn) -> None:
        """The WAL has everything up to ``lsn``."""
        if self._is_stopped:
            return
        self._acks.durable(lsn)
        self._fetcher.answer_ready()
        self._admission.retry()

    def advance(self, hosted: HostedPartition, end_offset: int, size_bytes: int) -> None:
        """Move a partition's high watermark over batches of ``size_bytes``."""
        core = hosted.core
        was_stable = core.last_stable_offset == core.high_watermark
        core.durable(end_offset)
        stable_bytes = 0
        if core.last_stable_offset == end_offset:
            stable_bytes = size_bytes if was_stable else _PLENTY
        self._fetcher.advanced(hosted, size_bytes, stable_bytes)

    def flushed(self, slot: int, cut: Cut) -> None:
        """The slot, and every one before it, is durable."""
        if self._is_stopped:
            return
        for event in cut.meta.events:
            if not isinstance(event, HandOver):
                self._apply(event)
        for partition, settled in cut.partitions.items():
            hosted = self._partitions.settling(partition)
            assert hosted is not None, partition
            hosted.core.slot_flushed(self._leader_id, slot, settled.rows, settled.producers)
        self._wal.flushed(cut.last_lsn)  # shows consumers what only the index can lead them to
        for handed_over in cut.meta.handed_over:
            self._adoptions.handed_over(handed_over)
        self._unflushed.settled(cut.draft)
        self._appender.flushed(cut)
        self._checkpoints.settled(slot, cut.body_bytes, cut.meta.row_count)
        self._metrics.flush_bytes.observe(cut.body_bytes)
        self._admission.retry()

    def _apply(self, event: SlotEvent) -> None:
        match event:
            case Adopt():
                self._adoptions.adopted(event)
            case TakeOver():
                self._adoptions.taken_over(event)
            case Release():
                self._adoptions.released(event)
            case LogStart():
                hosted = self._partitions.settling(event.partition)
                assert hosted is not None, event
                self._log_starts.durable(hosted, event.offset)
                self._fetcher.failed(hosted)
            case Swap():
                for part in event.parts:
                    hosted = self._partitions.settling(part.partition)
                    if hosted is not None:
                        hosted.core.swap(event.segment, part.rows)
            case WalPosition():
                self._adoptions.wal_is_here(event)
            case SegmentPut():
                pass  # for those who read the log meanwhile
            case _:
                raise AssertionError(f"a leader does not write {event}")
