"""What a partition answers: plain values. Tuples where one is made for each append, as they cost a fifth of a frozen dataclass.

Every produce outcome has ``answer_after``: the high watermark that must be reached before it may be answered, errors and
duplicates included, so that no answer reveals what is not yet durable (invariant 2). 0 means: at once.
"""

from dataclasses import dataclass
from typing import NamedTuple

from kio.schema.errors import ErrorCode

from raylog.model.buffers import Buffer

NO_TIMESTAMP_MS = -1
NO_OFFSET = -1
NO_EPOCH = -1


class PlacedBatch(NamedTuple):
    """A batch with its place in the log: what goes into the WAL, the tail cache and the next slot."""

    base_offset: int
    last_offset: int
    parts: tuple[Buffer, ...]
    """The whole batch, offset and leader epoch written in; nothing of one that lies in an upload."""
    size_bytes: int
    max_timestamp_ms: int
    record_count: int
    leader_epoch: int
    producer_id: int
    """-1: not idempotent; so are the next two."""
    producer_epoch: int
    base_sequence: int
    last_sequence: int
    attributes: int
    append_time_ms: int
    """The broker's time of the append (of the recovery, for a batch found in the WAL)."""
    upload: int = 0
    """The upload in which the batch lies, which then has no ``parts``; 0: it has them."""
    position: int = 0
    """In the upload."""


class Appended(NamedTuple):
    base_offset: int
    last_offset: int
    log_append_time_ms: int
    """-1 for CreateTime."""
    batches: tuple[PlacedBatch, ...]
    size_bytes: int

    @property
    def answer_after(self) -> int:
        return self.last_offset + 1


class Duplicate(NamedTuple):
    """One of the producer's last five batches, sent again: answered as the first time."""

    base_offset: int
    last_offset: int
    log_append_time_ms: int

    @property
    def answer_after(self) -> int:
        return self.last_offset + 1


class RecordFault(NamedTuple):
    """One record that made a batch be refused (KIP-467)."""

    batch_index: int
    """The record's place in its batch."""
    message: str


class Rejected(NamedTuple):
    error_code: ErrorCode
    message: str
    answer_after: int = 0
    record_faults: tuple[RecordFault, ...] = ()


AppendOutcome = Appended | Duplicate | Rejected


@dataclass(frozen=True, slots=True)
class FetchBounds:
    """A fetch may read batches from the one that holds ``offset`` up to ``end_offset`` (exclusive, always between batches).

    ``offset == end_offset``: there is nothing yet, the fetch waits.
    """

    offset: int
    end_offset: int
    high_watermark: int
    last_stable_offset: int
    log_start_offset: int


@dataclass(frozen=True, slots=True)
class FetchDiverging:
    """The fetcher's log left this one after ``epoch`` ended at ``end_offset`` (KIP-595)."""

    epoch: int
    end_offset: int


@dataclass(frozen=True, slots=True)
class OffsetRejected:
    """A fetch, ListOffsets, OffsetForLeaderEpoch or DeleteRecords that gets an error."""

    error_code: ErrorCode
    message: str


FetchStart = FetchBounds | FetchDiverging | OffsetRejected


class EpochEnd(NamedTuple):
    """OffsetForLeaderEpoch's answer; both -1 when the epoch is unknown here."""

    leader_epoch: int
    end_offset: int


class ListedOffset(NamedTuple):
    """ListOffsets' answer; ``offset`` -1: no such record."""

    timestamp_ms: int
    offset: int
    leader_epoch: int


class AbortedTransaction(NamedTuple):
    """A transaction whose records read_committed fetches leave out: from ``first_offset`` to its marker ``last_offset``."""

    producer_id: int
    first_offset: int
    last_offset: int
    last_stable_offset: int
    """When the marker was written (KIP-98): at or above a fetch's end, later entries do not matter to it."""
