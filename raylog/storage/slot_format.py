"""The bytes of a slot: ``[header 64 B][body][meta][footer 64 B]``, one format for all fenced logs and their checkpoints.

Header and footer hold the same record under different magic: the header lets a writer recognise its own put in one small read,
the footer lets a replay learn all it needs from the object's end, without its body. Body and meta are opaque here. The
format is described for other programs in docs/format.md, and a golden file keeps it.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from crc32c import crc32c

from raylog.model.buffers import Buffer
from raylog.model.errors import CorruptError, NewerFormatError
from raylog.model.ids import LogEpoch

RECORD_BYTES = 64
"""Size of the header, and of the footer."""

OVERHEAD_BYTES = 2 * RECORD_BYTES

WRITER_ID_BYTES = 16

FORMAT_VERSION = 1

MAX_META_BYTES = 2**32 - 1

_HEADER_MAGIC = b"RAYLOG\r\n"
_FOOTER_MAGIC = b"\r\nGOLYAR"
# magic, version, kind, reserved, meta crc, epoch, slot, writer id, body bytes, meta bytes; the record's own crc follows
_FIELDS = struct.Struct(">8sHBBIQQ16sQI")
_CRC = struct.Struct(">I")


class SlotKind(IntEnum):
    OPEN = 1
    """The first slot of an epoch: it raises the epoch and fences every earlier writer."""
    APPEND = 2
    CHECKPOINT = 3
    """Not a slot but the state after one: kept beside the log, in the same format."""
    SEGMENT = 4
    """No slot either: batches of many slots again, in the same format (``segment``)."""
    HANDOVER = 5
    """Nor is this: partitions as their leader left them, for the next one (``handover``)."""
    UPLOAD = 6
    """Nor is this: batches that a gateway has put, for leaders to give them offsets (``upload``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotRecord:
    """What header and footer say of a slot."""

    kind: SlotKind
    slot: int
    epoch: LogEpoch
    writer_id: bytes
    """16 random bytes, drawn anew for each opening of a log: who wrote this."""
    body_bytes: int
    meta_bytes: int
    meta_crc: int
    """CRC-32C of the meta. The body's own content (record batches) carries its checksums itself."""

    @property
    def size_bytes(self) -> int:
        """The whole object."""
        return OVERHEAD_BYTES + self.body_bytes + self.meta_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A slot as a replay yields it: everything but its body, which starts at byte 64 of the object ``key``."""

    number: int
    epoch: LogEpoch
    kind: SlotKind
    key: str
    size_bytes: int
    body_bytes: int
    meta: bytes


def buffer_bytes(body: Sequence[Buffer]) -> int:
    """The joined size of buffers, whatever the items of a memoryview are."""
    return sum(b.nbytes if isinstance(b, memoryview) else len(b) for b in body)


def record_of(
    *, kind: SlotKind, slot: int, epoch: LogEpoch, writer_id: bytes, body: Sequence[Buffer], meta: bytes
) -> SlotRecord:
    """The record that describes this content."""
    if len(writer_id) != WRITER_ID_BYTES:
        raise ValueError(f"a writer id has {WRITER_ID_BYTES} bytes, not {len(writer_id)}")
    if len(meta) > MAX_META_BYTES:
        raise ValueError(f"a slot's meta has at most {MAX_META_BYTES} bytes, not {len(meta)}")
    return SlotRecord(
        kind=kind,
        slot=slot,
        epoch=epoch,
        writer_id=writer_id,
        body_bytes=buffer_bytes(body),
        meta_bytes=len(meta),
        meta_crc=crc32c(meta),
    )


def encode_slot(record: SlotRecord, body: Sequence[Buffer], meta: bytes) -> list[Buffer]:
    """The object's buffers, in order; the body's are passed on by reference."""
    return [_encode_record(_HEADER_MAGIC, record), *body, meta, _encode_record(_FOOTER_MAGIC, record)]


def decode_header(data: Buffer, key: str) -> SlotRecord:
    """The record at an object's start. ``key`` only names the object in errors."""
    return _decode_record(_HEADER_MAGIC, memoryview(data)[:RECORD_BYTES], key)


def decode_footer(tail: Buffer, key: str) -> SlotRecord:
    """The record at an object's end, given at least its last 64 bytes."""
    return _decode_record(_FOOTER_MAGIC, memoryview(tail)[-RECORD_BYTES:], key)


def meta_from_tail(tail: Buffer, record: SlotRecord, key: str) -> bytes:
    """The meta, given at least the last ``meta_bytes`` + 64 bytes of the object; verified."""
    end = len(tail) - RECORD_BYTES
    meta = bytes(memoryview(tail)[end - record.meta_bytes : end])
    if len(meta) != record.meta_bytes or crc32c(meta) != record.meta_crc:
        raise CorruptError(f"The meta of slot '{key}' does not match its checksum.")
    return meta


def _encode_record(magic: bytes, record: SlotRecord) -> bytes:
    data = _FIELDS.pack(
        magic,
        FORMAT_VERSION,
        record.kind,
        0,
        record.meta_crc,
        record.epoch,
        record.slot,
        record.writer_id,
        record.body_bytes,
        record.meta_bytes,
    )
    return data + _CRC.pack(crc32c(data))


def _decode_record(magic: bytes, data: memoryview, key: str) -> SlotRecord:
    if len(data) != RECORD_BYTES or data[:8] != magic:
        raise CorruptError(f"'{key}' is not a slot of a Raylog log: its magic is wrong.")
    fields = data[: _FIELDS.size]
    if crc32c(fields) != _CRC.unpack(data[_FIELDS.size :])[0]:
        raise CorruptError(f"The header or footer of slot '{key}' does not match its checksum.")
    _, version, kind, _, meta_crc, epoch, slot, writer_id, body_bytes, meta_bytes = _FIELDS.unpack(fields)
    if version != FORMAT_VERSION:
        raise NewerFormatError(
            f"Slot '{key}' has format version {version}, but this Raylog reads version {FORMAT_VERSION}: use a newer Raylog."
        )
    if kind not in SlotKind.__members__.values():
        raise NewerFormatError(f"Slot '{key}' is of kind {kind}, which this Raylog does not know: use a newer Raylog.")
    return SlotRecord(
        kind=SlotKind(kind),
        slot=slot,
        epoch=LogEpoch(epoch),
        writer_id=writer_id,
        body_bytes=body_bytes,
        meta_bytes=meta_bytes,
        meta_crc=meta_crc,
    )
