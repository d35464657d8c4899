"""Which names a topic may have: Kafka's rules."""

import re

from raylog.model.errors import InvalidError
from raylog.model.routing import GroupsTopic

NAME_CHARACTERS_MAX = 249
INTERNAL_TOPICS = frozenset({GroupsTopic, "__transaction_state"})

_LEGAL = re.compile(r"[a-zA-Z0-9._-]+")


def check_topic_name(name: str) -> None:
    """Raises InvalidError with Kafka's reason."""
    if not name:
        raise InvalidError("Topic name is invalid: the empty string is not allowed.")
    if name in (".", ".."):
        raise InvalidError(f"Topic name is invalid: '{name}' is not allowed.")
    if len(name) > NAME_CHARACTERS_MAX:
        raise InvalidError(
            f"Topic name is invalid: the length of '{name[:40]}…' is longer than the max allowed length "
            f"{NAME_CHARACTERS_MAX}."
        )
    if not _LEGAL.fullmatch(name):
        raise InvalidError(
            f"Topic name is invalid: '{name}' contains one or more characters other than ASCII alphanumerics, "
            "'.', '_' and '-'."
        )


def collision_key(name: str) -> str:
    """Equal for two names that Kafka lets exist only one of, as metric names fold '.' and '_' together."""
    return name.replace(".", "_")
