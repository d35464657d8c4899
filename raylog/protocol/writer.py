"""Writes kio's messages: the same bytes as kio's own writer in a fifth of its time, records by reference.

Answers are written once for each request, so this is on the hot path of every produce and fetch. Neighbouring numbers
are packed at once; the rest is one small function for each field, made from the schema when a message is first written.
Tests hold every message of every version to kio's bytes.
"""

import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from operator import attrgetter
from typing import Any, Final

from kio.static.protocol import Entity, Payload

from raylog.protocol.file_range import in_memory
from raylog.protocol.gather import GatherBuffer, append_uvarint
from raylog.protocol.schema import FieldShape, shapes

Write = Callable[[GatherBuffer, Any], None]
"""``write(buffer, entity)``, or ``write(buffer, value)`` for a field's value."""

_NUMBERS: Final = {
    "bool": "?",
    "int8": "b",
    "uint8": "B",
    "int16": "h",
    "uint16": "H",
    "error_code": "h",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float64": "d",
}
_I8, _I16, _I32, _I64 = (struct.Struct(f">{code}").pack for code in "bhiq")
_MILLISECOND: Final = timedelta(milliseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NO_UUID: Final = bytes(16)
_NULL: Final = -1
_NOT_NULL: Final = 1
"""KIP-893: the byte before a nullable structure."""


def message_writer(schema: type[Payload]) -> Write:
    """The writer of a message's body. Raises struct.error, TypeError or AttributeError for values that do not fit."""
    return _entity(schema)


@cache
def _entity(schema: type[Entity]) -> Write:
    steps: list[Write] = []
    run: list[FieldShape] = []
    for shape in shapes(schema):
        if shape.tag is not None:
            continue
        if shape.kind in _NUMBERS and not shape.is_array:
            run.append(shape)
            continue
        _flush_run(run, steps)
        steps.append(_field(shape, is_flexible=schema.__flexible__))
    _flush_run(run, steps)
    if schema.__flexible__:
        steps.append(_tags(schema))
    if len(steps) == 1:
        return steps[0]

    def write(buffer: GatherBuffer, entity: Any) -> None:
        for step in steps:
            step(buffer, entity)

    return write


def _flush_run(run: list[FieldShape], steps: list[Write]) -> None:
    """Numbers that follow each other become one step."""
    if not run:
        return
    pack = struct.Struct(">" + "".join(_NUMBERS[shape.kind] for shape in run)).pack
    values = attrgetter(*(shape.name for shape in run))

    def write_many(buffer: GatherBuffer, entity: Any) -> None:
        buffer.small += pack(*values(entity))

    def write_one(buffer: GatherBuffer, entity: Any) -> None:
        buffer.small += pack(values(entity))

    steps.append(write_many if len(run) > 1 else write_one)
    run.clear()


def _field(shape: FieldShape, *, is_flexible: bool) -> Write:
    value_of = attrgetter(shape.name)
    write_value = _value(shape, is_flexible=is_flexible)

    def write(buffer: GatherBuffer, entity: Any) -> None:
        write_value(buffer, value_of(entity))

    return write


def _value(shape: FieldShape, *, is_flexible: bool) -> Write:
    if shape.is_array:
        element = _element(shape, is_flexible=is_flexible)
        return _compact_array(element) if is_flexible else _legacy_array(element)
    write_element = _element(shape, is_flexible=is_flexible)
    return _nullable(write_element) if shape.entity and shape.is_nullable and shape.tag is None else write_element


def _element(shape: FieldShape, *, is_flexible: bool) -> Write:
    if shape.entity:
        return _entity(shape.entity)
    if shape.kind in _NUMBERS:
        pack = struct.Struct(">" + _NUMBERS[shape.kind]).pack

        def write_number(buffer: GatherBuffer, value: Any) -> None:
            buffer.small += pack(value)

        return write_number
    if shape.kind in _SPECIAL:
        return _SPECIAL[shape.kind]
    if shape.kind == "string":
        write = _compact_string if is_flexible else _legacy_string
    else:
        write = _compact_bytes if is_flexible else _legacy_bytes
    return write if shape.is_nullable else _not_null(write)


def _not_null(write: Write) -> Write:
    def write_not_null(buffer: GatherBuffer, value: Any) -> None:
        if value is None:
            raise TypeError("a field that cannot be null has no value")
        write(buffer, value)

    return write_not_null


def _nullable(write: Write) -> Write:
    def write_nullable(buffer: GatherBuffer, value: Any) -> None:
        if value is None:
            buffer.small += _I8(_NULL)
        else:
            buffer.small += _I8(_NOT_NULL)
            write(buffer, value)

    return write_nullable


def _compact_array(element: Write) -> Write:
    def write(buffer: GatherBuffer, values: Any) -> None:
        if values is None:
            buffer.small.append(0)
            return
        append_uvarint(buffer.small, len(values) + 1)
        for value in values:
            element(buffer, value)

    return write


def _legacy_array(element: Write) -> Write:
    def write(buffer: GatherBuffer, values: Any) -> None:
        if values is None:
            buffer.small += _I32(_NULL)
            return
        buffer.small += _I32(len(values))
        for value in values:
            element(buffer, value)

    return write


def _compact_string(buffer: GatherBuffer, value: str | None) -> None:
    small = buffer.small
    if value is None:
        small.append(0)
        return
    encoded = value.encode()
    append_uvarint(small, len(encoded) + 1)
    small += encoded


def _legacy_string(buffer: GatherBuffer, value: str | None) -> None:
    if value is None:
        buffer.small += _I16(_NULL)
        return
    encoded = value.encode()
    buffer.small += _I16(len(encoded))
    buffer.small += encoded


def _compact_bytes(buffer: GatherBuffer, value: Any) -> None:
    if value is None:
        buffer.small.append(0)
        return
    append_uvarint(buffer.small, len(value) + 1)
    buffer.write(value)


def _legacy_bytes(buffer: GatherBuffer, value: Any) -> None:
    if value is None:
        buffer.small += _I32(_NULL)
        return
    buffer.small += _I32(len(value))
    buffer.write(value)


def _uuid(buffer: GatherBuffer, value: Any) -> None:
    buffer.small += _NO_UUID if value is None else value.bytes


def _duration_i32(buffer: GatherBuffer, value: timedelta) -> None:
    buffer.small += _I32(value // _MILLISECOND)


def _duration_i64(buffer: GatherBuffer, value: timedelta) -> None:
    buffer.small += _I64(value // _MILLISECOND)


def _timestamp(buffer: GatherBuffer, value: datetime | None) -> None:
    buffer.small += _I64(_NULL if value is None else (value - _EPOCH) // _MILLISECOND)


_SPECIAL: Final[dict[str, Write]] = {
    "uuid": _uuid,
    "timedelta_i32": _duration_i32,
    "timedelta_i64": _duration_i64,
    "datetime_i64": _timestamp,
}


def _tags(schema: type[Entity]) -> Write:
    """Tagged fields (KIP-482) that are not at their default, in the order of their tags."""
    tagged = sorted((shape.tag, shape) for shape in shapes(schema) if shape.tag is not None)
    fields = [(tag, attrgetter(shape.name), shape.default, _value(shape, is_flexible=True)) for tag, shape in tagged]
    if not fields:
        return _no_tags

    def write(buffer: GatherBuffer, entity: Any) -> None:
        present = [
            (tag, value, write_value)
            for tag, value_of, default, write_value in fields
            if (value := value_of(entity)) is not default and value != default
        ]
        append_uvarint(buffer.small, len(present))
        for tag, value, write_value in present:
            content = GatherBuffer()
            write_value(content, value)
            append_uvarint(buffer.small, tag)
            append_uvarint(buffer.small, len(content))
            buffer.small += b"".join(in_memory(content.finish()))

    return write


def _no_tags(buffer: GatherBuffer, _entity: Any) -> None:
    buffer.small.append(0)
