"""Uploads and references: what a gateway puts, and what it sends in the place of a batch."""

import contextlib
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylog.model.errors import CorruptError
from raylog.model.ids import TopicId, TopicPartition
from raylog.protocol.batch import Record, assigned, encode_batch, has_valid_crc, headers, read_header
from raylog.storage.data_object import decode_meta
from raylog.storage.read_plan import is_read_plan
from raylog.storage.reference import Reference, decode_reference, encode_reference, is_reference
from raylog.storage.slot_format import RECORD_BYTES, SlotKind, decode_footer, decode_header, meta_from_tail
from raylog.storage.upload import UploadBatch, encode_upload, upload_number, uploaded_at_ms

A, B = (TopicPartition(TopicId(UUID(int=7)), number) for number in range(2))


def upload_batch(partition: TopicPartition, *values: bytes, timestamp_ms: int = 1) -> UploadBatch:
    records = encode_batch([Record(value=value, timestamp_ms=timestamp_ms) for value in values])
    return UploadBatch(partition, records, read_header(records))


def test_batches_of_a_partition_lie_together_and_each_where_its_position_says():
    batches = [
        upload_batch(A, b"a0", b"a1", timestamp_ms=5),
        upload_batch(B, b"b0", timestamp_ms=9),
        upload_batch(A, b"a2", timestamp_ms=3),
    ]
    content, positions = encode_upload(77, bytes(range(16)), batches)
    data = b"".join(content)
    record = decode_footer(data, "k")
    assert decode_header(data, "k") == record and record.size_bytes == len(data)
    assert (record.kind, record.slot, record.epoch) == (SlotKind.UPLOAD, 77, 0)
    for (_, records, header), position in zip(batches, positions, strict=True):
        assert data[position : position + header.size_bytes] == records
    sizes = [batch.header.size_bytes for batch in batches]
    assert positions == [RECORD_BYTES, RECORD_BYTES + sizes[0] + sizes[2], RECORD_BYTES + sizes[0]]
    meta = decode_meta(meta_from_tail(data, record, "k"))
    assert [tuple(row) for row in meta.index] == [
        (*A, 0, 2, RECORD_BYTES, sizes[0] + sizes[2], 5, 3, -1, 0),
        (*B, 0, 0, positions[1], sizes[1], 9, 1, -1, 0),
    ]
    meta.validate(record.body_bytes)


def test_a_number_says_when_its_writer_began_and_fits_an_index_row():
    numbers = {upload_number(1_800_000_000_000, Random(seed)) for seed in range(200)}
    assert len(numbers) == 200 and {uploaded_at_ms(number) for number in numbers} == {1_800_000_000_000}
    assert max(numbers) < upload_number(1_800_000_000_001, Random(0)) < 2**63


def test_a_reference_comes_back():
    records = encode_batch([Record(value=b"v" * 500, timestamp_ms=1)], producer_id=4, producer_epoch=1, base_sequence=9)
    reference = encode_reference(2**63 - 1, 2**40, records)
    assert decode_reference(reference) == Reference(upload=2**63 - 1, position=2**40, header=read_header(records))
    assert is_reference(reference) and not is_reference(records) and not is_reference(b"") and not is_reference(None)
    assert not is_read_plan(reference)


@given(st.data())
def test_a_truncated_reference_is_refused(data: st.DataObject):
    reference = encode_reference(1, 64, encode_batch([Record(value=b"v", timestamp_ms=1)]))
    with pytest.raises(CorruptError):
        decode_reference(reference[: data.draw(st.integers(0, len(reference) - 1))])
    with pytest.raises(CorruptError):
        decode_reference(reference + b"\0")


@given(st.binary(max_size=200))
def test_anything_else_is_refused_in_one_way(data: bytes):
    for candidate in (data, b"RLUR\x01" + data):
        with contextlib.suppress(CorruptError):
            decode_reference(candidate)


def test_offsets_and_epochs_are_written_into_a_copy_and_the_checksums_stay():
    run = b"".join(bytes(upload_batch(A, *values).records) for values in ((b"a", b"b"), (b"c",), (b"d", b"e", b"f")))
    placed = assigned(run, 100, 7)
    found = list(headers(placed))
    assert [(h.base_offset, h.last_offset, h.leader_epoch) for h in found] == [
        (100, 101, 7),
        (102, 102, 7),
        (103, 105, 7),
    ]
    assert all(has_valid_crc(placed, header) for header in found)
    assert [header.base_offset for header in headers(run)] == [0, 0, 0]
