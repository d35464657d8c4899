"""Reads of batches that are in no durable slot and not in the tail cache any more: from the drafts of the slots to come.

A spilled draft's batches are read back from the WAL as a whole: for its slot, and for consumers, for whom the last few that were
read back are kept, as those who lag go through them in order. One is read back at a time, in a thread of the WAL.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from raylog.leader.unflushed import SlotDraft, between
from raylog.leader.write_buffer import Cut, WriteBuffer
from raylog.model.buffers import Buffer
from raylog.model.errors import CorruptError
from raylog.model.ids import Lsn, TopicPartition
from raylog.model.logs import RoleLogger, fields
from raylog.protocol.batch import headers
from raylog.storage.wal import Wal, WalEntry


class Found(NamedTuple):
    """Whole batches, one after the other."""

    records: Buffer
    end_offset: int
    """The one after them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _ReadBack:
    """A spilled draft's batches, or those of them that were durable when it was read."""

    bodies: Mapping[TopicPartition, bytes]
    size_bytes: int


class UnflushedReader:
    def __init__(
        self,
        buffer: WriteBuffer,
        wal: Wal,
        *,
        kept_bytes_max: int,
        logger: RoleLogger,
        on_fatal: Callable[[Exception], None],
    ) -> None:
        """``kept_bytes_max``: of drafts read back for consumers; one is kept whatever its size. ``on_fatal`` hears of errors that
        are no disk's."""
        self._buffer = buffer
        self._wal = wal
        self._kept_bytes_max = kept_bytes_max
        self._logger = logger
        self._on_fatal = on_fatal
        self._kept: OrderedDict[SlotDraft, _ReadBack] = OrderedDict()
        self._reading: dict[SlotDraft, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()

    @property
    def kept_bytes(self) -> int:
        """Of drafts read back for consumers."""
        return sum(kept.size_bytes for kept in self._kept.values())

    def find(
        self, partition: TopicPartition, offset: int, end_offset: int, max_bytes: int, *, is_first: bool = True
    ) -> Found | asyncio.Task[None]:
        """Batches from the one that holds ``offset`` on, below ``end_offset`` (which is durable), of one run, that fit
        ``max_bytes``.

        With ``is_first`` the first one in any case; or a task after which it is to be asked again, as anything may have happened
        meanwhile: it ends in CorruptError or OSError when the WAL cannot be read. Without, nothing if that would have to be read.
        """
        for draft in self._buffer.drafts:
            held = draft.partitions.get(partition)
            run = None if held is None else held.run_at(offset)
            if held is None or run is None:
                continue
            parts: Sequence[Buffer]
            if not draft.is_spilled:
                parts = held.parts()
            else:
                kept = self._kept.get(draft)
                parts = () if kept is None else (kept.bodies.get(partition, b""),)
            content = between(parts, run.position, run.position + run.size_bytes)
            found = _batches(content, offset, end_offset, max_bytes, is_first)
            if is_first and not found.records:
                assert draft.is_spilled, f"{partition} has no batch at {offset} below {end_offset}"
                return self._read_back(draft)  # for the first time, or it has grown since
            return found
        raise AssertionError(f"{partition} has no unflushed batch at {offset}")

    def size_bytes(self, partition: TopicPartition) -> int:
        """Bytes of the partition's batches that are in no durable slot."""
        return sum(held.size_bytes for draft in self._buffer.drafts if (held := draft.partitions.get(partition)))

    async def body(self, cut: Cut) -> list[Buffer]:
        """The content of a slot."""
        if not cut.draft.is_spilled:
            return cut.body
        async with self._turn:
            read = await self._read(cut.draft, cut.draft.last_lsn)
        sizes = {partition: held.size_bytes for partition, held in cut.draft.partitions.items()}
        if {partition: len(body) for partition, body in read.bodies.items()} != sizes:
            raise CorruptError("The WAL has not given back the batches that were written to it.")
        return [read.bodies[partition] for partition in cut.draft.partitions]

    def settled(self, draft: SlotDraft) -> None:
        """Its slot is durable: nobody reads it here any more."""
        self._kept.pop(draft, None)

    def stop(self) -> None:
        for task in self._reading.values():
            task.cancel()

    async def join(self) -> None:
        """After ``stop``: wait until nothing is read any more."""
        await asyncio.gather(*self._reading.values(), return_exceptions=True)

    def _read_back(self, draft: SlotDraft) -> asyncio.Task[None]:
        task = self._reading.get(draft)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._keep(draft))
            self._reading[draft] = task
            task.add_done_callback(lambda _: self._reading.pop(draft, None))
        return task

    async def _keep(self, draft: SlotDraft) -> None:
        async with self._turn:
            try:
                read = await self._read(draft, min(draft.last_lsn, self._wal.durable_lsn))
            except (OSError, CorruptError) as error:
                if draft.is_settled:
                    return  # and the WAL was trimmed
                self._logger.error("the WAL cannot be read back", extra=fields(error=error))
                raise
            except Exception as error:
                self._on_fatal(error)
                raise
            if draft.is_settled:
                return
            self._kept.pop(draft, None)
            self._kept[draft] = read
            while len(self._kept) > 1 and self.kept_bytes > self._kept_bytes_max:
                self._kept.popitem(last=False)

    async def _read(self, draft: SlotDraft, last_lsn: Lsn) -> _ReadBack:
        entries = await self._wal.read_back(draft.first_lsn, last_lsn)
        bodies = await asyncio.get_running_loop().run_in_executor(None, _by_partition, entries)
        return _ReadBack(bodies=bodies, size_bytes=sum(map(len, bodies.values())))


def _by_partition(entries: Sequence[WalEntry]) -> dict[TopicPartition, bytes]:
    parts: dict[TopicPartition, list[Buffer]] = {}
    for entry in entries:
        parts.setdefault(entry.partition, []).extend(entry.parts)
    return {partition: b"".join(found) for partition, found in parts.items()}


def _batches(content: bytes, offset: int, end_offset: int, max_bytes: int, is_first: bool) -> Found:
    start = end = None
    next_offset = offset
    for header in headers(content):
        if header.last_offset < offset:
            continue
        start = header.position if start is None else start
        is_too_much = header.end - start > max_bytes and not (is_first and end is None)
        if header.last_offset >= end_offset or is_too_much:
            break
        end, next_offset = header.end, header.last_offset + 1
    return Found(b"" if end is None else memoryview(content)[start:end], next_offset)
