"""IncrementalAlterConfigs (KIP-339) on a set of overrides: set, delete, and append to or subtract from a list."""

from collections.abc import Mapping, Sequence
from typing import Final

from raylog.model.admin import ConfigChange
from raylog.model.config_key import ConfigKey, ConfigType
from raylog.model.errors import InvalidError

SET: Final = 0
DELETE: Final = 1
APPEND: Final = 2
SUBTRACT: Final = 3


def apply_changes(
    keys: Mapping[str, ConfigKey], current: Mapping[str, str], changes: Sequence[ConfigChange]
) -> dict[str, str]:
    """The overrides after ``changes``, values not yet validated. Raises InvalidError for an unknown name, a null value,
    a list operation on what is no list, or a name that is changed twice."""
    after = dict(current)
    seen: set[str] = set()
    for change in changes:
        key = keys.get(change.key)
        if key is None:
            raise InvalidError(f"There is no setting '{change.key}'.")
        if change.key in seen:
            raise InvalidError(f"The setting {change.key} is changed twice in one request.")
        seen.add(change.key)
        _apply(key, after, change)
    return after


def _apply(key: ConfigKey, after: dict[str, str], change: ConfigChange) -> None:
    if change.op == DELETE:
        after.pop(key.name, None)
        return
    if change.value is None:
        raise InvalidError(f"The setting {key.name} has no value.")
    if change.op == SET:
        after[key.name] = change.value
        return
    if change.op not in (APPEND, SUBTRACT):
        raise InvalidError(f"{change.op} is no operation on a setting.")
    if key.type is not ConfigType.LIST:
        raise InvalidError(f"{key.name} is not a list: it can be set or deleted, not added to or subtracted from.")
    elements = _elements(after.get(key.name, key.default or ""))
    given = _elements(change.value)
    if change.op == APPEND:
        elements += [element for element in given if element not in elements]
    else:
        elements = [element for element in elements if element not in given]
    after[key.name] = ",".join(elements)


def _elements(text: str) -> list[str]:
    return [element.strip() for element in text.split(",") if element.strip()]
