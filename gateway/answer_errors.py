"""The error codes in a response, wherever its schema has them: counted and logged, so that a client's error can be found."""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import fields
from functools import cache
from typing import Any, cast, get_args, get_origin, get_type_hints

from kio.schema.errors import ErrorCode

_Finder = Callable[[Any], Iterator[ErrorCode]]


def error_codes(response: Any) -> set[ErrorCode]:
    """All of them but NONE."""
    find = _finder(cast(Hashable, type(response)))
    return set() if find is None else set(find(response))


@cache
def _finder(entity_type: Any) -> _Finder | None:
    """Looks through an entity of this type; None when it cannot hold an error code."""
    own: list[str] = []
    nested: list[tuple[str, _Finder]] = []
    hints = get_type_hints(entity_type)
    for field in fields(entity_type):
        if field.metadata.get("kafka_type") == "error_code":
            own.append(field.name)
        elif (element := _element_type(hints[field.name])) is not None and (inner := _finder(element)) is not None:
            nested.append((field.name, inner))
    if not own and not nested:
        return None

    def find(entity: Any) -> Iterator[ErrorCode]:
        for name in own:
            if code := getattr(entity, name):
                yield code
        for name, inner in nested:
            for element in getattr(entity, name) or ():
                yield from inner(element)

    return find


def _element_type(hint: Any) -> Any | None:
    """The entity type in ``tuple[Entity, ...]``, also where that may be None."""
    for option in (hint, *get_args(hint)):
        if get_origin(option) is tuple and hasattr(get_args(option)[0], "__dataclass_fields__"):
            return get_args(option)[0]
    return None
