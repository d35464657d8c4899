"""The meta of a leader log's slot: held to a golden file, readable by plain Arrow, refused when it is newer or damaged."""

import json
from pathlib import Path
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylog.model.errors import CorruptError
from raylog.model.ids import TopicPartition
from raylog.storage.data_object import IndexRow, ProducerRow, SlotMeta, decode_meta, encode_meta
from raylog.storage.slot_events import (
    _TYPES,
    Adopt,
    Delete,
    HandOver,
    LogStart,
    Release,
    SegmentPut,
    Swap,
    SwapPart,
    SwapRow,
    TakeOver,
    WalPosition,
    event_from_json,
    event_to_json,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "files" / "data-object-meta-v1.bin"
ORDERS, CLICKS = UUID("01234567-89ab-4def-8123-456789abcdef"), UUID(int=2**128 - 1)
FIRST_EVENTS = (
    Adopt(partition=TopicPartition(ORDERS, 0), epoch_base=-3, topic_name="orders", configs={"retention.ms": "1"}),
    Release(partition=TopicPartition(CLICKS, 4), end_offset=99),
    Delete(partition=TopicPartition(CLICKS, 4)),
    LogStart(partition=TopicPartition(ORDERS, 0), offset=17),
    WalPosition(epoch=3, lsn=2**40),
)
SWAP_EVENTS = (
    SegmentPut(segment=2**63 - 1),
    Swap(
        segment=1 << 60,
        parts=(
            SwapPart(
                TopicPartition(ORDERS, 0), (SwapRow(100, 149, 64, 1000, 5, 50, 4), SwapRow(150, 150, 1064, 5, -1, 1, 5))
            ),
            SwapPart(TopicPartition(CLICKS, 7), (SwapRow(2**62, 2**62 + 1, 2**40, 2**30, 2**45, 2, 2**31 - 1),)),
        ),
    ),
)
MOVE_EVENTS = (
    HandOver(partition=TopicPartition(ORDERS, 0), end_offset=5, epoch_base=-3, handover=2**63 - 1, first_slot=12),
    TakeOver(
        partition=TopicPartition(ORDERS, 0),
        epoch_base=2,
        topic_name="orders",
        from_leader=4,
        handover=2**63 - 1,
        configs={"retention.ms": "1"},
    ),
)
EVERY_EVENT = (*FIRST_EVENTS, *SWAP_EVENTS, *MOVE_EVENTS)
"""The first of them are those of the golden file."""
META = SlotMeta(
    index=[
        IndexRow(ORDERS, 0, 100, 149, 64, 1000, 1_700_000_000_000, 50, 4),
        IndexRow(ORDERS, 0, 150, 150, 1064, 500, 1_700_000_000_001, 1, 4),
        IndexRow(CLICKS, 7, 2**62, 2**62 + 1, 1564, 2**40, -1, 2, 2**31 - 1),
    ],
    producers=[ProducerRow(ORDERS, 0, 1000, 3, 2**31 - 1, 5, 100, 106, 1_700_000_000_000)],
    events=FIRST_EVENTS,
)


def plain(meta):
    return list(meta.index), list(meta.producers), list(meta.events)


def test_a_meta_written_by_an_earlier_build_is_read():
    """The file is never made anew: what it holds lies in people's buckets. (Arrow's bytes may change with its version.)"""
    assert plain(decode_meta(GOLDEN.read_bytes())) == plain(META)


def test_what_is_encoded_is_decoded():
    assert plain(decode_meta(encode_meta(META))) == plain(META)


@pytest.mark.parametrize(
    "meta",
    [
        SlotMeta(),
        SlotMeta(index=META.index),
        SlotMeta(producers=META.producers),
        SlotMeta(events=[WalPosition(epoch=1, lsn=0)]),
    ],
)
def test_absent_parts_stay_absent(meta):
    assert plain(decode_meta(encode_meta(meta))) == plain(meta)


@pytest.mark.parametrize(("upload", "version"), [(0, 1), (5, 2)])
def test_an_older_raylog_is_kept_from_rows_that_point_elsewhere_and_from_nothing_else(upload, version):
    rows = [*META.index, META.index[-1]._replace(upload=upload)]
    encoded = encode_meta(SlotMeta(index=rows))
    assert int.from_bytes(encoded[4:6], "big") == version
    assert list(decode_meta(encoded).index) == rows


INT64 = st.integers(0, 2**63 - 1)
INT32 = st.integers(0, 2**31 - 1)
TOPIC = st.sampled_from([ORDERS, CLICKS])


@given(
    st.lists(
        st.builds(IndexRow, TOPIC, INT32, INT64, INT64, INT64, INT64, INT64, INT64, INT32, st.just(0) | INT64),
        max_size=20,
    ),
    st.lists(
        st.builds(ProducerRow, TOPIC, INT32, INT64, st.integers(-1, 2**15 - 1), INT32, INT32, INT64, INT64, INT64),
        max_size=20,
    ),
)
def test_any_rows_come_back(index, producers):
    meta = SlotMeta(index=index, producers=producers)
    assert plain(decode_meta(encode_meta(meta))) == plain(meta)


def test_other_programs_read_the_index_with_arrow_alone():
    """As docs/format.md tells them to."""
    data = encode_meta(META)
    size = int.from_bytes(data[8:12], "big")
    table = pa.ipc.open_stream(data[24 : 24 + size]).read_all()
    assert table.column("first_offset").to_pylist() == [100, 150, 2**62]
    assert table.column("topic_id").to_pylist()[0] == ORDERS.bytes
    assert table.column_names == [
        "topic_id",
        "partition",
        "first_offset",
        "last_offset",
        "position",
        "size",
        "max_timestamp",
        "record_count",
        "leader_epoch",
    ]


def test_a_column_that_a_later_build_adds_is_passed_over():
    data = encode_meta(SlotMeta(index=META.index))
    size = int.from_bytes(data[8:12], "big")
    table = pa.ipc.open_stream(data[24 : 24 + size]).read_all()
    wider = table.append_column("transactional", pa.array([True] * 3))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, wider.schema) as writer:
        writer.write_table(wider)
    stream = sink.getvalue().to_pybytes()
    newer = data[:8] + len(stream).to_bytes(4, "big") + data[12:24] + stream + bytes(-len(stream) % 8)
    assert plain(decode_meta(newer)) == plain(SlotMeta(index=META.index))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"", "magic"),
        (lambda data: b"XXXX" + data[4:], "magic"),
        (lambda data: data[:4] + b"\0\4" + data[6:], "version 4.*newer"),
        (lambda data: data[:-8], "envelope"),
        (lambda data: data + b"x", "envelope"),
        (lambda data: data[:24] + bytes(200) + data[224:], "cannot be decoded"),
    ],
)
def test_what_is_damaged_or_newer_is_refused_with_a_sentence(damage, message):
    with pytest.raises(CorruptError, match=message):
        decode_meta(damage(encode_meta(META)))


def test_every_event_comes_back_as_it_was():
    events = list(EVERY_EVENT)
    assert {type(event) for event in events} == set(_TYPES.values())
    assert [event_from_json(json.loads(json.dumps(event_to_json(event)))) for event in events] == events


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"type": "explode"}, "'explode'"),
        ({}, "'None'"),
        ({"type": "wal_position", "epoch": 1}, "fields: lsn"),
        ({"type": "wal_position", "epoch": 1, "lsn": 1, "colour": 2}, "fields: colour"),
    ],
)
def test_an_event_that_is_not_understood_is_refused(values, message):
    with pytest.raises(CorruptError, match=message):
        event_from_json(values)


def test_validate_finds_rows_that_no_writer_makes():
    META.validate(body_bytes=2**41)
    for body_bytes, index in (
        (1000, META.index),
        (10_000, [META.index[1], META.index[0]]),
        (10_000, [IndexRow(ORDERS, 0, 5, 4, 64, 10, 0, 1, 1)]),
        (10_000, [IndexRow(ORDERS, 0, 5, 5, 0, 10, 0, 1, 1)]),
    ):
        with pytest.raises(AssertionError):
            SlotMeta(index=index).validate(body_bytes)
