"""Records come back from batches as they went in, with every codec, and broken batches are found out."""

import contextlib
import gzip
import struct

import pyarrow as pa
import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from raylog.model.errors import CorruptError
from raylog.protocol.batch_header import CRC_START, HEADER, HEADER_BYTES, read_header
from raylog.protocol.compression import CODEC_NAMES, GZIP, LZ4, SNAPPY, ZSTD, decompress
from raylog.protocol.records import Record, decode_records, encode_batch

_bytes = st.one_of(st.none(), st.binary(max_size=64))
_records = st.lists(
    st.builds(
        Record,
        key=_bytes,
        value=_bytes,
        timestamp_ms=st.integers(0, 2**45),
        headers=st.lists(st.tuples(st.text(max_size=8), _bytes), max_size=3).map(tuple),
    ),
    min_size=1,
    max_size=20,
)


def compressed(batch: bytes, codec: int, body: bytes | None = None) -> bytes:
    """The batch with its records compressed (or replaced by ``body``), as a producer would send it."""
    plain = batch[HEADER_BYTES:]
    if body is None:
        body = {
            GZIP: gzip.compress,
            SNAPPY: lambda data: pa.Codec("snappy").compress(data, asbytes=True),
            LZ4: lambda data: pa.Codec("lz4").compress(data, asbytes=True),
            ZSTD: lambda data: pa.Codec("zstd").compress(data, asbytes=True),
        }[codec](plain)
    whole = bytearray(batch[:HEADER_BYTES] + body)
    struct.pack_into(">i", whole, 8, len(whole) - 12)
    struct.pack_into(">h", whole, 21, codec)
    struct.pack_into(">I", whole, 17, crc32c(bytes(whole[CRC_START:])))
    return bytes(whole)


def xerial(data: bytes, block_bytes: int) -> bytes:
    """Snappy in the framing of Kafka's Java clients."""
    framed = bytearray(b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1))
    for start in range(0, len(data), block_bytes):
        block = pa.Codec("snappy").compress(data[start : start + block_bytes], asbytes=True)
        framed += struct.pack(">i", len(block)) + block
    return bytes(framed)


@given(_records, st.integers(0, 2**62))
def test_records_come_back_with_offsets_in_order(records: list[Record], base_offset: int) -> None:
    batch = encode_batch(records, base_offset=base_offset)
    found = decode_records(batch)
    assert [(r.key, r.value, r.timestamp_ms, r.headers) for r in found] == [
        (r.key, r.value, r.timestamp_ms, r.headers) for r in records
    ]
    assert [r.offset for r in found] == list(range(base_offset, base_offset + len(records)))


@given(_records, st.sampled_from(sorted(set(CODEC_NAMES) - {0})))
def test_every_codec_is_read(records: list[Record], codec: int) -> None:
    batch = encode_batch(records)
    assert decode_records(compressed(batch, codec)) == decode_records(batch)


def test_snappy_in_xerial_framing_is_read() -> None:
    batch = encode_batch([Record(value=b"a" * 1000), Record(value=b"b" * 1000)])
    framed = compressed(batch, SNAPPY, xerial(batch[HEADER_BYTES:], block_bytes=300))
    assert decode_records(framed) == decode_records(batch)


def test_records_of_a_cleaned_log_keep_their_offsets() -> None:
    batch = encode_batch([Record(offset=10), Record(offset=14), Record(offset=15)], base_offset=10)
    assert [r.offset for r in decode_records(batch)] == [10, 14, 15]
    assert read_header(batch).last_offset == 15


def test_offsets_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="not above"):
        encode_batch([Record(offset=14), Record(offset=14)], base_offset=10)


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        encode_batch([])


def test_a_log_append_time_stands_for_every_record() -> None:
    batch = bytearray(encode_batch([Record(timestamp_ms=5), Record(timestamp_ms=6)], attributes=0x08))
    struct.pack_into(">q", batch, 35, 99)
    assert [r.timestamp_ms for r in decode_records(bytes(batch))] == [99, 99]


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD])
def test_a_compression_bomb_is_refused_at_the_bound(codec: int) -> None:
    batch = compressed(encode_batch([Record(value=bytes(1_000_000))]), codec)
    with pytest.raises(CorruptError, match="more than 1000 bytes"):
        decode_records(batch, max_bytes=1000)


def test_a_xerial_bomb_is_refused_at_the_bound() -> None:
    with pytest.raises(CorruptError, match="more than"):
        decompress(SNAPPY, xerial(bytes(10_000), block_bytes=600), max_bytes=1000)


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD, 5, 6, 7])
@given(st.binary(max_size=200))
def test_broken_compression_is_corrupt(codec: int, noise: bytes) -> None:
    with contextlib.suppress(CorruptError):
        decompress(codec, noise, max_bytes=10_000)


@given(_records, st.data())
def test_changed_bytes_give_records_or_a_corrupt_error(records: list[Record], data: st.DataObject) -> None:
    batch = bytearray(encode_batch(records))
    for _ in range(data.draw(st.integers(1, 4))):
        batch[data.draw(st.integers(HEADER_BYTES, len(batch) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(CorruptError):
        decode_records(bytes(batch))


def test_a_count_above_the_records_there_are_is_corrupt() -> None:
    batch = bytearray(encode_batch([Record(value=b"a")]))
    struct.pack_into(">i", batch, 57, 2**31 - 1)
    with pytest.raises(CorruptError):
        decode_records(bytes(batch))
    struct.pack_into(">i", batch, 57, 0)
    with pytest.raises(CorruptError, match="more bytes"):
        decode_records(bytes(batch))


def test_the_crc_covers_attributes_to_end() -> None:
    batch = encode_batch([Record(key=b"k", value=b"v")], producer_id=7, producer_epoch=1, base_sequence=3)
    assert read_header(batch).crc == crc32c(batch[CRC_START:])
    assert HEADER.unpack_from(batch)[9:] == (7, 1, 3, 1)
