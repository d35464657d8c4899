"""The golden files of whole objects of the bucket, each in the slot's format: every kind of slot, and what leaders put in."""

from collections.abc import Callable
from typing import Any

from raylog.leader.checkpoint_format import decode_checkpoint_state, encode_checkpoint
from raylog.leader.log_state import LogSnapshot
from raylog.model.buffers import Buffer
from raylog.model.ids import LeaderEpoch, LeaderId, LogEpoch, TopicPartition
from raylog.protocol.batch import Record, encode_batch, read_header
from raylog.storage.checkpoint import decode_checkpoint
from raylog.storage.data_object import IndexRow, SlotMeta, decode_meta, encode_meta
from raylog.storage.handover import decode_handover
from raylog.storage.keys import checkpoint_key, handover_key, leader_prefix, segment_key, slot_key, upload_key
from raylog.storage.segment import encode_segment
from raylog.storage.slot_format import (
    RECORD_BYTES,
    SlotKind,
    SlotRecord,
    decode_footer,
    decode_header,
    encode_slot,
    meta_from_tail,
    record_of,
)
from raylog.storage.state_object import encode_state
from raylog.storage.upload import UploadBatch, encode_upload
from tests.golden.golden import Golden, with_bytes
from tests.golden.partitions import (
    BODY,
    CLICKS,
    HANDOVER,
    META,
    META_WITH_MOVES,
    META_WITH_UPLOADS,
    ORDERS,
    PARTITIONS,
    PARTITIONS_WITH_UPLOADS,
    RELEASES,
    SNAPSHOT,
    SNAPSHOT_BEFORE_CHANGES,
    SNAPSHOT_WITH_UPLOADS_BEFORE_CHANGES,
    UPLOAD_NUMBER,
)

LEADER = LeaderId(3)
PREFIX = leader_prefix(LEADER)
SLOT = 42
EPOCH = LogEpoch(7)
WRITER_ID = bytes(range(16))
SEGMENT_NUMBER = 0x2123_4567_89AB_CDEF

OPEN_KEY = slot_key(PREFIX, 1)
SLOT_KEY = slot_key(PREFIX, SLOT)
CHECKPOINT_KEY = checkpoint_key(PREFIX, SLOT)
SEGMENT_KEY = segment_key(SEGMENT_NUMBER)
UPLOAD_KEY = upload_key(UPLOAD_NUMBER)
HANDOVER_KEY = handover_key(LEADER, HANDOVER)


def slot(kind: SlotKind, number: int, body: bytes, meta: bytes) -> bytes:
    """A whole slot."""
    record = record_of(kind=kind, slot=number, epoch=EPOCH, writer_id=WRITER_ID, body=(body,), meta=meta)
    return joined(encode_slot(record, (body,), meta))


def parts_of(data: bytes, key: str) -> tuple[SlotRecord, bytes, bytes]:
    """What header and footer say, the body and the meta. Raises CorruptError."""
    record = decode_header(data, key)
    assert record == decode_footer(data, key) and record.size_bytes == len(data)
    return record, data[RECORD_BYTES : RECORD_BYTES + record.body_bytes], meta_from_tail(data, record, key)


def with_meta(change: Callable[[bytes], bytes], key: str) -> Callable[[bytes], bytes]:
    """The object with its meta changed, and checksums that agree."""

    def changed(data: bytes) -> bytes:
        record, body, meta = parts_of(data, key)
        return slot(record.kind, record.slot, body, change(meta))

    return changed


def newer_slot(data: bytes) -> bytes:
    """The object in a slot format that this Raylog does not know."""
    for start in (0, len(data) - RECORD_BYTES):
        fields = with_bytes(data[start : start + RECORD_BYTES], 8, (2).to_bytes(2, "big"))[:60]
        data = with_bytes(data, start, fields + crc(fields))
    return data


def of_an_unknown_kind(data: bytes) -> bytes:
    for start in (0, len(data) - RECORD_BYTES):
        fields = with_bytes(data[start : start + RECORD_BYTES], 10, b"\x63")[:60]
        data = with_bytes(data, start, fields + crc(fields))
    return data


def newer_envelope(meta: bytes) -> bytes:
    """The meta with its own version, behind four bytes of magic, raised."""
    return with_bytes(meta, 4, (99).to_bytes(2, "big"))


def crc(data: bytes) -> bytes:
    from crc32c import crc32c

    return crc32c(data).to_bytes(4, "big")


def joined(buffers: list[Buffer]) -> bytes:
    return b"".join(buffers)


def plain(snapshot: LogSnapshot) -> list[Any]:
    """A checkpoint's content, whatever sequences its columns are."""
    return [
        snapshot.releases,
        *(
            (
                led.partition,
                led.topic_name,
                led.epoch_base,
                dict(led.configs),
                led.as_of_slot,
                led.state.log_start_offset,
                led.state.end_offset,
                led.state.leader_epochs,
                led.state.producers,
                led.state.transactions,
                [list(column) for column in led.state.index.columns],
            )
            for led in snapshot.partitions
        ),
    ]


def _facts(record: SlotRecord) -> tuple[SlotKind, int, LogEpoch, bytes]:
    return record.kind, record.slot, record.epoch, record.writer_id


def _read_slot(key: str, *, has_meta: bool = True) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        record, body, meta = parts_of(data, key)
        return _facts(record), body, _rows(decode_meta(meta)) if has_meta else meta

    return read


def _rows(meta: SlotMeta) -> tuple[list[Any], ...]:
    return list(meta.index), list(meta.producers), list(meta.events)


def _read_checkpoint(data: bytes) -> list[Any]:
    found = decode_checkpoint(data, CHECKPOINT_KEY)
    assert (found.slot, found.epoch, found.writer_id) == (SLOT, EPOCH, WRITER_ID)
    return plain(decode_checkpoint_state(found.state))


def _write_checkpoint() -> bytes:
    state = encode_checkpoint(PARTITIONS_WITH_UPLOADS, RELEASES)
    return joined(encode_state(SlotKind.CHECKPOINT, number=SLOT, epoch=EPOCH, writer_id=WRITER_ID, state=state))


def _read_handover(data: bytes) -> list[Any]:
    return plain(decode_checkpoint_state(decode_handover(data, HANDOVER_KEY)))


def _write_handover() -> bytes:
    state = encode_checkpoint(PARTITIONS)
    return joined(encode_state(SlotKind.HANDOVER, number=HANDOVER, epoch=EPOCH, writer_id=WRITER_ID, state=state))


UPLOADED = [
    UploadBatch(partition, records, read_header(records))
    for partition, records in (
        (TopicPartition(ORDERS, 0), encode_batch([Record(value=b"first", timestamp_ms=5)])),
        (
            TopicPartition(CLICKS, 7),
            encode_batch([Record(value=b"a", timestamp_ms=7), Record(value=b"b", timestamp_ms=6)]),
        ),
        (TopicPartition(ORDERS, 0), encode_batch([Record(value=b"second", timestamp_ms=4)])),
    )
]
UPLOADED_BODY = b"".join(bytes(UPLOADED[place].records) for place in (0, 2, 1))
UPLOADED_ROWS = [
    IndexRow(ORDERS, 0, 0, 1, 64, 147, 5, 2, LeaderEpoch(-1)),
    IndexRow(CLICKS, 7, 0, 1, 211, 77, 7, 2, LeaderEpoch(-1)),
]

_WITHOUT_RELEASES = plain(LogSnapshot(partitions=PARTITIONS))

OBJECTS = [
    Golden(
        file="open-slot-v1.bin",
        section="Slot",
        read=_read_slot(OPEN_KEY, has_meta=False),
        value=((SlotKind.OPEN, 1, EPOCH, WRITER_ID), b"", b""),
        write=lambda: slot(SlotKind.OPEN, 1, b"", b""),
        newer={"slot": newer_slot, "kind": of_an_unknown_kind},
    ),
    Golden(
        file="leader-slot-v1.bin",
        section="Meta of a leader's slot",
        read=_read_slot(SLOT_KEY),
        value=((SlotKind.APPEND, SLOT, EPOCH, WRITER_ID), BODY, _rows(META)),
    ),
    Golden(
        file="leader-slot-v2.bin",
        section="Meta of a leader's slot",
        read=_read_slot(SLOT_KEY),
        value=((SlotKind.APPEND, SLOT, EPOCH, WRITER_ID), BODY, _rows(META_WITH_UPLOADS)),
    ),
    Golden(
        file="leader-slot-v3.bin",
        section="Meta of a leader's slot",
        read=_read_slot(SLOT_KEY),
        value=((SlotKind.APPEND, SLOT, EPOCH, WRITER_ID), BODY, _rows(META_WITH_MOVES)),
        write=lambda: slot(SlotKind.APPEND, SLOT, BODY, encode_meta(META_WITH_MOVES)),
        newer={
            "slot": newer_slot,
            "meta": with_meta(newer_envelope, SLOT_KEY),
            "event": with_meta(lambda meta: meta.replace(b'"type":"log_start"', b'"type":"log_stamp"'), SLOT_KEY),
        },
    ),
    Golden(
        file="leader-upload-v1.bin",
        section="Upload",
        read=_read_slot(UPLOAD_KEY),
        value=((SlotKind.UPLOAD, UPLOAD_NUMBER, 0, WRITER_ID), UPLOADED_BODY, (UPLOADED_ROWS, [], [])),
        write=lambda: joined(encode_upload(UPLOAD_NUMBER, WRITER_ID, UPLOADED)[0]),
        newer={"slot": newer_slot, "meta": with_meta(newer_envelope, UPLOAD_KEY)},
    ),
    Golden(
        file="leader-checkpoint-v1.bin",
        section="State of a leader's checkpoint",
        read=_read_checkpoint,
        value=_WITHOUT_RELEASES,
    ),
    Golden(
        file="leader-checkpoint-v2.bin",
        section="State of a leader's checkpoint",
        read=_read_checkpoint,
        value=plain(SNAPSHOT_BEFORE_CHANGES),
    ),
    Golden(
        file="leader-checkpoint-v3.bin",
        section="State of a leader's checkpoint",
        read=_read_checkpoint,
        value=plain(SNAPSHOT_WITH_UPLOADS_BEFORE_CHANGES),
    ),
    Golden(
        file="leader-checkpoint-v4.bin",
        section="State of a leader's checkpoint",
        read=_read_checkpoint,
        value=plain(SNAPSHOT),
        write=_write_checkpoint,
        newer={"slot": newer_slot, "state": with_meta(newer_envelope, CHECKPOINT_KEY)},
    ),
    Golden(
        file="leader-handover-v2.bin",
        section="State of a leader's checkpoint",
        read=_read_handover,
        value=_WITHOUT_RELEASES,
    ),
    Golden(
        file="leader-handover-v4.bin",
        section="State of a leader's checkpoint",
        read=_read_handover,
        value=_WITHOUT_RELEASES,
        write=_write_handover,
        newer={"slot": newer_slot, "state": with_meta(newer_envelope, HANDOVER_KEY)},
    ),
    Golden(
        file="leader-segment-v1.bin",
        section="Segment",
        read=_read_slot(SEGMENT_KEY),
        value=((SlotKind.SEGMENT, SEGMENT_NUMBER, EPOCH, WRITER_ID), BODY, (list(META.index), [], [])),
        write=lambda: joined(
            encode_segment(number=SEGMENT_NUMBER, epoch=EPOCH, writer_id=WRITER_ID, body=[BODY], rows=META.index)
        ),
        newer={"slot": newer_slot, "meta": with_meta(newer_envelope, SEGMENT_KEY)},
    ),
]
