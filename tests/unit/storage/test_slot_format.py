"""The slot's bytes: held to a golden file, and refused when they are not what they promise."""

import struct
from dataclasses import replace
from pathlib import Path

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from raylog.model.errors import CorruptError
from raylog.storage.slot_format import (
    RECORD_BYTES,
    SlotKind,
    buffer_bytes,
    decode_footer,
    decode_header,
    encode_slot,
    meta_from_tail,
    record_of,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "files" / "slot-v1.bin"
BODY = [b"record ", bytearray(b"batches"), memoryview(b" by reference")]
META = b'{"what": "the meta"}'


def record(**changes):
    values = {
        "kind": SlotKind.APPEND,
        "slot": 42,
        "epoch": 7,
        "writer_id": bytes(range(16)),
        "body": BODY,
        "meta": META,
    }
    return record_of(**values | changes)


def test_a_slot_is_written_as_it_always_was():
    """The file is never made anew: what it holds lies in people's buckets."""
    assert b"".join(encode_slot(record(), BODY, META)) == GOLDEN.read_bytes()


def test_the_golden_slot_is_read():
    data = GOLDEN.read_bytes()
    assert decode_header(data, "k") == decode_footer(data, "k") == record()
    assert meta_from_tail(data, record(), "k") == META
    assert data[RECORD_BYTES : RECORD_BYTES + record().body_bytes] == b"record batches by reference"


def test_the_layout_is_the_documented_one():
    """As docs/format.md has it, in other words than the code's."""
    header, footer = GOLDEN.read_bytes()[:64], GOLDEN.read_bytes()[-64:]
    assert (header[:8], footer[:8]) == (b"RAYLOG\r\n", b"\r\nGOLYAR")
    for data in (header, footer):
        assert struct.unpack_from(">HBB", data, 8) == (1, 2, 0)
        assert struct.unpack_from(">I", data, 12) == (crc32c(META),)
        assert struct.unpack_from(">QQ", data, 16) == (7, 42)
        assert data[32:48] == bytes(range(16))
        assert struct.unpack_from(">QI", data, 48) == (27, 20)
        assert struct.unpack_from(">I", data, 60) == (crc32c(data[:60]),)


def test_the_bodys_buffers_are_passed_on_by_reference():
    assert encode_slot(record(), BODY, META)[1:-2] == BODY
    assert encode_slot(record(), BODY, META)[1] is BODY[0]


@given(
    kind=st.sampled_from(SlotKind),
    slot=st.integers(0, 2**64 - 1),
    epoch=st.integers(0, 2**64 - 1),
    writer_id=st.binary(min_size=16, max_size=16),
    body=st.lists(st.binary(max_size=50), max_size=4),
    meta=st.binary(max_size=200),
)
def test_what_is_encoded_is_decoded(kind, slot, epoch, writer_id, body, meta):
    written = record_of(kind=kind, slot=slot, epoch=epoch, writer_id=writer_id, body=body, meta=meta)
    data = b"".join(encode_slot(written, body, meta))
    assert len(data) == written.size_bytes
    assert decode_header(data, "k") == decode_footer(data, "k") == written
    assert meta_from_tail(data, written, "k") == meta


@pytest.mark.parametrize("position", range(RECORD_BYTES))
def test_any_flipped_byte_of_a_header_is_found(position):
    data = bytearray(GOLDEN.read_bytes())
    data[position] ^= 0x40
    with pytest.raises(CorruptError):
        decode_header(data, "k")


def test_a_meta_that_does_not_match_is_refused():
    data = GOLDEN.read_bytes()
    for wrong in (replace(record(), meta_crc=1), replace(record(), meta_bytes=10**6)):
        with pytest.raises(CorruptError, match="meta of slot 'k'"):
            meta_from_tail(data, wrong, "k")


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [(8, b"\0\2", "version 2.*newer"), (10, b"\x09", "kind 9.*newer")],
)
def test_what_a_newer_raylog_wrote_is_said_to_be_newer(offset, value, message):
    data = bytearray(GOLDEN.read_bytes()[:RECORD_BYTES])
    data[offset : offset + len(value)] = value
    data[60:] = struct.pack(">I", crc32c(bytes(data[:60])))
    with pytest.raises(CorruptError, match=message):
        decode_header(data, "k")


@pytest.mark.parametrize("data", [b"", b"short", bytes(64), b"x" * 200])
def test_other_bytes_are_no_slot(data):
    for decode in (decode_header, decode_footer):
        with pytest.raises(CorruptError, match="magic"):
            decode(data, "k")


def test_a_writer_id_has_sixteen_bytes():
    with pytest.raises(ValueError, match="16"):
        record(writer_id=b"short")


def test_sizes_are_bytes_whatever_the_items_of_a_view():
    assert buffer_bytes([b"ab", memoryview(bytes(16)).cast("Q")]) == 18
