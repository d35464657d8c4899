"""Does a compaction job: reads the source objects, checks every batch, and writes the segment. Needs nothing but the bucket.

Each source is read once, in one range from its first wanted byte to its last (in a few, where much lies between that is not
wanted). Every batch's CRC-32C and offsets are looked at before anything is written: a broken one ends the job, and the rows
that named it stay as they are. The batches themselves are not changed by a byte, but that those of uploads get their offsets.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from raylog.leader.batch_reader import object_key, placed
from raylog.model.buffers import Buffer
from raylog.model.errors import CorruptError
from raylog.model.ids import LeaderEpoch, LogEpoch
from raylog.partition.compaction import GAP_BYTES_MAX, CompactionPlan, Piece
from raylog.partition.offset_index import IndexEntry
from raylog.protocol.batch import has_valid_crc, headers
from raylog.storage.data_object import IndexRow
from raylog.storage.keys import segment_key
from raylog.storage.object_store import ObjectStore, Priority
from raylog.storage.segment import encode_segment
from raylog.storage.slot_events import Swap, SwapPart, SwapRow
from raylog.storage.slot_format import RECORD_BYTES


async def write_segment(
    store: ObjectStore,
    plan: CompactionPlan,
    *,
    number: int,
    epoch: LogEpoch,
    writer_id: bytes,
    row_bytes_max: int,
    reads_max: int,
) -> Swap:
    """Returns the event that is to be written to the leader log. Rows of the segment have at most ``row_bytes_max`` bytes,
    unless a source's row has more. Raises CorruptError, NotFoundError, RetryError."""
    found = await _read_all(store, plan, reads_max)
    body: list[Buffer] = [found[row] for piece in plan.pieces for row in piece.rows]
    parts = arrange(plan.pieces, row_bytes_max)
    rows = [
        IndexRow(
            part.partition.topic_id,
            part.partition.partition,
            row.first_offset,
            row.last_offset,
            row.position,
            row.size_bytes,
            row.max_timestamp_ms,
            row.record_count,
            LeaderEpoch(row.leader_epoch),
        )
        for part in parts
        for row in part.rows
    ]
    segment = encode_segment(number=number, epoch=epoch, writer_id=writer_id, body=body, rows=rows)
    await store.put_if_absent(segment_key(number), segment, priority=Priority.BACKGROUND)
    return Swap(segment=number, parts=parts)


def arrange(pieces: Sequence[Piece], row_bytes_max: int) -> tuple[SwapPart, ...]:
    """Where the pieces lie in a segment that holds them one after another: small rows of one leader epoch become one."""
    position = RECORD_BYTES
    parts = []
    for piece in pieces:
        rows: list[SwapRow] = []
        for row in piece.rows:
            last = rows[-1] if rows else None
            if (
                last is not None
                and last.leader_epoch == row.leader_epoch
                and last.size_bytes + row.size_bytes <= row_bytes_max
            ):
                rows[-1] = last._replace(
                    last_offset=row.last_offset,
                    size_bytes=last.size_bytes + row.size_bytes,
                    max_timestamp_ms=max(last.max_timestamp_ms, row.max_timestamp_ms),
                    record_count=last.record_count + row.record_count,
                )
            else:
                rows.append(
                    SwapRow(
                        row.first_offset,
                        row.last_offset,
                        position,
                        row.size_bytes,
                        row.max_timestamp_ms,
                        row.record_count,
                        row.leader_epoch,
                    )
                )
            position += row.size_bytes
        parts.append(SwapPart(piece.partition, tuple(rows)))
    return tuple(parts)


async def _read_all(store: ObjectStore, plan: CompactionPlan, reads_max: int) -> dict[IndexEntry, bytes]:
    """Each row's batches, checked."""
    ranges = _ranges(plan)
    found: dict[IndexEntry, bytes] = {}
    places = asyncio.Semaphore(reads_max)
    loop = asyncio.get_running_loop()

    async def read(rows: Sequence[IndexEntry]) -> None:
        async with places:
            key, start = object_key(rows[0]), rows[0].position
            length = rows[-1].position + rows[-1].size_bytes - start
            data = await store.get(key, start=start, length=length, priority=Priority.BACKGROUND)
            found.update(await loop.run_in_executor(None, _checked, key, rows, data))

    tasks = [loop.create_task(read(rows)) for rows in ranges]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return found


def _ranges(plan: CompactionPlan) -> list[list[IndexEntry]]:
    """The rows to read with one request each, in the order of their positions."""
    by_object: defaultdict[tuple[int, int], list[IndexEntry]] = defaultdict(list)
    for piece in plan.pieces:
        for row in piece.rows:
            by_object[row.source, row.number].append(row)
    ranges: list[list[IndexEntry]] = []
    for rows in by_object.values():
        rows.sort(key=lambda row: row.position)
        ranges.append([rows[0]])
        for before, row in pairwise(rows):
            if row.position - (before.position + before.size_bytes) > GAP_BYTES_MAX:
                ranges.append([])
            ranges[-1].append(row)
    return ranges


def _checked(key: str, rows: Sequence[IndexEntry], data: bytes) -> dict[IndexEntry, bytes]:
    """What each row names in ``data``, which begins at the first one's position. Raises CorruptError."""
    view = memoryview(data)
    found = {}
    for row in rows:
        start = row.position - rows[0].position
        run = placed(row, bytes(view[start : start + row.size_bytes]))
        next_offset, records = row.first_offset, 0
        for header in headers(run):
            if header.base_offset != next_offset or not has_valid_crc(run, header):
                raise CorruptError(
                    f"In '{key}' the batch at byte {row.position + header.position} is not the one of offset {next_offset}, "
                    "or does not match its CRC-32C: 'raylog store check --verify' says more."
                )
            next_offset, records = header.last_offset + 1, records + header.record_count
        if next_offset != row.last_offset + 1 or records != row.record_count or len(run) != row.size_bytes:
            raise CorruptError(f"In '{key}' the batches at byte {row.position} do not end at offset {row.last_offset}.")
        found[row] = run
    return found
