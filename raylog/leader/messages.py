"""Response entities in whichever version the request has: the version's classes by name, and the fields that they know."""

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any

from kio.index import load_payload_module
from kio.static.constants import EntityType

from raylog.protocol.wire import RequestHead


@cache
def _response_module(api_key: int, api_version: int) -> Any:
    return load_payload_module(api_key, api_version, EntityType.response)


def response_types(head: RequestHead) -> Any:
    """The module with the classes of the response: ``response_types(head).ProduceResponse``."""
    return _response_module(head.api_key, head.api_version)


def make(entity_type: Any, values: Mapping[str, object]) -> Any:
    """An entity from those of ``values`` that its version has; the others are what older versions cannot say."""
    known = known_fields(entity_type)
    return entity_type(**{name: value for name, value in values.items() if name in known})


@cache
def known_fields(entity_type: Any) -> frozenset[str]:
    return frozenset(field.name for field in fields(entity_type))
