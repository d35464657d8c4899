"""The codecs of record batches: the records section uncompressed, with a bound on its size against compression bombs.

gzip, lz4 (frames) and zstd are read as streams through pyarrow, so that never more than the bound is produced. Snappy
comes raw (librdkafka, Go) or in xerial's framing (Java): a magic of 8 bytes, two version numbers, then blocks with a
4-byte length each.
"""

import struct
import zlib
from typing import Final

import pyarrow as pa

from raylog.model.buffers import Buffer
from raylog.model.errors import CorruptError

NONE: Final = 0
GZIP: Final = 1
SNAPPY: Final = 2
LZ4: Final = 3
ZSTD: Final = 4

CODEC_NAMES: Final = {NONE: "none", GZIP: "gzip", SNAPPY: "snappy", LZ4: "lz4", ZSTD: "zstd"}

_XERIAL_MAGIC = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES = 16
_I32 = struct.Struct(">i")


def decompress(codec: int, data: Buffer, *, max_bytes: int) -> Buffer:
    """``data`` uncompressed. Raises CorruptError when it is broken or has more than ``max_bytes``."""
    if codec == NONE:
        return data
    if codec not in CODEC_NAMES:
        raise CorruptError(f"{codec} is not a codec of record batches.")
    try:
        plain = _snappy(data, max_bytes) if codec == SNAPPY else _stream(CODEC_NAMES[codec], data, max_bytes)
    except (OSError, ValueError, struct.error, zlib.error) as error:
        raise CorruptError(f"Records compressed with {CODEC_NAMES[codec]} cannot be read: {error}.") from error
    return plain


def _stream(name: str, data: Buffer, max_bytes: int) -> bytes:
    with pa.CompressedInputStream(pa.BufferReader(pa.py_buffer(data)), name) as stream:
        plain = bytes(stream.read(max_bytes + 1))
    _check_size(len(plain), max_bytes)
    return plain


def _snappy(data: Buffer, max_bytes: int) -> bytes:
    if bytes(data[: len(_XERIAL_MAGIC)]) != _XERIAL_MAGIC:
        return _snappy_block(data, max_bytes)
    view = memoryview(data)
    blocks = []
    position, left = _XERIAL_HEADER_BYTES, max_bytes
    while position < len(view):
        size = _I32.unpack_from(view, position)[0]
        position += _I32.size
        if not 0 <= size <= len(view) - position:
            raise CorruptError(f"A snappy block of {size} bytes does not fit into its batch.")
        blocks.append(_snappy_block(view[position : position + size], left))
        left -= len(blocks[-1])
        position += size
    return b"".join(blocks)


def _snappy_block(data: Buffer, max_bytes: int) -> bytes:
    size = _snappy_size(data)
    _check_size(size, max_bytes)
    return bytes(pa.Codec("snappy").decompress(pa.py_buffer(data), decompressed_size=size))


def _snappy_size(data: Buffer) -> int:
    """A raw snappy block begins with its uncompressed size, in 7-bit groups, the lowest first."""
    size = shift = 0
    for byte in bytes(data[:5]):
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            return size
        shift += 7
    raise CorruptError("A snappy block has no size.")


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise CorruptError(f"A record batch has more than {max_bytes} bytes uncompressed.")
