"""A leader log that describes far more data than the bucket holds, for measuring what comes back and how fast.

What a recovery reads is all there, in the leader's own encoding: a checkpoint, and slots above it. The batches that the rows
name are holes in sparse files. Nothing reads them unless a client asks for just these offsets, or compaction runs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from raylog.leader.checkpoint_format import encode_checkpoint
from raylog.leader.log_mark import mark_leader_log
from raylog.leader.log_state import Led, LedSnapshot
from raylog.leader.recovery import state_at
from raylog.model.clock import Random, SystemClock, system_random
from raylog.model.ids import LeaderEpoch, LeaderId, ProducerId, TopicPartition
from raylog.model.limits import LogLimits
from raylog.partition.offset_index import SEGMENT, IndexEntry, IndexSnapshot
from raylog.storage.data_object import IndexRow, ProducerRow, SlotMeta, decode_meta, encode_meta
from raylog.storage.fenced_log import FencedLog
from raylog.storage.keys import LEADERS_PREFIX, leader_prefix, segment_key, slot_key
from raylog.storage.local_store import LocalStore
from raylog.storage.segment import segment_number
from raylog.storage.slot_format import (
    RECORD_BYTES,
    WRITER_ID_BYTES,
    SlotKind,
    SlotRecord,
    encode_slot,
    record_of,
)

_RECORD_BYTES: Final = 1024
_SEGMENT_BYTES: Final = 128 << 20
_SLOT_BYTES: Final = 64 << 20
_ROWS_PER_PARTITION_AND_SLOT: Final = 2
"""One of the index, one of a producer: clients are idempotent unless told otherwise."""


@dataclass(kw_only=True)
class Described:
    """What was written."""

    ends: dict[TopicPartition, int]
    """The end offset of each partition."""
    data_bytes: int = 0
    """Of the batches that the rows tell of."""
    objects: int = 0
    checkpoint_rows: int = 0
    checkpoint_bytes: int = 0
    tail_slots: int = 0
    tail_rows: int = 0
    """Above the checkpoint; of index and producers."""


async def describe(
    bucket: Path, topics: Mapping[str, int], *, data_bytes: int, row_bytes: int, tail_rows: int
) -> Described:
    """Give the partitions of ``topics`` (name to partitions) their share of ``data_bytes``. They are empty, and nobody runs.

    Most of it is in segments, by rows of ``row_bytes``; ``tail_rows`` rows of each leader, but at most half of its data, are in
    slots above its checkpoint, a slot for every 64 MiB.
    """
    clock, rng = SystemClock(), system_random()
    store = await LocalStore.open(bucket)
    described = Described(ends={})
    share = data_bytes // sum(topics.values())
    for folder in sorted((bucket / LEADERS_PREFIX).iterdir()):
        leader_id = LeaderId(int(folder.name))
        marked = await mark_leader_log(store, leader_id, clock=clock, rng=rng, limits=LogLimits())
        if marked.partitions:
            writer = _Writer(bucket, store, leader_id, clock, rng, described)
            await writer.write(topics, share, row_bytes, tail_rows)
    assert len(described.ends) == sum(topics.values()), "some partitions are led nowhere"
    await store.close()
    return described


class _Writer:
    """Of one leader's log."""

    def __init__(
        self,
        bucket: Path,
        store: LocalStore,
        leader_id: LeaderId,
        clock: SystemClock,
        rng: Random,
        described: Described,
    ) -> None:
        self._bucket = bucket
        self._leader_id = leader_id
        self._prefix = leader_prefix(leader_id)
        self._now_ms = clock.wall_ms()
        self._rng = rng
        self._writer_id = rng.randbytes(WRITER_ID_BYTES)
        self._log = FencedLog(store, self._prefix, writer_id=self._writer_id, clock=clock, rng=rng)
        self._described = described

    async def write(self, topics: Mapping[str, int], share: int, row_bytes: int, tail_rows: int) -> None:
        checkpoint = await self._log.latest_checkpoint()
        state = state_at(self._leader_id, checkpoint)
        async for slot in self._log.open(checkpoint):
            if slot.kind is SlotKind.APPEND:
                state.apply(slot.number, decode_meta(slot.meta))
        led = {partition: one for partition, one in state.partitions.items() if one.core.topic_name in topics}
        if led:
            run_bytes = _SLOT_BYTES // len(led)
            tail_slots = min(tail_rows // (len(led) * _ROWS_PER_PARTITION_AND_SLOT), share // 2 // run_bytes)
            columns = self._segments(led, (share - tail_slots * run_bytes) // row_bytes, row_bytes)
            await self._checkpoint(state.partitions, columns)
            self._tail(led, tail_slots, run_bytes)
        await self._log.close()

    def _segments(
        self, led: Mapping[TopicPartition, Led], rows: int, row_bytes: int
    ) -> dict[TopicPartition, list[IndexEntry]]:
        """So many rows of each partition, row after row over all of them, in segments as compaction makes them."""
        columns: dict[TopicPartition, list[IndexEntry]] = {partition: [] for partition in led}
        records = row_bytes // _RECORD_BYTES
        number, index = segment_number(1, self._rng), list[IndexRow]()
        position = RECORD_BYTES
        for row in range(rows):
            for partition, one in led.items():
                if position >= _SEGMENT_BYTES:
                    self._put_segment(number, index, position)
                    number, index, position = segment_number(1, self._rng), [], RECORD_BYTES
                epoch = self._epoch_of(one)
                first, last = row * records, (row + 1) * records - 1
                columns[partition].append(
                    IndexEntry(SEGMENT, number, position, row_bytes, first, last, self._now_ms, epoch, records)
                )
                index.append(IndexRow(*partition, first, last, position, row_bytes, self._now_ms, records, epoch))
                position += row_bytes
                self._described.ends[partition] = last + 1
        if index:
            self._put_segment(number, index, position)
        return columns

    def _put_segment(self, number: int, index: Sequence[IndexRow], end: int) -> None:
        meta = encode_meta(SlotMeta(index=sorted(index, key=lambda row: row[:3])))
        self._put_sparse(segment_key(number), SlotKind.SEGMENT, number, end - RECORD_BYTES, meta)

    async def _checkpoint(
        self, partitions: Mapping[TopicPartition, Led], columns: Mapping[TopicPartition, Sequence[IndexEntry]]
    ) -> None:
        slot = self._log.open_slot
        snapshots = []
        for partition, led in partitions.items():
            state = led.core.snapshot()
            if entries := columns.get(partition):
                end = entries[-1].last_offset + 1
                index = IndexSnapshot(columns=tuple(zip(*entries, strict=True)))
                state = replace(state, end_offset=end, leader_epochs=((self._epoch_of(led), 0),), index=index)
            snapshots.append(
                LedSnapshot(
                    partition=partition,
                    topic_name=led.core.topic_name,
                    epoch_base=led.epoch_base,
                    configs=led.configs,
                    as_of_slot=slot,
                    state=state,
                )
            )
        encoded = encode_checkpoint(snapshots)
        await self._log.write_checkpoint(slot, encoded)
        self._described.checkpoint_bytes += len(encoded)
        self._described.checkpoint_rows += sum(map(len, columns.values()))

    def _tail(self, led: Mapping[TopicPartition, Led], slots: int, run_bytes: int) -> None:
        for number, meta in enumerate(self._metas(led, slots, run_bytes), start=self._log.open_slot + 1):
            key = slot_key(self._prefix, number)
            self._put_sparse(key, SlotKind.APPEND, number, run_bytes * len(led), encode_meta(meta))
            self._described.tail_slots += 1
            self._described.tail_rows += meta.row_count

    def _metas(self, led: Mapping[TopicPartition, Led], slots: int, run_bytes: int) -> Iterator[SlotMeta]:
        records = run_bytes // _RECORD_BYTES
        ends = self._described.ends
        for slot in range(slots):
            index, producers = [], []
            for place, partition in enumerate(sorted(led)):
                first = ends[partition]
                last = first + records - 1
                ends[partition] = last + 1
                position = RECORD_BYTES + place * run_bytes
                epoch = self._epoch_of(led[partition])
                index.append(IndexRow(*partition, first, last, position, run_bytes, self._now_ms, records, epoch))
                producer_id = ProducerId(10**9 + place % 50)
                sequence = slot * records
                producers.append(
                    ProducerRow(*partition, producer_id, 0, sequence, sequence + records - 1, first, last, self._now_ms)
                )
            yield SlotMeta(index=index, producers=producers)

    def _put_sparse(self, key: str, kind: SlotKind, number: int, body_bytes: int, meta: bytes) -> None:
        """An object whose body is a hole."""
        path = self._bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        empty = record_of(kind=kind, slot=number, epoch=self._log.epoch, writer_id=self._writer_id, body=(), meta=meta)
        record: SlotRecord = replace(empty, body_bytes=body_bytes)
        header, *rest = encode_slot(record, (), meta)
        with path.open("xb") as file:
            file.write(header)
            file.seek(body_bytes, 1)
            file.writelines(rest)
        self._described.objects += 1
        self._described.data_bytes += body_bytes

    def _epoch_of(self, led: Led) -> LeaderEpoch:
        return LeaderEpoch(led.epoch_base + self._log.epoch)
