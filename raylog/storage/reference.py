"""A reference: where in an upload a batch lies, with all of it that a leader has to know. It is sent in the batch's place.

It travels as the ``records`` of an internal Produce, from gateways to leaders' internal listeners alone: ``[magic 4][version u8]
[upload u64][position u64]``, big-endian, then the batch's header, 61 bytes. A client's records never are one: gateways take only
batches with base offset 0.
"""

import struct
from dataclasses import dataclass
from typing import Final

from raylog.model.buffers import Buffer
from raylog.model.errors import CorruptError, NewerFormatError
from raylog.protocol.batch_header import HEADER_BYTES, BatchHeader, read_bare_header

VERSION: Final = 1

_MAGIC: Final = b"RLUR"
_HEAD: Final = struct.Struct(">4sBQQ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    upload: int
    """The upload's number."""
    position: int
    """The batch's first byte, counted from the object's start."""
    header: BatchHeader


def encode_reference(upload: int, position: int, batch: Buffer) -> bytes:
    """``batch`` is the whole batch, or begins with its header."""
    return _HEAD.pack(_MAGIC, VERSION, upload, position) + bytes(memoryview(batch)[:HEADER_BYTES])


def is_reference(records: Buffer | None) -> bool:
    """Whether a partition's records are one. No batch begins like that: its base offset would be above 5.9e18."""
    return bool(records) and bytes(memoryview(records)[: len(_MAGIC)]) == _MAGIC  # type: ignore[arg-type]


def decode_reference(data: Buffer) -> Reference:
    """Raises CorruptError for anything that ``encode_reference`` would not have made."""
    try:
        magic, version, upload, position = _HEAD.unpack_from(data)
    except struct.error as error:
        raise CorruptError(f"A reference of {len(data)} bytes is truncated.") from error
    if magic != _MAGIC:
        raise CorruptError(f"A reference does not begin with {magic!r}.")
    if version != VERSION:
        raise NewerFormatError(
            f"A gateway sent a reference of version {version}, but this Raylog reads version {VERSION}: use a newer Raylog."
        )
    if len(data) != _HEAD.size + HEADER_BYTES:
        raise CorruptError(f"A reference has {len(data)} bytes in place of {_HEAD.size + HEADER_BYTES}.")
    return Reference(upload=upload, position=position, header=read_bare_header(data, _HEAD.size))
