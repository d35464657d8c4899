"""What the Kafka APIs on settings have in common: resource types, and which resources have settings here."""

from enum import IntEnum
from typing import Final

from kio.schema.errors import ErrorCode

from gateway.context import RequestContext
from raylog.model.topic_names import topic_name_fault


class ResourceType(IntEnum):
    """Kafka's numbers of what has settings."""

    TOPIC = 2
    BROKER = 4
    BROKER_LOGGER = 8
    CLIENT_METRICS = 16
    GROUP = 32


Fault = tuple[ErrorCode, str]
"""Kafka's error, and a sentence for people."""

_WITHOUT_SETTINGS: Final = {
    ResourceType.BROKER_LOGGER: "Raylog's log level is set by its configuration.",
    ResourceType.CLIENT_METRICS: "Raylog takes no client metrics.",
    ResourceType.GROUP: "Groups have no settings of their own.",
}


def resource_fault(context: RequestContext, resource_type: int, name: str) -> Fault | None:
    """Why a resource has no settings to show or alter; None when it has."""
    if resource_type == ResourceType.TOPIC:
        return _topic_fault(context, name)
    if resource_type == ResourceType.BROKER:
        return _broker_fault(context, name)
    known = next((kind for kind in _WITHOUT_SETTINGS if kind == resource_type), None)
    if known is None:
        return ErrorCode.invalid_request, f"There is no resource type {resource_type}."
    return ErrorCode.invalid_request, _WITHOUT_SETTINGS[known]


def _topic_fault(context: RequestContext, name: str) -> Fault | None:
    if name in context.table.topics:
        return None
    message = topic_name_fault(name)
    if message is not None:
        return ErrorCode.invalid_topic_exception, message
    return ErrorCode.unknown_topic_or_partition, f"There is no topic '{name}'."


def _broker_fault(context: RequestContext, name: str) -> Fault | None:
    known = {str(broker.broker_id) for broker in context.table.brokers} | {str(context.services.broker.broker_id), ""}
    return None if name in known else (ErrorCode.invalid_request, f"There is no broker '{name}'.")
