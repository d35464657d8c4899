"""Producers' batches are judged by Kafka's rules, and brokers' fields are set without touching the rest."""

import struct
from collections.abc import Callable
from contextlib import suppress

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st
from kio.schema.errors import ErrorCode

from raylog.model.errors import CorruptError
from raylog.protocol.batch import (
    BatchHeader,
    Record,
    RecordsError,
    decode_records,
    encode_batch,
    has_valid_crc,
    headers,
    patched,
    read_header,
    validate,
    with_append_time,
)

MAX_BYTES = 1_048_588


def batch(count: int = 3, *, value_bytes: int = 5, **fields: int) -> bytes:
    return encode_batch([Record(value=bytes(value_bytes), timestamp_ms=1000 + i) for i in range(count)], **fields)


def changed(good: bytes, position: int, layout: str, value: int, *, new_crc: bool = True) -> bytes:
    """The batch with one header field changed, and the CRC made to fit."""
    bad = bytearray(good)
    struct.pack_into(">" + layout, bad, position, value)
    if new_crc:
        struct.pack_into(">I", bad, 17, crc32c(bytes(bad[21:])))
    return bytes(bad)


def refusal(records: bytes | None, **kwargs: int) -> ErrorCode:
    with pytest.raises(RecordsError) as refused:
        validate(records, **{"max_batch_bytes": MAX_BYTES, **kwargs})
    assert str(refused.value).endswith(".")
    return refused.value.error_code


def test_a_good_batch_is_taken() -> None:
    (header,) = validate(batch(producer_id=9, producer_epoch=2, base_sequence=4), max_batch_bytes=MAX_BYTES)
    assert header.position == 0
    assert header.size_bytes == len(batch())
    assert (header.producer_id, header.producer_epoch, header.base_sequence, header.last_sequence) == (9, 2, 4, 6)
    assert (header.base_timestamp_ms, header.max_timestamp_ms, header.record_count) == (1000, 1002, 3)
    assert not header.control
    assert not header.transactional
    assert header.last_offset == 2


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda b: None, ErrorCode.invalid_record),
        (lambda b: b"", ErrorCode.invalid_record),
        (lambda b: b + b, ErrorCode.invalid_record),
        (lambda b: b[:-1], ErrorCode.corrupt_message),
        (lambda b: b[:20], ErrorCode.corrupt_message),
        (lambda b: b[:5], ErrorCode.corrupt_message),
        (lambda b: b + b"x", ErrorCode.corrupt_message),
        (lambda b: b[:-1] + b"x", ErrorCode.corrupt_message),
        (lambda b: changed(b, 8, "i", -1), ErrorCode.corrupt_message),
        (lambda b: changed(b, 8, "i", 48), ErrorCode.corrupt_message),
        (lambda b: changed(b, 8, "i", 2**31 - 1), ErrorCode.corrupt_message),
        (lambda b: changed(b, 16, "b", 0), ErrorCode.unsupported_for_message_format),
        (lambda b: changed(b, 16, "b", 1), ErrorCode.unsupported_for_message_format),
        (lambda b: changed(b, 16, "b", 3), ErrorCode.corrupt_message),
        (lambda b: changed(b, 16, "b", -1), ErrorCode.corrupt_message),
        (lambda b: changed(b, 0, "q", 1), ErrorCode.invalid_record),
        (lambda b: changed(b, 23, "i", 1), ErrorCode.invalid_record),
        (lambda b: changed(b, 57, "i", 4), ErrorCode.invalid_record),
        (lambda b: changed(changed(b, 57, "i", 0), 23, "i", -1), ErrorCode.invalid_record),
        (lambda b: changed(b, 21, "h", 0x20), ErrorCode.invalid_record),
        (lambda b: changed(b, 21, "h", 0x10), ErrorCode.invalid_record),
        (lambda b: changed(b, 43, "q", 5), ErrorCode.invalid_record),
        (lambda b: changed(b, 21, "h", 0x08), ErrorCode.invalid_timestamp),
        (lambda b: changed(b, 21, "h", 5), ErrorCode.unsupported_compression_type),
    ],
)
def test_a_bad_batch_gets_kafkas_error(spoil: Callable[[bytes], bytes | None], code: ErrorCode) -> None:
    assert refusal(spoil(batch())) is code


def test_old_formats_are_told_by_their_magic_even_when_they_are_short() -> None:
    """A v0 message of 20 bytes is shorter than a batch's header; librdkafka sends such when it falls back."""
    message = struct.pack(">qiib", 0, 8, 0, 0) + b"\0\0\0"
    assert refusal(message) is ErrorCode.unsupported_for_message_format


def test_a_batch_at_the_limit_is_taken_and_one_above_is_not() -> None:
    good = batch()
    assert validate(good, max_batch_bytes=len(good))
    assert refusal(good, max_batch_bytes=len(good) - 1) is ErrorCode.message_too_large


def test_zstd_needs_produce_version_7() -> None:
    zstd = changed(batch(), 21, "h", 4)
    assert refusal(zstd, api_version=6) is ErrorCode.unsupported_compression_type
    assert validate(zstd, max_batch_bytes=MAX_BYTES, api_version=7)


def test_several_batches_are_taken_where_that_is_asked_for() -> None:
    found = validate(batch(1) + batch(2), max_batch_bytes=MAX_BYTES, single_batch=False)
    assert [header.record_count for header in found] == [1, 2]
    assert found[1].position == found[0].end


@given(st.binary(max_size=200))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(RecordsError):
        validate(noise, max_batch_bytes=MAX_BYTES)


@given(st.integers(0, 3).flatmap(lambda n: st.binary(max_size=100).map(lambda tail: batch(n + 1) + tail)))
def test_headers_end_or_are_corrupt(records: bytes) -> None:
    with suppress(CorruptError):
        assert sum(header.size_bytes for header in headers(records)) == len(records)


@given(st.binary(min_size=1, max_size=3), st.integers(17, 75))
def test_any_change_behind_the_prefix_is_noticed(noise: bytes, position: int) -> None:
    good = batch()
    bad = good[:position] + noise + good[position + len(noise) :]
    if bad != good:
        with pytest.raises(RecordsError):
            validate(bad, max_batch_bytes=MAX_BYTES)


@pytest.mark.parametrize("value_bytes", [5, 100_000])
@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_patching_sets_offset_and_epoch_and_nothing_else(
    value_bytes: int, wrap: Callable[[bytes], bytes | bytearray | memoryview]
) -> None:
    first, second = batch(2), batch(3, value_bytes=value_bytes, producer_id=4, producer_epoch=1, base_sequence=0)
    header = list(headers(first + second))[1]
    whole = b"".join(patched(wrap(first + second), header, 2**40, 17))
    after = read_header(whole)
    assert (after.base_offset, after.leader_epoch, after.last_offset) == (2**40, 17, 2**40 + 2)
    assert whole[8:12] + whole[16:] == second[8:12] + second[16:]
    assert has_valid_crc(whole, after)


def test_a_large_batch_is_patched_without_a_copy() -> None:
    large = batch(1, value_bytes=100_000)
    prefix, rest = patched(large, read_header(large), 5, 1)
    assert len(prefix) == 16
    assert isinstance(rest, memoryview)
    assert rest.obj is large


def test_append_time() -> None:
    records = batch(2) + batch(3)
    header = list(headers(records))[1]
    stamped, after = with_append_time(records, header, 99_000)
    assert read_header(stamped) == after
    assert has_valid_crc(stamped, after)
    assert after.log_append_time
    assert (after.max_timestamp_ms, after.base_timestamp_ms) == (99_000, 1000)
    assert [record.timestamp_ms for record in decode_records(stamped)] == [99_000] * 3
    assert [record.value for record in decode_records(stamped)] == [bytes(5)] * 3


def test_sequences_wrap() -> None:
    header = read_header(batch(3, producer_id=1, producer_epoch=0, base_sequence=2**31 - 2))
    assert header.last_sequence == 0
    assert read_header(batch(3)).last_sequence == -1


def test_attributes() -> None:
    header = read_header(batch(1, attributes=0x30 | 4))
    assert (header.codec, header.transactional, header.control, header.log_append_time) == (4, True, True, False)
    assert isinstance(header, BatchHeader)
