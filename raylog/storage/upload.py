"""Uploads: objects of batches that a gateway has put for leaders in other zones, which then only give them their offsets.

An object in the slot's format, of kind UPLOAD: the body is batches as producers sent them, those of a partition together, in the
order in which they came; the meta is their index, as in a slot, with offsets that count from 0 in each run, and leader epoch
-1. Its ``slot`` is its number, its epoch 0. No log has it: the index rows of leaders' slots point at what they took of it.

A number has 63 bits: the upper 42 are the time, in milliseconds since 1970, at which its writer began, so that they rise; the
others are random.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from raylog.model.buffers import Buffer
from raylog.model.clock import Random
from raylog.model.ids import LeaderEpoch, LogEpoch, TopicPartition
from raylog.protocol.batch_header import BatchHeader
from raylog.storage.data_object import IndexRow, SlotMeta, encode_meta
from raylog.storage.slot_format import RECORD_BYTES, SlotKind, encode_slot, record_of

_RANDOM_BITS = 21
NO_EPOCH = LeaderEpoch(-1)


class UploadBatch(NamedTuple):
    """One batch to upload."""

    partition: TopicPartition
    records: Buffer
    header: BatchHeader


def upload_number(now_ms: int, rng: Random) -> int:
    """A new one."""
    return now_ms << _RANDOM_BITS | rng.getrandbits(_RANDOM_BITS)


def uploaded_at_ms(number: int) -> int:
    """When the upload's writer began, by its own clock: no later than the object came to be."""
    return number >> _RANDOM_BITS


def encode_upload(number: int, writer_id: bytes, batches: Sequence[UploadBatch]) -> tuple[list[Buffer], list[int]]:
    """The object's buffers, in order, and where each of the batches begins in it."""
    positions = [0] * len(batches)
    rows: list[IndexRow] = []
    body: list[Buffer] = []
    end = RECORD_BYTES
    for partition, places in _by_partition(batches):
        start, next_offset, newest_ms = end, 0, -1
        for place in places:
            _, records, header = batches[place]
            positions[place] = end
            body.append(records)
            end += header.size_bytes
            next_offset += header.last_offset_delta + 1
            newest_ms = max(newest_ms, header.max_timestamp_ms)
        row = IndexRow(*partition, 0, next_offset - 1, start, end - start, newest_ms, next_offset, NO_EPOCH)
        rows.append(row)
    meta = encode_meta(SlotMeta(index=rows))
    record = record_of(kind=SlotKind.UPLOAD, slot=number, epoch=LogEpoch(0), writer_id=writer_id, body=body, meta=meta)
    return encode_slot(record, body, meta), positions


def _by_partition(batches: Sequence[UploadBatch]) -> Iterable[tuple[TopicPartition, list[int]]]:
    places: dict[TopicPartition, list[int]] = {}
    for place, batch in enumerate(batches):
        places.setdefault(batch.partition, []).append(place)
    return places.items()
