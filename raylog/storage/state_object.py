"""A state of partitions or metadata as an object of its own, in the slot's format: the meta is the state, the body is empty.

Checkpoints and handovers are such objects. Their kind and number are in the header, and the number in the key as well.
"""

from raylog.model.buffers import Buffer
from raylog.model.errors import CorruptError
from raylog.model.ids import LogEpoch
from raylog.storage.keys import number_of
from raylog.storage.slot_format import (
    OVERHEAD_BYTES,
    SlotKind,
    SlotRecord,
    decode_footer,
    encode_slot,
    meta_from_tail,
    record_of,
)


def encode_state(kind: SlotKind, *, number: int, epoch: LogEpoch, writer_id: bytes, state: bytes) -> list[Buffer]:
    """The object's buffers."""
    record = record_of(kind=kind, slot=number, epoch=epoch, writer_id=writer_id, body=(), meta=state)
    return encode_slot(record, (), state)


def decode_state(kind: SlotKind, data: bytes, key: str) -> tuple[SlotRecord, bytes]:
    """The header and the state of the object ``key``. Raises CorruptError when it is not what its key and size promise."""
    what = f"{kind.name.capitalize()} '{key}'"
    if len(data) < OVERHEAD_BYTES:
        raise CorruptError(f"{what} is shorter than its header and footer.")
    record = decode_footer(data, key)
    if record.kind is not kind or record.slot != number_of(key) or record.size_bytes != len(data):
        raise CorruptError(f"{what} does not hold what its key and size promise.")
    return record, meta_from_tail(data, record, key)
