"""Plain numbers and strings as the types that kio's entities are declared with, for the type checker only.

kio checks the range of ``i32(5)`` at run time, which costs more than writing the field. These constructors return their
argument unchanged; a number out of range is found when it is written. Durations and timestamps are converted both ways.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import cast

from kio.schema import types as schema_types
from kio.static import primitive

from raylog.model.buffers import Buffer
from raylog.protocol.gather import RecordsParts

_MILLISECOND = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _same(value: object) -> object:
    return value


i8 = cast(Callable[[int], primitive.i8], _same)
i16 = cast(Callable[[int], primitive.i16], _same)
i32 = cast(Callable[[int], primitive.i32], _same)
i64 = cast(Callable[[int], primitive.i64], _same)
u16 = cast(Callable[[int], primitive.u16], _same)
broker_id = cast(Callable[[int], schema_types.BrokerId], _same)
producer_id = cast(Callable[[int], schema_types.ProducerId], _same)
topic_name = cast(Callable[[str], schema_types.TopicName], _same)
group_id = cast(Callable[[str], schema_types.GroupId], _same)
transactional_id = cast(Callable[[str], schema_types.TransactionalId], _same)
records = cast(Callable[[Buffer | RecordsParts], primitive.Records], _same)
"""A records field's value: one buffer, or many that are written by reference."""


def ms(value: int) -> primitive.i32Timedelta:
    """Milliseconds as a duration field (throttle times, time-outs); -1 stays -1."""
    return cast(primitive.i32Timedelta, timedelta(milliseconds=value))


def ms64(value: int) -> primitive.i64Timedelta:
    """The same for the few durations of 64 bits."""
    return cast(primitive.i64Timedelta, timedelta(milliseconds=value))


def to_ms(value: timedelta) -> int:
    """A duration field as milliseconds."""
    return value // _MILLISECOND


def timestamp(value_ms: int) -> primitive.TZAware | None:
    """Milliseconds since 1970 as a timestamp field; None, which is written as -1, for a negative number."""
    return None if value_ms < 0 else cast(primitive.TZAware, _EPOCH + timedelta(milliseconds=value_ms))


def to_timestamp_ms(value: datetime | None) -> int:
    """A timestamp field as milliseconds since 1970; -1 for none."""
    return -1 if value is None else (value - _EPOCH) // _MILLISECOND


NO_THROTTLE = ms(0)
"""The throttle time of answers, which Raylog always sends as 0."""
