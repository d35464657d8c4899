"""Reads a YAML mapping key by key: whatever is wrong is one sentence with the key, what is wanted, and where."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from raylog.model.errors import InvalidError


class Table:
    """A mapping at a place in a file. ``finish`` after the last key, so that unknown ones are refused."""

    def __init__(self, value: object, file: str, place: str = "") -> None:
        self.file = file
        self._place = place
        if not isinstance(value, Mapping):
            what = f"'{place}'" if place else "The experiment"
            raise InvalidError(f"{file}: {what} must be a table of keys and values, not {_shown(value)}.")
        self._values = value
        self._asked: dict[str, None] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def keys(self) -> list[str]:
        return [str(key) for key in self._values]

    def text(self, key: str, default: str | None = None) -> str:
        value = self._get(key, default)
        if not isinstance(value, str) or (not value and default is None):
            raise self.wrong(key, "a text")
        return value.strip()

    def choice(self, key: str, choices: Iterable[str], default: str | None = None) -> str:
        value = self._get(key, default)
        if value not in choices:
            raise self.wrong(key, f"one of {', '.join(choices)}")
        return str(value)

    def number(self, key: str, default: float | None = None, *, least: float = 0.0, above: bool = False) -> float:
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < float("inf"):
            raise self.wrong(key, f"a number, {least:g} or more")
        if above and value <= least:
            raise self.wrong(key, f"a number above {least:g}")
        return float(value)

    def whole(self, key: str, default: int | None = None, *, least: int = 0) -> int:
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self.wrong(key, f"a whole number, {least} or more")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._get(key, ())
        if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(one, str) for one in value):
            raise self.wrong(key, "a list of texts")
        return tuple(value)

    def settings(self, key: str) -> dict[str, str]:
        """Kafka's settings: by name, each a text, number or true/false."""
        value = self._get(key, {})
        if not isinstance(value, Mapping) or not all(isinstance(one, str | int | float) for one in value.values()):
            raise self.wrong(key, "settings by their names")
        return {str(name): str(one).lower() if isinstance(one, bool) else str(one) for name, one in value.items()}

    def table(self, key: str) -> "Table":
        """Empty where nothing is said."""
        return Table(self._get(key, {}), self.file, self._at(key))

    def tables(self, key: str, *, least: int) -> list["Table"]:
        value = self._get(key, [] if least == 0 else None)
        if isinstance(value, str) or not isinstance(value, Sequence) or len(value) < least:
            raise self.wrong(key, f"a list of {f'at least {least}' if least else 'any number of'} tables")
        return [Table(one, self.file, f"{self._at(key)}[{number}]") for number, one in enumerate(value)]

    def finish(self) -> None:
        """Raises InvalidError for a key that nobody has asked for."""
        for key in self._values:
            if key not in self._asked:
                where = f" in '{self._place}'" if self._place else ""
                raise InvalidError(
                    f"{self.file}: there is no key '{key}'{where}; the keys there are {', '.join(self._asked)}."
                )

    def wrong(self, key: str, wanted: str) -> InvalidError:
        """The error for a value that is not what is wanted."""
        if key not in self._values:
            return InvalidError(f"{self.file}: '{self._at(key)}' is missing: it must be {wanted}.")
        return InvalidError(f"{self.file}: '{self._at(key)}' must be {wanted}, not {_shown(self._values[key])}.")

    def _get(self, key: str, default: Any) -> Any:
        self._asked[key] = None
        value = self._values.get(key)
        if value is not None:
            return value
        if default is None:
            raise self.wrong(key, "given")
        return default

    def _at(self, key: str) -> str:
        return f"{self._place}.{key}" if self._place else key


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a table"
    return repr(value) if isinstance(value, str | int | float) else "a list"
