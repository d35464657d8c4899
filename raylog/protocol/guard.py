"""Walks a message by its schema, without building anything, before kio's native reader builds it.

kio reserves memory for as many elements as an array's length field says, before it reads the first: a length of 2**32 -
1 aborts the whole process. So each array length is compared here with the bytes that are left, and the elements of a
message are counted against ``MAX_ELEMENTS``, because an element of a few bytes on the wire is an object of some hundred
bytes in memory.

A guard returns the position after the message, or raises ``InvalidError``. Costs about as much as the native reader
itself.
"""

import struct
from collections.abc import Callable
from functools import cache
from typing import Final

from kio.static.protocol import Entity

from raylog.model.buffers import Buffer
from raylog.model.errors import InvalidError
from raylog.protocol.schema import FieldShape, shapes

MAX_ELEMENTS: Final = 1 << 18
"""Array elements of all levels in one message; enough for each partition of a cluster of 100,000."""

Guard = Callable[[Buffer, int], int]
"""``guard(frame, position) -> position after the entity``."""

_Skip = Callable[[Buffer, int, list[int]], int]
"""As above; the list holds how many elements the message may still have."""

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

    def guard(frame: Buffer, position: int) -> int:
        try:
            position = skip(frame, position, [MAX_ELEMENTS])
        except (IndexError, struct.error):
            position = len(frame) + 1
        if position > len(frame):
            raise InvalidError(f"The {schema.__name__} ends before its last field.")
        return position

    return guard


def skip_tags(frame: Buffer, position: int) -> int:
    """The position after a tagged-field section (KIP-482). Raises InvalidError or IndexError when it is cut off."""
    return _unknown_tags(frame, position, [MAX_ELEMENTS])


def _uvarint(frame: Buffer, position: int) -> tuple[int, int]:
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
    return lambda _frame, position, _left: position + size


def _compact_bytes(frame: Buffer, position: int, _left: list[int]) -> int:
    length = frame[position]
    if length < 0x80:
        return position + length if length else position + 1
    length, position = _uvarint(frame, position)
    return position + length - 1


def _legacy_string(frame: Buffer, position: int, _left: list[int]) -> int:
    return position + 2 + _length(_I16.unpack_from(frame, position)[0])


def _legacy_bytes(frame: Buffer, position: int, _left: list[int]) -> int:
    return position + 4 + _length(_I32.unpack_from(frame, position)[0])


def _length(length: int) -> int:
    if length < -1:
        raise InvalidError(f"A length of {length} is negative.")
    return max(length, 0)


def _take(count: int, element_bytes: int, frame: Buffer, position: int, left: list[int]) -> None:
    if count * element_bytes > len(frame) - position:
        raise InvalidError(f"An array of {count} elements does not fit into the {len(frame)} bytes of its message.")
    left[0] -= count
    if left[0] < 0:
        raise InvalidError(f"A message has more than {MAX_ELEMENTS} array elements.")


def _compact_array(element: _Skip, element_bytes: int) -> _Skip:
    def skip(frame: Buffer, position: int, left: list[int]) -> int:
        count = frame[position]
        if count < 0x80:
            position += 1
        else:
            count, position = _uvarint(frame, position)
        if count > 1:
            _take(count - 1, element_bytes, frame, position, left)
        for _ in range(count - 1):
            position = element(frame, position, left)
        return position

    return skip


def _legacy_array(element: _Skip, element_bytes: int) -> _Skip:
    def skip(frame: Buffer, position: int, left: list[int]) -> int:
        count = _length(_I32.unpack_from(frame, position)[0])
        position += 4
        _take(count, element_bytes, frame, position, left)
        for _ in range(count):
            position = element(frame, position, left)
        return position

    return skip


def _nullable(entity: _Skip) -> _Skip:
    # KIP-893: a marker of -1 stands for null, 1 for a structure that follows.
    def skip(frame: Buffer, position: int, left: list[int]) -> int:
        return position + 1 if frame[position] >= 0x80 else entity(frame, position + 1, left)

    return skip


def _tags(known: dict[int, _Skip]) -> _Skip:
    def skip(frame: Buffer, position: int, left: list[int]) -> int:
        count = frame[position]
        if not count:
            return position + 1
        count, position = _uvarint(frame, position)
        _take(count, 2, frame, position, left)
        for _ in range(count):
            tag, position = _uvarint(frame, position)
            size, position = _uvarint(frame, position)
            field = known.get(tag)
            if field is not None and field(frame, position, left) != position + size:
                raise InvalidError(f"The tagged field {tag} is not as long as its size says.")
            position += size
        return position

    return skip


_unknown_tags = _tags({})


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

    def skip(frame: Buffer, position: int, left: list[int]) -> int:
        for step in steps:
            position = step(frame, position, left)
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
