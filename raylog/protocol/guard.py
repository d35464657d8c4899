"""Walks a message by its schema, without building anything, before kio's native reader builds it.

- kio reserves memory for as many elements as an array's length says, before it reads the first: a length of 2**32 - 1
  aborts the whole process. So each length is compared with the bytes that are left.
- The elements of a message are counted against ``MAX_ELEMENTS``, because an element of a few bytes on the wire is an
  object of some hundred bytes in memory.
- kio refuses tagged fields that it does not know, but KIP-482 lets newer clients add them to any flexible version:
  they are left out of what kio gets to read.

A guard costs about as much as the native reader itself.
"""

import struct
from collections.abc import Callable
from functools import cache
from typing import Final

from kio.static.protocol import Entity

from raylog.model.buffers import Buffer
from raylog.model.errors import InvalidError
from raylog.protocol.gather import append_uvarint
from raylog.protocol.schema import FieldShape, shapes

MAX_ELEMENTS: Final = 1 << 18
"""Array elements of all levels in one message; enough for each partition of a cluster of 100,000."""

Guard = Callable[[Buffer, int], Buffer]
"""``guard(frame, position)``: the frame to read the message at ``position`` from, which is the same one as a rule.

Raises InvalidError.
"""


class _Walk:
    """What is known of a message while it is walked."""

    __slots__ = ("cuts", "elements_left", "tag_depth")

    def __init__(self) -> None:
        self.elements_left = MAX_ELEMENTS
        self.tag_depth = 0
        """Above 0 inside a tagged field, whose size is written before it."""
        self.cuts: list[tuple[int, int, bytes]] = []
        """Tagged-field sections with unknown tags: start, end, and the section without them."""


_Skip = Callable[[Buffer, int, _Walk], int]
"""``skip(frame, position, walk) -> position after the field``."""

_I16 = struct.Struct(">h")
_I32 = struct.Struct(">i")

_FIXED_BYTES: Final = {
    "bool": 1,
    "int8": 1,
    "uint8": 1,
    "int16": 2,
    "uint16": 2,
    "error_code": 2,
    "int32": 4,
    "uint32": 4,
    "timedelta_i32": 4,
    "int64": 8,
    "uint64": 8,
    "float64": 8,
    "timedelta_i64": 8,
    "datetime_i64": 8,
    "uuid": 16,
}


def entity_guard(schema: type[Entity]) -> Guard:
    """The guard of a message's schema; made once per schema."""
    skip, _ = _entity(schema)

    def guard(frame: Buffer, position: int) -> Buffer:
        walk = _Walk()
        try:
            end = skip(frame, position, walk)
        except (IndexError, struct.error):
            end = len(frame) + 1
        if end > len(frame):
            raise InvalidError(f"The {schema.__name__} ends before its last field.")
        return _without_cuts(frame, walk.cuts) if walk.cuts else frame

    return guard


def skip_tags(frame: Buffer, position: int) -> int:
    """The position after a tagged-field section (KIP-482). Raises InvalidError or IndexError when it is cut off."""
    return _only_unknown_tags(frame, position, _Walk())


def _without_cuts(frame: Buffer, cuts: list[tuple[int, int, bytes]]) -> bytes:
    view = memoryview(frame)
    pieces: list[Buffer] = []
    position = 0
    for start, end, instead in cuts:
        pieces += (view[position:start], instead)
        position = end
    pieces.append(view[position:])
    return b"".join(pieces)


def read_uvarint(frame: Buffer, position: int) -> tuple[int, int]:
    """An unsigned variable-length integer, and the position after it. Raises InvalidError or IndexError."""
    value = shift = 0
    while shift < 35:
        byte = frame[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise InvalidError("A variable-length integer is longer than 5 bytes.")


def _fixed(size: int) -> _Skip:
    return lambda _frame, position, _walk: position + size


def _compact_bytes(frame: Buffer, position: int, _walk: _Walk) -> int:
    length = frame[position]
    if length < 0x80:
        return position + length if length else position + 1
    length, position = read_uvarint(frame, position)
    return position + length - 1


def _legacy_string(frame: Buffer, position: int, _walk: _Walk) -> int:
    return position + 2 + _length(_I16.unpack_from(frame, position)[0])


def _legacy_bytes(frame: Buffer, position: int, _walk: _Walk) -> int:
    return position + 4 + _length(_I32.unpack_from(frame, position)[0])


def _length(length: int) -> int:
    if length < -1:
        raise InvalidError(f"A length of {length} is negative.")
    return max(length, 0)


def _take(count: int, element_bytes: int, frame: Buffer, position: int, walk: _Walk) -> None:
    if count * element_bytes > len(frame) - position:
        raise InvalidError(f"An array of {count} elements does not fit into the {len(frame)} bytes of its message.")
    walk.elements_left -= count
    if walk.elements_left < 0:
        raise InvalidError(f"A message has more than {MAX_ELEMENTS} array elements.")


def _compact_array(element: _Skip, element_bytes: int) -> _Skip:
    def skip(frame: Buffer, position: int, walk: _Walk) -> int:
        count = frame[position]
        if count < 0x80:
            position += 1
        else:
            count, position = read_uvarint(frame, position)
        if count > 1:
            _take(count - 1, element_bytes, frame, position, walk)
        for _ in range(count - 1):
            position = element(frame, position, walk)
        return position

    return skip


def _legacy_array(element: _Skip, element_bytes: int) -> _Skip:
    def skip(frame: Buffer, position: int, walk: _Walk) -> int:
        count = _length(_I32.unpack_from(frame, position)[0])
        position += 4
        _take(count, element_bytes, frame, position, walk)
        for _ in range(count):
            position = element(frame, position, walk)
        return position

    return skip


def _nullable(entity: _Skip) -> _Skip:
    # KIP-893: a marker of -1 stands for null, 1 for a structure that follows.
    def skip(frame: Buffer, position: int, walk: _Walk) -> int:
        return position + 1 if frame[position] >= 0x80 else entity(frame, position + 1, walk)

    return skip


def _tags(known: dict[int, _Skip]) -> _Skip:
    def skip(frame: Buffer, position: int, walk: _Walk) -> int:
        if not frame[position]:
            return position + 1
        start = position
        count, position = read_uvarint(frame, position)
        _take(count, 2, frame, position, walk)
        kept: list[tuple[int, int]] = []
        for _ in range(count):
            field_start = position
            tag, position = read_uvarint(frame, position)
            size, position = read_uvarint(frame, position)
            if tag in known:
                _walk_tagged(known[tag], tag, frame, position, size, walk)
                kept.append((field_start, position + size))
            position += size
        if len(kept) < count and position <= len(frame):
            _cut(frame, start, position, kept, walk)
        return position

    return skip


def _walk_tagged(field: _Skip, tag: int, frame: Buffer, position: int, size: int, walk: _Walk) -> None:
    walk.tag_depth += 1
    if field(frame, position, walk) != position + size:
        raise InvalidError(f"The tagged field {tag} is not as long as its size says.")
    walk.tag_depth -= 1


def _cut(frame: Buffer, start: int, end: int, kept: list[tuple[int, int]], walk: _Walk) -> None:
    if walk.tag_depth:
        raise InvalidError("A tagged field has unknown tagged fields in it.")
    section = bytearray()
    append_uvarint(section, len(kept))
    for kept_start, kept_end in kept:
        section += frame[kept_start:kept_end]
    walk.cuts.append((start, end, bytes(section)))


_only_unknown_tags = _tags({})


@cache
def _entity(schema: type[Entity]) -> tuple[_Skip, int]:
    """The skipper of a structure, and the least bytes that one takes."""
    plain: list[tuple[_Skip | None, int]] = []
    tagged: dict[int, _Skip] = {}
    for shape in shapes(schema):
        skip, size, is_fixed = _field(shape, is_flexible=schema.__flexible__)
        if shape.tag is not None:
            tagged[shape.tag] = skip
        else:
            plain.append((None if is_fixed else skip, size))
    if schema.__flexible__:
        plain.append((_tags(tagged), 1))
    return _sequence(_merged(plain)), sum(size for _, size in plain)


def _merged(plain: list[tuple[_Skip | None, int]]) -> list[_Skip]:
    """Neighbouring fields of fixed size (those without a skipper) become one step."""
    steps: list[_Skip] = []
    run_bytes = 0
    for skip, size in plain:
        if skip is None:
            run_bytes += size
            continue
        if run_bytes:
            steps.append(_fixed(run_bytes))
            run_bytes = 0
        steps.append(skip)
    if run_bytes:
        steps.append(_fixed(run_bytes))
    return steps


def _sequence(steps: list[_Skip]) -> _Skip:
    if len(steps) == 1:
        return steps[0]

    def skip(frame: Buffer, position: int, walk: _Walk) -> int:
        for step in steps:
            position = step(frame, position, walk)
        return position

    return skip


def _field(shape: FieldShape, *, is_flexible: bool) -> tuple[_Skip, int, bool]:
    """A field's skipper, its least size in bytes, and whether that is its only size."""
    skip, size, is_fixed = _element(shape, is_flexible=is_flexible)
    if shape.is_array:
        return (_compact_array(skip, size), 1, False) if is_flexible else (_legacy_array(skip, size), 4, False)
    if shape.entity and shape.is_nullable and shape.tag is None:
        return _nullable(skip), 1, False
    return skip, size, is_fixed


def _element(shape: FieldShape, *, is_flexible: bool) -> tuple[_Skip, int, bool]:
    if shape.entity:
        return *_entity(shape.entity), False
    if shape.kind in _FIXED_BYTES:
        return _fixed(_FIXED_BYTES[shape.kind]), _FIXED_BYTES[shape.kind], True
    if is_flexible:
        return _compact_bytes, 1, False
    return (_legacy_string, 2, False) if shape.kind == "string" else (_legacy_bytes, 4, False)
