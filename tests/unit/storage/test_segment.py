"""A segment's bytes: held to a golden file; its number, which says its level."""

from pathlib import Path
from random import Random
from uuid import UUID

import pytest

from raylog.model.ids import LeaderEpoch, LogEpoch, TopicId
from raylog.storage.data_object import IndexRow, decode_meta
from raylog.storage.segment import LEVEL_MAX, encode_segment, segment_level, segment_number
from raylog.storage.slot_format import RECORD_BYTES, SlotKind, decode_footer, decode_header, meta_from_tail

GOLDEN = Path(__file__).parents[2] / "golden" / "files" / "segment-v1.bin"
NUMBER = 0x2123_4567_89AB_CDEF
BODY = [b"batches of one partition, ", b"then those of the next"]
ROWS = [
    IndexRow(
        TopicId(UUID("01234567-89ab-4def-8123-456789abcdef")),
        0,
        100,
        149,
        64,
        26,
        1_700_000_000_000,
        50,
        LeaderEpoch(4),
    ),
    IndexRow(TopicId(UUID("01234567-89ab-4def-8123-456789abcdef")), 1, 7, 9, 90, 22, -1, 3, LeaderEpoch(2**31 - 1)),
]


def written() -> bytes:
    parts = encode_segment(number=NUMBER, epoch=LogEpoch(7), writer_id=bytes(range(16)), body=BODY, rows=ROWS)
    return b"".join(parts)


@pytest.mark.parametrize("data", [GOLDEN.read_bytes(), written()], ids=["as it always was", "as it is written now"])
def test_a_segment_is_read(data):
    """The file is never made anew: what it holds lies in people's buckets. (Arrow's bytes may change with its version.)"""
    record = decode_footer(data, "k")
    assert decode_header(data, "k") == record and record.size_bytes == len(data)
    assert (record.kind, record.slot, record.epoch) == (SlotKind.SEGMENT, NUMBER, 7)
    assert record.writer_id == bytes(range(16))
    assert data[RECORD_BYTES : RECORD_BYTES + record.body_bytes] == b"".join(BODY)
    meta = decode_meta(meta_from_tail(data, record, "k"))
    assert list(meta.index) == ROWS and not meta.producers and not meta.events
    meta.validate(record.body_bytes)


@pytest.mark.parametrize("level", range(1, LEVEL_MAX + 1))
def test_a_number_says_its_level_and_fits_an_index_row(level):
    numbers = {segment_number(level, Random(seed)) for seed in range(200)}
    assert len(numbers) == 200 and {segment_level(number) for number in numbers} == {level}
    assert max(numbers) < 2**63


@pytest.mark.parametrize("level", [0, LEVEL_MAX + 1])
def test_there_are_no_other_levels(level):
    with pytest.raises(AssertionError):
        segment_number(level, Random(1))
