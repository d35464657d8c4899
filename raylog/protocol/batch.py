"""Record batches of format v2 (KIP-98), seen without decoding their records: header fields, checks, and the two patched fields.

Layout of a batch (big-endian): base_offset i64 @0, batch_length i32 @8, partition_leader_epoch i32 @12, magic i8 @16, crc u32 @17,
attributes i16 @21, last_offset_delta i32 @23, base_timestamp i64 @27, max_timestamp i64 @35, producer_id i64 @43,
producer_epoch i16 @51, base_sequence i32 @53, record_count i32 @57, records @61. The CRC-32C covers @21 to the end, so the base
offset and the leader epoch can be written without touching it.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from raylog.model.buffers import Buffer

HEADER_BYTES = 61
PREFIX_BYTES = 16
"""base_offset, batch_length, partition_leader_epoch: what the leader rewrites."""

_HEADER = struct.Struct(">qiibIhiqqqhii")


@dataclass(frozen=True, slots=True)
class BatchHeader:
    """A batch's header fields, and where it lies in the buffer that it was read from."""

    position: int
    size_bytes: int
    """The whole batch, prefix included (12 + batch_length)."""
    base_offset: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp_ms: int
    max_timestamp_ms: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int

    # Properties to provide: last_offset, codec (attributes & 7), log_append_time (bit 3), transactional (bit 4), control (bit 5),
    # last_sequence (wraps at 2**31).


def headers(records: Buffer) -> Iterator[BatchHeader]:
    """The headers of consecutive batches. Raises CorruptError for a truncated or impossible one."""
    raise NotImplementedError


def patched(records: Buffer, header: BatchHeader, base_offset: int, leader_epoch: int) -> tuple[Buffer, ...]:
    """The batch with its offset and epoch assigned, as buffers to send or write: a small batch as one ``bytes``, a large one as
    its new 16-byte prefix and a view of the rest, without a copy."""
    raise NotImplementedError
