"""The golden files of a file WAL's volume: a segment with entries, and the fence."""

from typing import Any

from raylog.model.ids import LeaderId, LogEpoch, Lsn, TopicPartition
from raylog.storage.wal import WalEntry
from raylog.storage.wal_format import (
    FENCE_BYTES,
    SegmentHeader,
    decode_entries,
    decode_segment_header,
    encode_entry_header,
    encode_fence_mark,
    highest_fence_mark,
)
from raylog.storage.wal_take_over import encode_take_over
from tests.golden.golden import Golden, with_bytes
from tests.golden.objects import crc
from tests.golden.partitions import CLICKS, ORDERS, TAKE_OVER_WITH_CHANGES

LEADER = LeaderId(3)
EPOCHS = (LogEpoch(5), LogEpoch(133), LogEpoch(6))
"""The first two share a place in the fence."""

HEADER = SegmentHeader(
    leader_id=LEADER,
    epoch=LogEpoch(7),
    generation=2,
    first_lsn=Lsn(2**40),
    cuts={LogEpoch(5): Lsn(17), LogEpoch(6): Lsn(0)},
)
ENTRIES = [
    WalEntry(Lsn(2**40), TopicPartition(ORDERS, 0), (b"batches of orders-0",), 19),
    WalEntry(Lsn(2**40 + 1), TopicPartition(CLICKS, 7), (b"those of clicks-7",), 17),
]
TAKE_OVER = encode_take_over(TAKE_OVER_WITH_CHANGES, LogEpoch(7))
ENTRIES_WITH_A_TAKE_OVER = [
    *ENTRIES,
    WalEntry(Lsn(2**40 + 2), TopicPartition(CLICKS, 8), (TAKE_OVER,), len(TAKE_OVER), is_take_over=True),
]
_UNUSED = bytes(64)
"""The rest of a segment, as it was made."""
_HEADER_USED = 46 + 16 * len(HEADER.cuts)


def _write_segment() -> bytes:
    data = HEADER.encode()
    for entry in ENTRIES_WITH_A_TAKE_OVER:
        data += encode_entry_header(entry, HEADER.epoch, HEADER.generation) + b"".join(entry.parts)
    return data + _UNUSED


def _read_segment(data: bytes) -> Any:
    header = decode_segment_header(data)
    assert header is not None
    return header, list(decode_entries(data, header, header.first_lsn, HEADER.size_bytes))


def _newer_segment(data: bytes) -> bytes:
    content = with_bytes(data[4:_HEADER_USED], 8, (3).to_bytes(2, "big"))
    return with_bytes(data, 0, crc(content) + content)


def _write_fence() -> bytes:
    page = bytes(FENCE_BYTES)
    for epoch in EPOCHS:
        page = with_bytes(page, *encode_fence_mark(LEADER, epoch))
    return page


def _newer_fence(page: bytes) -> bytes:
    """A newer Raylog has added its mark."""
    content = b"RAYLOGWF" + (1).to_bytes(2, "big") + bytes(2) + LEADER.to_bytes(4, "big") + (200).to_bytes(8, "big")
    return with_bytes(page, 200 % 128 * 32, content + crc(content))


FILE_WAL = [
    Golden(
        file="wal-segment-v1.bin",
        section="Segment of a WAL",
        read=_read_segment,
        value=(HEADER, ENTRIES),
    ),
    Golden(
        file="wal-segment-v2.bin",
        section="Segment of a WAL",
        read=_read_segment,
        value=(HEADER, ENTRIES_WITH_A_TAKE_OVER),
        write=_write_segment,
        newer={"segment": _newer_segment},
    ),
    Golden(
        file="wal-fence-v0.bin",
        section="Fence of a WAL",
        read=lambda page: highest_fence_mark(page, LEADER),
        value=133,
        write=_write_fence,
        newer={"mark": _newer_fence},
    ),
]
