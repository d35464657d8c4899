"""Response entities for whichever version the client speaks: the version's classes by name, made from the fields it has."""

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any

from kio.index import load_payload_module
from kio.static.constants import EntityType


@cache
def request_types(api_key: int, api_version: int) -> Any:
    """The module with the request's classes of this version: ``request_types(0, 9).TopicProduceData``."""
    return load_payload_module(api_key, api_version, EntityType.request)


@cache
def response_types(api_key: int, api_version: int) -> Any:
    """The module with the response's classes of this version: ``response_types(0, 9).ProduceResponse``."""
    return load_payload_module(api_key, api_version, EntityType.response)


def make(entity_type: Any, values: Mapping[str, object]) -> Any:
    """An entity from those of ``values`` that its version has; the others are what older versions cannot say."""
    known = _field_names(entity_type)
    return entity_type(**{name: value for name, value in values.items() if name in known})


@cache
def _field_names(entity_type: Any) -> frozenset[str]:
    return frozenset(field.name for field in fields(entity_type))
