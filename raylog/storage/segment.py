"""Segments: objects that hold the batches of many slots once more, the batches of each partition together.

An object in the slot's format, of kind SEGMENT: the body is runs of batches, unchanged, and the meta their index, as in a slot.
Its ``slot`` is the segment's number, its epoch that of the leader log that it was written for. The number has 63 bits: the
upper three are the segment's level (how often its batches have been rewritten), the others are random, so that nobody who
began the same work earlier, and was fenced meanwhile, writes under the same key.
"""

from collections.abc import Sequence

from raylog.model.buffers import Buffer
from raylog.model.clock import Random
from raylog.model.ids import LogEpoch
from raylog.storage.data_object import IndexRow, SlotMeta, encode_meta
from raylog.storage.slot_format import SlotKind, encode_slot, record_of

LEVEL_MAX = 7

_RANDOM_BITS = 60


def segment_number(level: int, rng: Random) -> int:
    """A new one."""
    assert 1 <= level <= LEVEL_MAX, level
    return level << _RANDOM_BITS | rng.getrandbits(_RANDOM_BITS)


def segment_level(number: int) -> int:
    """How often the segment's batches have been rewritten."""
    return number >> _RANDOM_BITS


def encode_segment(
    *, number: int, epoch: LogEpoch, writer_id: bytes, body: Sequence[Buffer], rows: Sequence[IndexRow]
) -> list[Buffer]:
    """The object's buffers, in order; the body's are passed on by reference."""
    meta = encode_meta(SlotMeta(index=rows))
    record = record_of(kind=SlotKind.SEGMENT, slot=number, epoch=epoch, writer_id=writer_id, body=body, meta=meta)
    return encode_slot(record, body, meta)
