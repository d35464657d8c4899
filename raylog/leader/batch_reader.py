"""Batches of a led partition for the leader's own use, from memory, the WAL or the bucket. Clients' fetches do not come here: for
the bucket they get read plans, so that catch-up readers cost the leader nothing."""

import asyncio
from collections.abc import Sequence

from raylog.leader.hosted import HostedPartition
from raylog.leader.unflushed_reader import Found, UnflushedReader
from raylog.model.buffers import Buffer
from raylog.model.errors import CorruptError, NotFoundError
from raylog.model.ids import LeaderId
from raylog.partition.list_offsets import Chunk
from raylog.partition.offset_index import SEGMENT, UPLOAD, IndexEntry
from raylog.protocol.batch import assigned, headers
from raylog.storage.keys import leader_prefix, segment_key, slot_key, upload_key
from raylog.storage.object_store import ObjectStore, Priority

_ATTEMPTS = 3
"""A row's object may be gone by the time it is read, when another has just taken its place in the index."""


def object_key(entry: IndexEntry) -> str:
    """The key of the object that an index row points into."""
    if entry.source == SEGMENT:
        return segment_key(entry.number)
    if entry.source == UPLOAD:
        return upload_key(entry.number)
    return slot_key(leader_prefix(LeaderId(entry.source)), entry.number)


def placed(entry: IndexEntry, run: bytes) -> bytes:
    """What an index row points at, with offsets and leader epoch, which an upload does not have. Raises CorruptError."""
    return assigned(run, entry.first_offset, entry.leader_epoch) if entry.source == UPLOAD else run


class BatchReader:
    def __init__(self, store: ObjectStore, unflushed: UnflushedReader) -> None:
        self._store = store
        self._unflushed = unflushed

    async def read(self, hosted: HostedPartition, offset: int, end_offset: int, max_bytes: int) -> Buffer:
        """Whole batches from the one that holds ``offset`` on, below ``end_offset``, about ``max_bytes`` but at least one.

        Raises RetryError, and CorruptError when the index points at what is not there.
        """
        parts: list[Buffer] = []
        left_bytes = max_bytes
        gone = 0
        while offset < end_offset and (left_bytes > 0 or not parts):
            if offset >= hosted.tail.start_offset:
                parts += hosted.tail.read(offset, end_offset, left_bytes, not parts)[0]
                break
            if offset >= hosted.core.flushed_end_offset:
                found = self._unflushed.find(hosted.partition, offset, end_offset, left_bytes)
                if isinstance(found, Found):
                    parts.append(found.records)
                    left_bytes -= len(found.records)
                    offset = found.end_offset
                else:
                    await _read_back(found)
                continue
            rows = hosted.core.index.plan(offset, end_offset, left_bytes)
            try:
                parts.append(_between(b"".join([await self._read_row(row) for row in rows]), offset, end_offset))
                left_bytes -= sum(row.size_bytes for row in rows)
                offset = rows[-1].last_offset + 1
            except NotFoundError as error:
                gone += 1
                if gone == _ATTEMPTS:
                    raise CorruptError(f"The index names an object that is not there: {error}") from error
        return b"".join(parts)

    async def read_chunks(self, hosted: HostedPartition, chunks: Sequence[Chunk]) -> list[Buffer]:
        """The batches of each chunk, and perhaps some around it."""
        return [
            await self.read(
                hosted, c.first_offset, c.last_offset + 1, max(c.entry.size_bytes if c.entry else _CHUNK_BYTES, 1)
            )
            for c in chunks
        ]

    async def _read_row(self, row: IndexEntry) -> bytes:
        key = object_key(row)
        data = await self._store.get(key, start=row.position, length=row.size_bytes, priority=Priority.CATCH_UP)
        if len(data) != row.size_bytes:
            raise CorruptError(f"The object {key} ends before the batches that the index names.")
        return placed(row, data)


async def _read_back(reading: "asyncio.Task[None]") -> None:
    """Wait for others' task. A disk that does not give back what it has is as good as one that has lost it."""
    try:
        await asyncio.shield(reading)
    except OSError as error:
        raise CorruptError(f"The WAL cannot be read back: {error}") from error


_CHUNK_BYTES = 16 * 1024 * 1024
"""Above any run of the tail, so that a chunk is read whole."""


def _between(records: bytes, offset: int, end_offset: int) -> Buffer:
    """Without the batches below ``offset`` and those from ``end_offset`` on."""
    start = end = None
    for header in headers(records):
        if header.last_offset < offset:
            continue
        if header.base_offset >= end_offset:
            break
        start = header.position if start is None else start
        end = header.end
    return b"" if start is None else memoryview(records)[start:end]
