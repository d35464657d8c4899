"""A read plan: where in the bucket the batches lie that a leader has no longer in memory. The leader makes it for the gateway.

It travels as the ``records`` of an internal Fetch answer: ``[magic 4][version u8][ranges u16]``, then each range as ``[key length
u16][key][position u64][size u32][first offset i64][last offset delta u32]``, big-endian. Key length 0 means the key of the range
before. Ranges are in the order of their offsets and do not overlap; whole batches only, of one partition. In version 2, which
is sent where a range lies in an upload, each range ends with ``[leader epoch i32]``: to be written into its batches, with their
offsets; -1: they are written in.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from raylog.model.buffers import Buffer
from raylog.model.errors import CorruptError, NewerFormatError

VERSION = 2
_VERSION_WITHOUT_UPLOADS = 1
RANGES_MAX = 0xFFFF

_MAGIC = b"RLRP"
_HEAD = struct.Struct(">4sBH")
_KEY_LENGTH = struct.Struct(">H")
_RANGE = struct.Struct(">QIqI")
_EPOCH = struct.Struct(">i")


@dataclass(frozen=True, slots=True)
class ObjectRange:
    """Contiguous whole batches of one partition inside an object of the bucket."""

    key: str
    position: int
    """First byte, counted from the object's start."""
    size_bytes: int
    first_offset: int
    last_offset: int
    """Inclusive."""
    missing_epoch: int = -1
    """The leader epoch that its batches have still to be given, with their offsets; -1: they have both."""

    def joined(self, after: "ObjectRange") -> "ObjectRange | None":
        """Both as one, if ``after`` follows in the same object, as the runs of one flush do."""
        is_next = after.key == self.key and after.position == self.position + self.size_bytes
        if not is_next or self.missing_epoch >= 0 or after.missing_epoch >= 0:
            return None
        size_bytes = self.size_bytes + after.size_bytes
        return ObjectRange(self.key, self.position, size_bytes, self.first_offset, after.last_offset)


class ReadPlan:
    """A plan as it is used, in place of a partition's records."""

    __slots__ = ("ranges", "size_bytes")

    def __init__(self, ranges: tuple[ObjectRange, ...], size_bytes: int | None = None) -> None:
        """``size_bytes``, of all ranges, where it is known."""
        self.ranges = ranges
        self.size_bytes = sum(at.size_bytes for at in ranges) if size_bytes is None else size_bytes

    def __len__(self) -> int:
        """Bytes of the batches that it leads to."""
        return self.size_bytes

    @property
    def end_offset(self) -> int:
        """One above the last one that it leads to; -1 when it leads to none."""
        return self.ranges[-1].last_offset + 1 if self.ranges else -1

    def onward(self, offset: int) -> "ReadPlan | None":
        """From the range on that ``offset`` lies in, or that follows it; None when that is not in the plan for certain."""
        ranges = self.ranges
        if not ranges or not ranges[0].first_offset <= offset <= ranges[-1].last_offset:
            return None
        passed, left_bytes = 0, self.size_bytes
        while ranges[passed].last_offset < offset:
            left_bytes -= ranges[passed].size_bytes
            passed += 1
        return ReadPlan(ranges[passed:], left_bytes) if passed else self


def encode_read_plan(ranges: Sequence[ObjectRange]) -> bytes:
    assert len(ranges) <= RANGES_MAX, f"{len(ranges)} ranges in one read plan"
    has_uploads = any(found.missing_epoch >= 0 for found in ranges)
    parts = [_HEAD.pack(_MAGIC, VERSION if has_uploads else _VERSION_WITHOUT_UPLOADS, len(ranges))]
    key = ""
    for found in ranges:
        name = b"" if found.key == key else found.key.encode()
        key = found.key
        parts += (
            _KEY_LENGTH.pack(len(name)),
            name,
            _RANGE.pack(found.position, found.size_bytes, found.first_offset, found.last_offset - found.first_offset),
            _EPOCH.pack(found.missing_epoch) if has_uploads else b"",
        )
    return b"".join(parts)


def is_read_plan(data: Buffer | None) -> bool:
    """Whether a partition's records are a plan. No batch begins like one: its base offset would be above 5.9e18."""
    return bool(data) and bytes(memoryview(data)[: len(_MAGIC)]) == _MAGIC  # type: ignore[arg-type]


def decode_read_plan(data: Buffer) -> tuple[ObjectRange, ...]:
    """Raises CorruptError for anything that ``encode_read_plan`` would not have made."""
    try:
        return _decoded(memoryview(data))
    except (struct.error, UnicodeDecodeError) as error:
        raise CorruptError(f"A read plan of {len(data)} bytes is truncated or garbled.") from error


def _decoded(view: memoryview) -> tuple[ObjectRange, ...]:
    magic, version, count = _HEAD.unpack_from(view)
    if magic != _MAGIC:
        raise CorruptError(f"A read plan does not begin with {magic!r}.")
    if version not in (VERSION, _VERSION_WITHOUT_UPLOADS):
        raise NewerFormatError(
            f"A leader sent a read plan of version {version}, but this Raylog reads 1 to {VERSION}: use a newer Raylog."
        )
    at = _HEAD.size
    ranges: list[ObjectRange] = []
    key = ""
    end_offset = 0
    for _ in range(count):
        (key_length,) = _KEY_LENGTH.unpack_from(view, at)
        at += _KEY_LENGTH.size
        if key_length:
            key = str(view[at : at + key_length], "utf-8")
            at += key_length
        position, size_bytes, first_offset, delta = _RANGE.unpack_from(view, at)
        at += _RANGE.size
        missing_epoch = -1
        if version == VERSION:
            (missing_epoch,) = _EPOCH.unpack_from(view, at)
            at += _EPOCH.size
        if not key or size_bytes == 0 or first_offset < end_offset:
            raise CorruptError(f"A read plan has an impossible range: {key!r} {size_bytes} bytes from {first_offset}.")
        end_offset = first_offset + delta + 1
        ranges.append(ObjectRange(key, position, size_bytes, first_offset, end_offset - 1, missing_epoch))
    if at != len(view):
        raise CorruptError(f"A read plan of {count} ranges has {len(view) - at} bytes too many.")
    return tuple(ranges)
