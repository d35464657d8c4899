"""The fields of kio's generated message classes, as the guard and the writer walk them.

kio's classes are the schema: what a field is on the wire is read from its type and metadata.
"""

from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin

from kio.static.protocol import Entity

ABSENT: Final = object()
"""The default of a field that has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldShape:
    name: str
    kind: str
    """Kafka's type (``int32``, ``string``, ``records``, …), or ``entity`` for a structure."""
    entity: Any = None
    """The structure's class."""
    is_array: bool
    is_nullable: bool
    """Of the field itself; an array's elements are never null."""
    tag: int | None
    default: Any
    """A tagged field with this value is not written."""


def shapes(schema: type[Entity]) -> tuple[FieldShape, ...]:
    """A message's or structure's fields in the order of the wire."""
    return tuple(_shape(field) for field in fields(schema))


def _shape(field: Field[Any]) -> FieldShape:
    kind, is_nullable = _without_none(field.type)
    is_array = get_origin(kind) is tuple
    if is_array:
        kind, _ = _without_none(get_args(kind)[0])
    is_entity = is_dataclass(kind)
    return FieldShape(
        name=field.name,
        kind="entity" if is_entity else field.metadata["kafka_type"],
        entity=kind if is_entity else None,
        is_array=is_array,
        is_nullable=is_nullable,
        tag=field.metadata.get("tag"),
        default=ABSENT if field.default is MISSING else field.default,
    )


def _without_none(kind: Any) -> tuple[Any, bool]:
    if get_origin(kind) not in (UnionType, Union):
        return kind, False
    inner = [option for option in get_args(kind) if option is not NoneType]
    return inner[0], len(inner) < len(get_args(kind))
