"""Which names a topic may have: Kafka's rules, and those of the names that are Raylog's own."""

from raylog.model.errors import InvalidError
from raylog.model.routing import GroupsTopic
from raylog.model.topic_names import topic_name_fault

INTERNAL_TOPICS = frozenset({GroupsTopic, "__transaction_state"})


def check_topic_name(name: str) -> None:
    """Raises InvalidError with the reason."""
    fault = topic_name_fault(name)
    if fault is not None:
        raise InvalidError(fault)


def collision_key(name: str) -> str:
    """Equal for two names that Kafka lets exist only one of, as metric names fold '.' and '_' together."""
    return name.replace(".", "_")
