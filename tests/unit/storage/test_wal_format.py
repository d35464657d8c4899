"""The file WAL's bytes: round trips, and refusals where reading on would be wrong."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylog.model.errors import CorruptError
from raylog.model.ids import LeaderId, LogEpoch, Lsn, TopicId, TopicPartition
from raylog.storage.wal import WalEntry
from raylog.storage.wal_format import (
    ENTRY_HEADER_BYTES,
    FENCE_BYTES,
    HEADER_BYTES_MAX,
    SegmentHeader,
    cut_off_entry_bytes,
    decode_entries,
    decode_segment_header,
    encode_entry_header,
    encode_fence_mark,
    entry_bytes,
    highest_fence_mark,
)

LEADER = LeaderId(3)
U64 = st.integers(0, 2**64 - 1)


def header(generation: int = 1, cuts: int = 0) -> SegmentHeader:
    return SegmentHeader(
        leader_id=LEADER,
        epoch=LogEpoch(5),
        generation=generation,
        first_lsn=Lsn(1),
        cuts={LogEpoch(number): Lsn(number) for number in range(cuts)},
    )


def segment(of: SegmentHeader, bodies: list[bytes]) -> bytes:
    data = of.encode()
    for lsn, body in enumerate(bodies, start=of.first_lsn):
        entry = WalEntry(Lsn(lsn), TopicPartition(TopicId(UUID(int=9)), 2), (body,), len(body))
        encoded = encode_entry_header(entry, of.epoch, of.generation) + body
        assert len(encoded) == entry_bytes(entry)
        data += encoded
    return data


@given(st.integers(0, 2**32 - 1), U64, U64, U64, st.dictionaries(U64, U64, max_size=5))
def test_a_header_comes_back(leader: int, epoch: int, generation: int, lsn: int, cuts: dict[int, int]) -> None:
    made = SegmentHeader(
        leader_id=LeaderId(leader),
        epoch=LogEpoch(epoch),
        generation=generation,
        first_lsn=Lsn(lsn),
        cuts={LogEpoch(cut): Lsn(last) for cut, last in cuts.items()},
    )
    assert decode_segment_header(made.encode()) == made


@pytest.mark.parametrize("cuts", [0, 1, 252, 253, 4000])
def test_a_header_fills_pages_and_no_more_than_its_reader_reads(cuts: int) -> None:
    encoded = header(cuts=cuts).encode()
    assert len(encoded) % 4096 == 0 and len(encoded) == header(cuts=cuts).size_bytes <= HEADER_BYTES_MAX
    assert decode_segment_header(encoded) == header(cuts=cuts)


def test_a_newer_format_is_refused_and_not_taken_for_a_torn_header() -> None:
    from crc32c import crc32c

    encoded = bytearray(header().encode())
    encoded[12:14] = (3).to_bytes(2, "big")
    encoded[0:4] = crc32c(bytes(encoded[4:46])).to_bytes(4, "big")
    with pytest.raises(CorruptError, match="format version 3"):
        decode_segment_header(bytes(encoded))


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_entries_come_back(bodies: list[bytes]) -> None:
    data = segment(header(), bodies) + bytes(100)
    found = list(decode_entries(data, header(), Lsn(1), header().size_bytes))
    assert [entry.parts for entry in found] == [(body,) for body in bodies]
    assert [entry.lsn for entry in found] == list(range(1, len(bodies) + 1))
    assert all(entry.partition == TopicPartition(TopicId(UUID(int=9)), 2) for entry in found)


@given(st.binary(min_size=1, max_size=300), st.integers(0, 400))
def test_a_take_over_comes_back_as_one(body: bytes, cut: int) -> None:
    entry = WalEntry(Lsn(1), TopicPartition(TopicId(UUID(int=9)), 2), (body,), len(body), is_take_over=True)
    whole = encode_entry_header(entry, header().epoch, header().generation) + body
    assert list(decode_entries(whole, header(), Lsn(1), 0)) == [entry]
    size_bytes = cut_off_entry_bytes(whole[:cut], header(), Lsn(1), 0)
    assert size_bytes == (0 if cut >= len(whole) else len(whole) if cut >= ENTRY_HEADER_BYTES else ENTRY_HEADER_BYTES)


def test_content_of_another_use_of_the_file_is_no_entry() -> None:
    data = segment(header(generation=1), [b"old"])
    assert not list(decode_entries(data, header(generation=2), Lsn(1), header().size_bytes))
    assert not list(decode_entries(data, header(generation=1), Lsn(2), header().size_bytes))


@given(st.binary(max_size=300), st.integers(0, 400))
def test_an_entry_that_the_data_cuts_off_tells_its_size_and_a_whole_or_foreign_one_does_not(
    body: bytes, cut: int
) -> None:
    whole = segment(header(), [body])[header().size_bytes :]
    size_bytes = cut_off_entry_bytes(whole[:cut], header(), Lsn(1), 0)
    assert size_bytes == (0 if cut >= len(whole) else len(whole) if cut >= ENTRY_HEADER_BYTES else ENTRY_HEADER_BYTES)
    assert cut_off_entry_bytes(whole[:-1], header(), Lsn(2), 0) == (0 if body else ENTRY_HEADER_BYTES)


def test_the_highest_mark_never_goes_down() -> None:
    page = bytearray(FENCE_BYTES)
    assert highest_fence_mark(page, LEADER) == 0
    for epoch in (7, 200, 3, 129):
        position, mark = encode_fence_mark(LEADER, LogEpoch(epoch))
        page[position : position + len(mark)] = mark
        assert highest_fence_mark(page, LEADER) == max(7, 200 if epoch != 7 else 0)


def test_a_mark_half_written_does_not_count() -> None:
    page = bytearray(FENCE_BYTES)
    position, mark = encode_fence_mark(LEADER, LogEpoch(7))
    for cut in range(len(mark)):
        page[position : position + len(mark)] = mark[:cut].ljust(len(mark), b"\0")
        assert highest_fence_mark(page, LEADER) == 0


def test_another_leaders_mark_is_refused() -> None:
    position, mark = encode_fence_mark(LeaderId(4), LogEpoch(7))
    with pytest.raises(CorruptError, match="belongs to leader 4"):
        highest_fence_mark(bytes(position) + mark, LEADER)
