"""Kafka's rules for topic names, for the gateway (Metadata) and the controller (CreateTopics) alike."""

import re
from typing import Final

_MAX_CHARACTERS: Final = 249
_LEGAL: Final = re.compile(r"[a-zA-Z0-9._-]+")


def topic_name_fault(name: str) -> str | None:
    """What is wrong with a topic's name, as a sentence, or None."""
    if not name:
        return "The empty string is not allowed as a topic name."
    if name in (".", ".."):
        return f"The topic name '{name}' is not allowed."
    if len(name) > _MAX_CHARACTERS:
        return f"A topic's name may not be longer than {_MAX_CHARACTERS} characters."
    if not _LEGAL.fullmatch(name):
        return f"The topic name '{name}' has characters other than ASCII alphanumerics, '.', '_' and '-'."
    return None
