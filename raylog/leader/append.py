"""The append path: from checked batches to the WAL, the write buffer and the tail cache in one synchronous step.

What is appended is not shown or acknowledged here; ``acks`` does both once the WAL says that it is durable. Once offsets have
been given out the step is done whole, or the leader ends: a log with a hole in it must not be gone on with.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from kio.schema.errors import ErrorCode

from raylog.leader.acks import Acks
from raylog.leader.flusher import Flusher
from raylog.leader.hosted import HostedPartition
from raylog.leader.metrics import LeaderMetrics
from raylog.leader.tail_cache import TailCache
from raylog.leader.write_buffer import Cut, WriteBuffer
from raylog.model.buffers import Buffer
from raylog.model.clock import Clock
from raylog.model.ids import LogEpoch, Lsn
from raylog.partition.outcomes import Appended, AppendOutcome, PlacedBatch, Rejected
from raylog.protocol.batch import BatchHeader
from raylog.storage.reference import Reference
from raylog.storage.slot_events import TakeOver
from raylog.storage.upload import uploaded_at_ms
from raylog.storage.wal import Wal, WalEntry
from raylog.storage.wal_take_over import encode_take_over

_NOT_BY_REFERENCE: Final = Rejected(
    ErrorCode.not_leader_or_follower, "The upload is too old to be referred to, or the WAL takes no references."
)

_REFERENCE_BYTES: Final = 512
"""What a batch in an upload costs until its slot is durable, and counts for in the WAL."""


class Appender:
    """Gives LSNs. ``unflushed_bytes``: appended and not yet in a durable slot."""

    def __init__(
        self,
        *,
        wal: Wal,
        buffer: WriteBuffer,
        cache: TailCache,
        acks: Acks,
        flusher: Flusher,
        clock: Clock,
        metrics: LeaderMetrics,
        coordinator_bytes_max: int,
        upload_s_max: float,
        on_fatal: Callable[[Exception], None],
    ) -> None:
        """Coordinators may append ``coordinator_bytes_max`` more where requests must wait: full buffers are when groups need
        their heartbeats. ``upload_s_max``: a quarter of the grace that garbage collection gives. An upload may be so old when it
        is referred to, and its slot must be durable so long after that: so no collection takes what a slot will name."""
        self._wal = wal
        self._buffer = buffer
        self._cache = cache
        self._acks = acks
        self._flusher = flusher
        self._clock = clock
        self._metrics = metrics
        self._coordinator_bytes_max = coordinator_bytes_max
        self._upload_s_max = upload_s_max
        self._on_fatal = on_fatal
        self.unflushed_bytes = 0
        self.last_lsn = Lsn(0)

    def has_room(self, size_bytes: int) -> bool:
        """Whether that much may be appended now, to write buffer and WAL; when nothing is unflushed, always."""
        return self._buffer.has_room(size_bytes) and self._wal.has_room(size_bytes)

    @property
    def has_room_for_coordinators(self) -> bool:
        """Whether coordinators may append; they bound what is not durable, and so waits for the WAL, themselves."""
        beyond = self._coordinator_bytes_max
        return self._buffer.has_room(0, beyond_bytes=beyond) and self._wal.has_room(0, beyond_bytes=beyond)

    @property
    def spilled_bytes(self) -> int:
        """Of what is unflushed, what only the WAL has."""
        return self.unflushed_bytes - self._buffer.held_bytes

    def append(
        self, hosted: HostedPartition, records: Buffer, headers: Sequence[BatchHeader], *, from_client: bool = True
    ) -> AppendOutcome:
        """Append to a partition that serves. An answer waits for ``last_lsn`` as it is afterwards, whatever the outcome."""
        core = hosted.core
        end_offset = core.log_end_offset
        work = hosted.work
        work.requests += 1
        try:
            outcome = core.append(records, headers, now_ms=self._clock.wall_ms(), from_client=from_client)
            if type(outcome) is Appended:
                batches = outcome.batches
                parts = batches[0].parts if len(batches) == 1 else _all_parts(batches)
                lsn = self.last_lsn = Lsn(self.last_lsn + 1)
                self._wal.append(WalEntry(lsn, core.partition, parts, outcome.size_bytes))
                self._keep(lsn, hosted, batches, outcome.size_bytes)
                self._acks.appended(lsn, hosted, outcome.last_offset + 1, outcome.size_bytes)
                self._metrics.appended_bytes.add(outcome.size_bytes)
                work.bytes_in += outcome.size_bytes
                self._flusher.poke()
        except Exception as error:
            if core.log_end_offset != end_offset:
                self._on_fatal(error)
            raise
        return outcome

    def append_uploaded(self, hosted: HostedPartition, reference: Reference) -> AppendOutcome:
        """As ``append``, for a batch that a gateway has put into the bucket."""
        now_ms = self._clock.wall_ms()
        if self._wal.can_read_back or now_ms - uploaded_at_ms(reference.upload) > self._upload_s_max * 1000:
            return _NOT_BY_REFERENCE
        core = hosted.core
        end_offset = core.log_end_offset
        hosted.work.requests += 1
        try:
            outcome = core.append_uploaded(reference.header, reference.upload, reference.position, now_ms=now_ms)
            if type(outcome) is Appended:
                lsn = self.last_lsn = Lsn(self.last_lsn + 1)
                self._wal.append(WalEntry(lsn, core.partition, (), _REFERENCE_BYTES))
                write_by_s = self._clock.boottime() + self._upload_s_max
                self._buffer.add(lsn, core.partition, outcome.batches, write_by_s=write_by_s)
                hosted.tail = self._cache.skip(hosted.tail, outcome.last_offset + 1)
                self._acks.appended(lsn, hosted, outcome.last_offset + 1, outcome.size_bytes)
                self._metrics.referenced_bytes.add(outcome.size_bytes)
                hosted.work.bytes_in += outcome.size_bytes
                self._flusher.poke()
        except Exception as error:
            if core.log_end_offset != end_offset:
                self._on_fatal(error)
            raise
        return outcome

    def take_over(self, event: TakeOver, epoch: LogEpoch) -> asyncio.Future[None]:
        """Append the adoption of a partition, before anything is appended to that; done when it is in a durable slot.

        What is appended after it is durable no sooner than it is, in the WAL or in the slots.
        """
        body = encode_take_over(event, epoch)
        lsn = self.last_lsn = Lsn(self.last_lsn + 1)
        self._wal.append(WalEntry(lsn, event.partition, (body,), len(body), is_take_over=True))
        written = self._buffer.add_event(event, lsn)
        self._flusher.poke()
        return written

    def recovered(self, hosted: HostedPartition, batches: tuple[PlacedBatch, ...]) -> None:
        """Batches that an earlier writer left in the WAL: durable already, but in no slot."""
        self._keep(Lsn(0), hosted, batches, sum(batch.size_bytes for batch in batches))

    def flushed(self, cut: Cut) -> None:
        """The slot is durable, and each before it."""
        self._buffer.settled(cut)
        self.unflushed_bytes -= cut.body_bytes

    def _keep(self, lsn: Lsn, hosted: HostedPartition, batches: tuple[PlacedBatch, ...], size_bytes: int) -> None:
        self._buffer.add(lsn, hosted.core.partition, batches)
        for batch in batches:
            self._cache.append(hosted.tail, batch.last_offset, batch.parts, batch.size_bytes)
        self.unflushed_bytes += size_bytes


def _all_parts(batches: tuple[PlacedBatch, ...]) -> tuple[Buffer, ...]:
    return tuple([part for batch in batches for part in batch.parts])
