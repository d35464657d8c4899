"""Record batches of format v2 (KIP-98) seen without decoding their records: checks, and the fields that brokers set.

``batch_header`` has the layout, ``records`` makes batches from records and back; their names are offered here too.
"""

from typing import Final

from crc32c import crc32c
from kio.schema.errors import ErrorCode

from raylog.model.buffers import Buffer
from raylog.model.errors import CorruptError, InvalidError
from raylog.protocol.batch_header import (
    CONTROL,
    CRC_START,
    HEADER,
    HEADER_BYTES,
    LENGTH_END,
    LOG_APPEND_TIME,
    MAGIC,
    MAGIC_POSITION,
    PREFIX,
    PREFIX_BYTES,
    BatchHeader,
    headers,
    list_headers,
    read_header,
)
from raylog.protocol.compression import ZSTD
from raylog.protocol.records import Record, RecordHeader, decode_records, encode_batch

__all__ = [
    "CONTROL",
    "HEADER_BYTES",
    "LOG_APPEND_TIME",
    "PREFIX_BYTES",
    "BatchHeader",
    "Record",
    "RecordHeader",
    "RecordsError",
    "assigned",
    "decode_records",
    "encode_batch",
    "has_valid_crc",
    "headers",
    "list_headers",
    "patched",
    "read_header",
    "validate",
    "with_append_time",
]

_JOIN_BYTES: Final = 4096
"""A batch up to this size is copied behind its new prefix: cheaper than a second buffer all the way."""
_FIRST_VERSION_WITH_ZSTD: Final = 7
"""Of Produce (KIP-110)."""


class RecordsError(InvalidError):
    """A producer's records are not acceptable; ``error_code`` is Kafka's code for why."""

    def __init__(self, error_code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.error_code = error_code


def patched(records: Buffer, header: BatchHeader, base_offset: int, leader_epoch: int) -> tuple[Buffer, ...]:
    """The batch with its offset and epoch assigned, as buffers to send or write: a small batch as one ``bytes``, a
    large one as its new 16-byte prefix and a view of the rest, without a copy."""
    prefix = PREFIX.pack(base_offset, header.size_bytes - LENGTH_END, leader_epoch)
    rest = memoryview(records)[header.position + PREFIX_BYTES : header.end]
    return (b"".join((prefix, rest)),) if header.size_bytes <= _JOIN_BYTES else (prefix, rest)


def assigned(run: Buffer, first_offset: int, leader_epoch: int) -> bytes:
    """A copy of consecutive batches with their offsets, from ``first_offset`` on, and the epoch. Raises CorruptError."""
    placed = bytearray(run)
    for header in headers(run):
        PREFIX.pack_into(placed, header.position, first_offset, header.size_bytes - LENGTH_END, leader_epoch)
        first_offset += header.last_offset_delta + 1
    return bytes(placed)


def has_valid_crc(records: Buffer, header: BatchHeader) -> bool:
    """Whether the batch's bytes are what its CRC-32C promises."""
    return bool(crc32c(memoryview(records)[header.position + CRC_START : header.end]) == header.crc)


def validate(
    records: Buffer | None, *, max_batch_bytes: int, api_version: int = 13, single_batch: bool = True
) -> list[BatchHeader]:
    """The headers of a Produce request's batches of one partition, once they are found acceptable.

    ``api_version`` is Produce's. Records themselves are not decoded. Raises ``RecordsError`` with Kafka's code:
    UNSUPPORTED_FOR_MESSAGE_FORMAT (format v0, v1), CORRUPT_MESSAGE (CRC, lengths), MESSAGE_TOO_LARGE, INVALID_RECORD
    (no batch or several, base offset, counts, control batches, sequence), INVALID_TIMESTAMP (claims LogAppendTime),
    UNSUPPORTED_COMPRESSION_TYPE (zstd before Produce v7, unknown codecs).
    """
    if not records:
        raise RecordsError(ErrorCode.invalid_record, "A Produce request must have a record batch per partition.")
    if len(records) > MAGIC_POSITION and records[MAGIC_POSITION] < MAGIC:
        raise RecordsError(
            ErrorCode.unsupported_for_message_format,
            f"Message format v{records[MAGIC_POSITION]} is not accepted: send record batches of format v2.",
        )
    try:
        found = list_headers(records)
    except CorruptError as error:
        raise RecordsError(ErrorCode.corrupt_message, str(error)) from error
    if single_batch and len(found) > 1:
        raise RecordsError(
            ErrorCode.invalid_record, f"A Produce request has {len(found)} record batches for a partition, not one."
        )
    for header in found:
        _validate_header(header, max_batch_bytes, api_version)
        if not has_valid_crc(records, header):
            raise RecordsError(ErrorCode.corrupt_message, "The CRC of a record batch is not that of its bytes.")
    return found


def _validate_header(header: BatchHeader, max_batch_bytes: int, api_version: int) -> None:
    if header.size_bytes > max_batch_bytes:
        raise RecordsError(
            ErrorCode.message_too_large,
            f"A record batch has {header.size_bytes} bytes, above the topic's max.message.bytes of {max_batch_bytes}.",
        )
    if header.base_offset != 0:
        raise RecordsError(ErrorCode.invalid_record, f"The base offset of a batch is {header.base_offset}, not 0.")
    if header.record_count <= 0 or header.record_count != header.last_offset_delta + 1:
        raise RecordsError(
            ErrorCode.invalid_record,
            f"A batch's last offset delta {header.last_offset_delta} and count {header.record_count} do not agree.",
        )
    if header.control:
        raise RecordsError(ErrorCode.invalid_record, "Clients may not write control batches.")
    if header.producer_id >= 0 and (header.base_sequence < 0 or header.producer_epoch < 0):
        raise RecordsError(ErrorCode.invalid_record, "A batch with a producer id has no epoch or sequence number.")
    if header.transactional and header.producer_id < 0:
        raise RecordsError(ErrorCode.invalid_record, "A transactional batch has no producer id.")
    if header.log_append_time:
        raise RecordsError(ErrorCode.invalid_timestamp, "A producer may not set the timestamp type LogAppendTime.")
    if header.codec > ZSTD or (header.codec == ZSTD and api_version < _FIRST_VERSION_WITH_ZSTD):
        raise RecordsError(
            ErrorCode.unsupported_compression_type,
            f"Compression codec {header.codec} is not accepted with Produce version {api_version}.",
        )


def with_append_time(records: Buffer, header: BatchHeader, append_time_ms: int) -> tuple[bytes, BatchHeader]:
    """A copy of the batch for a topic with ``message.timestamp.type=LogAppendTime``, and its header: bit 3 is set, the
    max timestamp is the broker's, the CRC is new."""
    attributes = header.attributes | LOG_APPEND_TIME
    batch = bytearray(memoryview(records)[header.position : header.end])
    fields = header._replace(position=0, attributes=attributes, max_timestamp_ms=append_time_ms)
    _pack_header(batch, fields)
    fields = fields._replace(crc=crc32c(memoryview(batch)[CRC_START:]))
    _pack_header(batch, fields)
    return bytes(batch), fields


def _pack_header(batch: bytearray, header: BatchHeader) -> None:
    _, size_bytes, base_offset, *rest = header
    HEADER.pack_into(batch, 0, base_offset, size_bytes - LENGTH_END, *rest)
