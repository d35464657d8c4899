"""Records of a batch, made and read: for coordinators, compacted topics and tests. Producers' batches pass undecoded.

A record (KIP-98): length varint, attributes i8, timestamp_delta varlong, offset_delta varint, key, value and headers
with varint lengths, -1 for null; all varints zigzag.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from crc32c import crc32c

from raylog.model.buffers import Buffer
from raylog.model.errors import CorruptError
from raylog.protocol.batch_header import (
    CRC_START,
    HEADER,
    HEADER_BYTES,
    LENGTH_END,
    MAGIC,
    BatchHeader,
    read_header,
)
from raylog.protocol.compression import decompress

MAX_UNCOMPRESSED_BYTES: Final = 256 * 1024 * 1024
"""What a batch may have uncompressed, unless the caller says otherwise."""

RecordHeader = tuple[str, bytes | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    key: bytes | None = None
    value: bytes | None = None
    timestamp_ms: int = -1
    offset: int = -1
    """-1 when a batch is made: the record's place in it decides."""
    headers: tuple[RecordHeader, ...] = ()


def encode_batch(
    records: Sequence[Record],
    *,
    base_offset: int = 0,
    leader_epoch: int = -1,
    producer_id: int = -1,
    producer_epoch: int = -1,
    base_sequence: int = -1,
    attributes: int = 0,
) -> bytes:
    """An uncompressed batch of at least one record. Records with offsets (as those of a compacted log) keep them."""
    if not records:
        raise ValueError("a batch has at least one record")
    base_timestamp = records[0].timestamp_ms
    body = bytearray(HEADER_BYTES)
    last_delta = -1
    for record in records:
        delta = last_delta + 1 if record.offset < 0 else record.offset - base_offset
        if delta <= last_delta:
            raise ValueError(f"offset {record.offset} is not above the one before it")
        last_delta = delta
        _append_record(body, record, record.timestamp_ms - base_timestamp, delta)
    header = [
        base_offset,
        len(body) - LENGTH_END,
        leader_epoch,
        MAGIC,
        0,
        attributes,
        last_delta,
        base_timestamp,
        max(record.timestamp_ms for record in records),
        producer_id,
        producer_epoch,
        base_sequence,
        len(records),
    ]
    HEADER.pack_into(body, 0, *header)
    header[4] = crc32c(memoryview(body)[CRC_START:])
    HEADER.pack_into(body, 0, *header)
    return bytes(body)


def decode_records(
    batch: Buffer, header: BatchHeader | None = None, *, max_bytes: int = MAX_UNCOMPRESSED_BYTES
) -> list[Record]:
    """The records of one batch, uncompressed if need be. Raises CorruptError; the CRC is not looked at."""
    if header is None:
        header = read_header(batch)
    body = memoryview(batch)[header.position + HEADER_BYTES : header.end]
    reader = _Reader(decompress(header.codec, body, max_bytes=max_bytes))
    try:
        found = [_read_record(reader, header) for _ in range(header.record_count)]
    except (IndexError, UnicodeDecodeError) as error:
        raise CorruptError(f"A record of a batch cannot be read: {error}.") from error
    if not reader.at_end:
        raise CorruptError(f"A batch has more bytes than its {header.record_count} records.")
    return found


def _append_record(body: bytearray, record: Record, timestamp_delta: int, offset_delta: int) -> None:
    content = bytearray(1)
    _append_varint(content, timestamp_delta)
    _append_varint(content, offset_delta)
    _append_bytes(content, record.key)
    _append_bytes(content, record.value)
    _append_varint(content, len(record.headers))
    for name, value in record.headers:
        _append_bytes(content, name.encode())
        _append_bytes(content, value)
    _append_varint(body, len(content))
    body += content


def _append_bytes(content: bytearray, value: bytes | None) -> None:
    if value is None:
        _append_varint(content, -1)
        return
    _append_varint(content, len(value))
    content += value


def _append_varint(content: bytearray, value: int) -> None:
    zigzag = (value << 1) ^ (value >> 63)
    while zigzag > 0x7F:
        content.append((zigzag & 0x7F) | 0x80)
        zigzag >>= 7
    content.append(zigzag)


class _Reader:
    __slots__ = ("_data", "_end", "_position")

    def __init__(self, data: Buffer) -> None:
        self._data = memoryview(data)
        self._position = 0
        self._end = len(self._data)

    @property
    def at_end(self) -> bool:
        return self._position == self._end

    @property
    def position(self) -> int:
        return self._position

    def varint(self) -> int:
        value = shift = 0
        while shift < 70:
            byte = self._data[self._position]
            self._position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return (value >> 1) ^ -(value & 1)
            shift += 7
        raise CorruptError("A variable-length integer in a record is too long.")

    def skip(self, size: int) -> None:
        self._position += size

    def nullable_bytes(self) -> bytes | None:
        size = self.varint()
        if size == -1:
            return None
        if not 0 <= size <= self._end - self._position:
            raise CorruptError(f"A field of {size} bytes does not fit into its record.")
        start = self._position
        self._position += size
        return bytes(self._data[start : self._position])


def _read_record(reader: _Reader, header: BatchHeader) -> Record:
    size = reader.varint()
    end = reader.position + size
    reader.skip(1)
    timestamp_delta = reader.varint()
    offset_delta = reader.varint()
    key = reader.nullable_bytes()
    value = reader.nullable_bytes()
    header_count = reader.varint()
    record_headers = tuple([_read_record_header(reader) for _ in range(header_count)])
    if reader.position != end:
        raise CorruptError(f"A record is not as long as the {size} bytes that it says.")
    return Record(
        key=key,
        value=value,
        timestamp_ms=header.max_timestamp_ms if header.log_append_time else header.base_timestamp_ms + timestamp_delta,
        offset=header.base_offset + offset_delta,
        headers=record_headers,
    )


def _read_record_header(reader: _Reader) -> RecordHeader:
    name = reader.nullable_bytes()
    if name is None:
        raise CorruptError("A record header has no name.")
    return name.decode(), reader.nullable_bytes()
