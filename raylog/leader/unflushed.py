"""What one slot will hold, from the first batch for it until it is durable: by partition, index rows and producers growing with
each batch, so that making the slot costs the same however many batches went into it.

A draft's batches are in memory, or (*spilled*) in the WAL alone: then it knows the LSNs of their entries, and has all else.
Spilled or not, the slot is the same: a partition's entries, in the order of their LSNs, are its part of the body.
"""

import asyncio
import math
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence

from raylog.model.buffers import Buffer
from raylog.model.ids import Lsn, TopicPartition
from raylog.partition.outcomes import PlacedBatch
from raylog.partition.producer_state import WINDOW_BATCHES
from raylog.storage.slot_events import SlotEvent

_SMALL_BYTES = 4096
"""Parts below this are copied together; larger ones are passed on by reference."""

_CHUNK_BYTES = 256 * 1024


class Run:
    """A growing index row; its position counts from the partition's first byte in the slot, or is that in its upload."""

    __slots__ = (
        "first_offset",
        "last_offset",
        "leader_epoch",
        "max_timestamp_ms",
        "position",
        "record_count",
        "size_bytes",
        "upload",
    )

    def __init__(self, first_offset: int, leader_epoch: int, position: int, upload: int = 0) -> None:
        self.first_offset = first_offset
        self.last_offset = first_offset - 1
        self.leader_epoch = leader_epoch
        self.max_timestamp_ms = -1
        self.position = position
        self.record_count = 0
        self.size_bytes = 0
        self.upload = upload


class PartitionRuns:
    """One partition's batches of a slot."""

    __slots__ = ("_parts", "_small", "producers", "row_count", "runs", "size_bytes")

    def __init__(self) -> None:
        self._parts: list[Buffer] = []
        self._small = bytearray()
        """Small parts that came one after another, together: a slot of hundreds of thousands of them would hold up the loop."""
        self.size_bytes = 0
        self.runs: list[Run] = []
        self.producers: dict[int, deque[PlacedBatch]] = {}
        self.row_count = 0
        """Of runs and producers' batches."""

    def add(self, batch: PlacedBatch, run_bytes_max: int, *, is_spilled: bool) -> None:
        size, upload = batch.size_bytes, batch.upload
        run = self.runs[-1] if self.runs else None
        if (
            run is None
            or run.size_bytes + size > run_bytes_max
            or run.leader_epoch != batch.leader_epoch
            or run.upload != upload
            or (upload and run.position + run.size_bytes != batch.position)
        ):
            position = batch.position if upload else self.size_bytes
            run = Run(batch.base_offset, batch.leader_epoch, position, upload)
            self.runs.append(run)
            self.row_count += 1
        run.last_offset = batch.last_offset
        run.size_bytes += size
        run.record_count += batch.record_count
        if batch.max_timestamp_ms > run.max_timestamp_ms:
            run.max_timestamp_ms = batch.max_timestamp_ms
        if is_spilled:
            batch = batch._replace(parts=())
        else:
            self._keep(batch.parts)
        if not upload:
            self.size_bytes += size
        if batch.producer_id >= 0:
            kept = self.producers.get(batch.producer_id)
            if kept is None:
                kept = self.producers[batch.producer_id] = deque(maxlen=WINDOW_BATCHES)
            if len(kept) < WINDOW_BATCHES:
                self.row_count += 1
            kept.append(batch)

    def body(self) -> list[Buffer]:
        """All parts, in order; nothing is added after this."""
        self._end_small()
        return self._parts

    def parts(self) -> list[Buffer]:
        """All parts as of now, in order; more may be added."""
        return [*self._parts, bytes(self._small)]

    def run_at(self, offset: int) -> Run | None:
        """The run that holds ``offset``, or the first one above it."""
        index = bisect_left(self.runs, offset, key=lambda run: run.last_offset)
        return self.runs[index] if index < len(self.runs) else None

    def _keep(self, parts: tuple[Buffer, ...]) -> None:
        for part in parts:
            if len(part) < _SMALL_BYTES:
                self._small += part
                if len(self._small) >= _CHUNK_BYTES:
                    self._end_small()
            else:
                self._end_small()
                self._parts.append(part)

    def _end_small(self) -> None:
        if self._small:
            self._parts.append(self._small)
            self._small = bytearray()


class SlotDraft:
    """What one slot will hold."""

    __slots__ = (
        "events",
        "first_lsn",
        "is_settled",
        "is_spilled",
        "last_lsn",
        "partitions",
        "row_count",
        "size_bytes",
        "waiters",
        "write_by_s",
    )

    def __init__(self) -> None:
        self.partitions: dict[TopicPartition, PartitionRuns] = {}
        self.events: list[SlotEvent] = []
        self.waiters: list[asyncio.Future[None]] = []
        self.size_bytes = 0
        self.row_count = 0
        self.first_lsn = Lsn(0)
        """Of its first entry; 0 for what an earlier writer left in the WAL, which is never spilled."""
        self.last_lsn = Lsn(0)
        self.write_by_s = math.inf
        """By boottime: when the slot has to be durable at the latest, as it names uploads."""
        self.is_spilled = False
        self.is_settled = False
        """Its slot is durable: readers go to the bucket."""


def between(parts: Sequence[Buffer], start: int, end: int) -> bytes:
    """Bytes ``start`` to ``end`` of the parts' sum, as far as they go; joined."""
    found: list[Buffer] = []
    position = 0
    for part in parts:
        if position >= end:
            break
        size = len(part)
        if position + size > start:
            found.append(memoryview(part)[max(0, start - position) : end - position])
        position += size
    return b"".join(found)
