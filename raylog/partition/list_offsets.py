"""ListOffsets in all its forms: pure, so records are looked for in two steps.

``list_offset`` answers at once, or says inside which chunks the record must be; the shell reads their batches (from the tail
cache or the bucket) and ``find_record`` picks it. The header of a batch and a row of the index only tell a highest timestamp,
so a chunk may turn out to hold no such record: then ``list_offset`` is asked again from ``LookInside.next_offset`` on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from kio.schema.errors import ErrorCode

from raylog.model.buffers import Buffer
from raylog.model.errors import CorruptError
from raylog.partition.offset_index import IndexEntry
from raylog.partition.outcomes import NO_EPOCH, NO_OFFSET, NO_TIMESTAMP_MS, ListedOffset, OffsetRejected
from raylog.partition.partition import Partition
from raylog.protocol.batch import BatchHeader, Record, decode_records, headers

LATEST: Final = -1
EARLIEST: Final = -2
MAX_TIMESTAMP: Final = -3
"""KIP-734."""
EARLIEST_LOCAL: Final = -4
"""KIP-405: the same as EARLIEST, as no tier lies behind the bucket."""
LATEST_TIERED: Final = -5
"""KIP-1005: there is none, as in Kafka for a topic without tiered storage; nor of the next (KIP-1023)."""
EARLIEST_PENDING_UPLOAD: Final = -6

NO_SUCH_RECORD: Final = ListedOffset(NO_TIMESTAMP_MS, NO_OFFSET, NO_EPOCH)


class Chunk(NamedTuple):
    """A stretch of the log, in one object (``entry``) or in the tail (None)."""

    first_offset: int
    last_offset: int
    max_timestamp_ms: int
    entry: IndexEntry | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LookInside:
    """The record sought is in one of ``chunks``, if anywhere, and within ``start_offset`` to ``end_offset`` (exclusive)."""

    spec: int
    start_offset: int
    end_offset: int
    chunks: tuple[Chunk, ...]

    @property
    def next_offset(self) -> int:
        return self.chunks[-1].last_offset + 1


def list_offset(
    partition: Partition,
    spec: int,
    *,
    current_leader_epoch: int = NO_EPOCH,
    read_committed: bool = False,
    from_offset: int = 0,
) -> ListedOffset | LookInside | OffsetRejected:
    """The offset that ``spec`` asks for: a timestamp in milliseconds (the first record at or after it), or one of the above."""
    rejected = partition.check_leader_epoch(current_leader_epoch)
    if rejected is not None:
        return rejected
    start = partition.log_start_offset
    end = partition.last_stable_offset if read_committed else partition.high_watermark
    if spec == LATEST:
        return ListedOffset(NO_TIMESTAMP_MS, end, partition.leader_epoch)
    if spec in (EARLIEST, EARLIEST_LOCAL):
        return ListedOffset(NO_TIMESTAMP_MS, start, partition.epochs.epoch_at(start))
    if spec in (LATEST_TIERED, EARLIEST_PENDING_UPLOAD):
        return NO_SUCH_RECORD
    if spec == MAX_TIMESTAMP:
        chunks = _newest_chunks(partition, start, end)
    elif spec >= 0:
        start = max(start, from_offset)
        chunks = _chunks_at(partition, spec, start, end)
    else:
        return OffsetRejected(ErrorCode.unsupported_version, f"There is no ListOffsets timestamp {spec}.")
    return LookInside(spec=spec, start_offset=start, end_offset=end, chunks=chunks) if chunks else NO_SUCH_RECORD


def find_record(look: LookInside, batches: Sequence[Buffer]) -> ListedOffset | None:
    """The record sought; ``batches`` are whole batches for each chunk, and may hold more than it.

    None: there is none in these chunks (for MAX_TIMESTAMP: none at all). Raises CorruptError for what is no batch.
    """
    best: ListedOffset | None = None
    for records in batches:
        for header in headers(records):
            wanted = look.spec if best is None else best.timestamp_ms + 1
            if header.last_offset < look.start_offset or header.base_offset >= look.end_offset:
                continue
            if header.max_timestamp_ms < max(wanted, 0):
                continue
            for record in _records(records, header):
                if record.timestamp_ms < max(wanted, 0) or not look.start_offset <= record.offset < look.end_offset:
                    continue
                best = ListedOffset(record.timestamp_ms, record.offset, header.leader_epoch)
                if look.spec != MAX_TIMESTAMP:
                    return best
                wanted = best.timestamp_ms + 1
    return best


def _records(records: Buffer, header: BatchHeader) -> list[Record]:
    try:
        return decode_records(records, header)
    except CorruptError:
        # Brokers pass on what a producer compressed badly, and so must not fail on it: its header stands for the batch.
        return [Record(timestamp_ms=header.max_timestamp_ms, offset=header.base_offset)]


def _chunks_at(partition: Partition, timestamp_ms: int, start: int, end: int) -> tuple[Chunk, ...]:
    """The first chunk whose highest timestamp is high enough."""
    index = partition.index
    row = index.row_at_timestamp(timestamp_ms, start)
    if row < len(index):
        entry = index[row]
        return (_chunk(entry),) if entry.first_offset < end else ()
    for chunk in _tail_chunks(partition, start, end):
        if chunk.max_timestamp_ms >= timestamp_ms:
            return (chunk,)
    return ()


def _newest_chunks(partition: Partition, start: int, end: int) -> tuple[Chunk, ...]:
    """The chunk with the highest timestamp, and such as could have a higher one but are only partly within the bounds."""
    index = partition.index
    first, last = index.row_of(start), index.row_of(end)
    chunks = [_chunk(index[row]) for row in {first, last} if row < len(index)]
    if first + 1 < last:
        chunks.append(_chunk(index[index.newest_row(first + 1, last)]))
    chunks.extend(_tail_chunks(partition, start, end))
    chunks = [chunk for chunk in chunks if chunk.first_offset < end and chunk.max_timestamp_ms >= 0]
    surest = max(
        (chunk.max_timestamp_ms for chunk in chunks if start <= chunk.first_offset and chunk.last_offset < end),
        default=0,
    )
    return tuple(sorted(chunk for chunk in chunks if chunk.max_timestamp_ms >= surest))


def _tail_chunks(partition: Partition, start: int, end: int) -> Iterator[Chunk]:
    for run in partition.tail.runs():
        if run.last_offset >= start and run.first_offset < end:
            yield Chunk(run.first_offset, run.last_offset, run.max_timestamp_ms, None)


def _chunk(entry: IndexEntry) -> Chunk:
    return Chunk(entry.first_offset, entry.last_offset, entry.max_timestamp_ms, entry)
