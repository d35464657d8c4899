"""Every checksum of one object: header, footer and meta of a slot or segment, what the meta says, and each record batch's
CRC-32C."""

from typing import Final

from controller.records import decode_records
from raylog.leader.checkpoint_format import decode_checkpoint_state
from raylog.model.errors import CorruptError
from raylog.protocol.batch import has_valid_crc, headers
from raylog.storage.checkpoint import decode_checkpoint
from raylog.storage.data_object import SlotMeta, decode_meta
from raylog.storage.handover import decode_handover
from raylog.storage.keys import ObjectKind, object_name
from raylog.storage.object_store import ObjectMeta, ObjectStore, Priority
from raylog.storage.slot_format import (
    OVERHEAD_BYTES,
    RECORD_BYTES,
    SlotKind,
    decode_footer,
    decode_header,
    meta_from_tail,
)

_KINDS: Final = {
    (SlotKind.OPEN, ObjectKind.SLOT),
    (SlotKind.APPEND, ObjectKind.SLOT),
    (SlotKind.SEGMENT, ObjectKind.SEGMENT),
    (SlotKind.UPLOAD, ObjectKind.UPLOAD),
}
"""What a header may say of an object with such a key."""


async def verify_object(store: ObjectStore, found: ObjectMeta) -> None:
    """Read it whole. Raises CorruptError in one sentence, NotFoundError when it is gone, and the store's RetryError."""
    name = object_name(found.key)
    if name.kind in (ObjectKind.SELF_TEST, ObjectKind.UNKNOWN):
        return
    data = await store.get(found.key, priority=Priority.BACKGROUND)
    if len(data) != found.size:
        raise CorruptError(f"has {len(data)} bytes where the listing tells of {found.size}.")
    if name.kind is ObjectKind.CHECKPOINT:
        state = decode_checkpoint(data, found.key).state
        decode_records(state) if name.leader_id is None else decode_checkpoint_state(state)
        return
    if name.kind is ObjectKind.HANDOVER:
        decode_checkpoint_state(decode_handover(data, found.key))
        return
    if len(data) < OVERHEAD_BYTES:
        raise CorruptError(f"has {len(data)} bytes, fewer than a header and a footer.")
    record = decode_footer(data, found.key)
    if decode_header(data, found.key) != record or record.slot != name.number or record.size_bytes != len(data):
        raise CorruptError("header, footer, key and size do not agree.")
    if (record.kind, name.kind) not in _KINDS:
        raise CorruptError(f"is of kind {record.kind.name.lower()}, which its key does not say.")
    meta = meta_from_tail(data, record, found.key)
    if record.kind is SlotKind.OPEN:
        return
    if name.leader_id is None and name.kind is ObjectKind.SLOT:
        decode_records(meta)
    else:
        body = memoryview(data)[: RECORD_BYTES + record.body_bytes]
        _verify_body(body, decode_meta(meta), has_offsets=record.kind is not SlotKind.UPLOAD)


def _verify_body(body: memoryview, meta: SlotMeta, *, has_offsets: bool) -> None:
    """``body`` from the object's start, as rows count. Rows cover it without a gap, and hold the batches that they tell of.

    Without ``has_offsets`` each batch's is still 0.
    """
    position = RECORD_BYTES
    for row in sorted((row for row in meta.index if not row.upload), key=lambda row: row.position):
        if row.position != position or position + row.size_bytes > len(body):
            raise CorruptError(f"the index does not cover the body at byte {position}.")
        run = body[position : position + row.size_bytes]
        next_offset = row.first_offset
        for header in headers(run):
            if not has_valid_crc(run, header):
                raise CorruptError(f"the batch at byte {position + header.position} does not match its CRC-32C.")
            if header.base_offset != (next_offset if has_offsets else 0):
                raise CorruptError(f"the batch at byte {position + header.position} has offset {header.base_offset}.")
            next_offset += header.last_offset_delta + 1
        if next_offset != row.last_offset + 1:
            raise CorruptError(f"the run of batches at byte {position} ends before offset {row.last_offset}.")
        position += row.size_bytes
    if position != len(body):
        raise CorruptError(f"the body has bytes from {position} on that no index row tells of.")
