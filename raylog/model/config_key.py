"""What a Kafka setting is: its type, default and checks, whether Raylog acts on it, and how DescribeConfigs shows it.

No setting is silently ignored: an unknown one is refused, and each known one says what it does here (``Effect``).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final

from raylog.model.errors import InvalidError

UNLIMITED: Final = 2**63 - 1
"""Kafka's Long.MAX_VALUE."""
_INT_MAX: Final = 2**31 - 1


class ConfigType(IntEnum):
    """DescribeConfigs' numbers (KIP-569)."""

    UNKNOWN = 0
    BOOLEAN = 1
    STRING = 2
    INT = 3
    SHORT = 4
    LONG = 5
    DOUBLE = 6
    LIST = 7
    CLASS = 8
    PASSWORD = 9


class ConfigSource(IntEnum):
    """DescribeConfigs' numbers (KIP-226)."""

    UNKNOWN = 0
    DYNAMIC_TOPIC = 1
    DYNAMIC_BROKER = 2
    DYNAMIC_DEFAULT_BROKER = 3
    STATIC_BROKER = 4
    DEFAULT = 5


class Effect(Enum):
    """What Raylog does with a setting; the text goes into its documentation."""

    ACTS = "Raylog acts on it."
    STORED = "Kept and shown; Raylog does not act on it yet."
    MEANINGLESS = "Accepted and shown, without effect here"
    """Followed by the reason, in the setting's own documentation."""


Value = bool | int | float | str | tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigKey:
    name: str
    type: ConfigType
    default: str | None
    """None: no value unless one is set; only broker settings that others stand in for."""
    doc: str
    effect: Effect = Effect.ACTS
    check: Callable[[Value], str | None] | None = None
    """Says what is wrong with a value of the right type, or None: ``must be at least 1``."""
    synonyms: tuple[str, ...] = ()
    """The broker settings that give a topic setting its default, strongest first."""
    dynamic: bool = True
    """Whether a running cluster takes a new value."""

    @property
    def documentation(self) -> str:
        return f"{self.doc} {self.effect.value}" if self.effect is not Effect.MEANINGLESS else self._reason()

    def parse(self, text: str) -> Value:
        """The value that ``text`` stands for. Raises InvalidError with one sentence."""
        try:
            value = _PARSERS[self.type](text.strip())
        except ValueError as error:
            raise InvalidError(f"'{text}' is no value for {self.name}: it must be {error}.") from None
        complaint = None if self.check is None else self.check(value)
        if complaint is not None:
            raise InvalidError(f"'{text}' is no value for {self.name}: it {complaint}.")
        return value

    def _reason(self) -> str:
        return f"{Effect.MEANINGLESS.value}: {self.doc}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigSynonym:
    name: str
    value: str | None
    source: ConfigSource


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigEntry:
    """A setting as DescribeConfigs shows it."""

    name: str
    value: str | None
    source: ConfigSource
    type: ConfigType
    documentation: str
    read_only: bool = False
    sensitive: bool = False
    synonyms: tuple[ConfigSynonym, ...] = ()
    """All values that it could have, the effective one first."""


def table(*keys: ConfigKey) -> Mapping[str, ConfigKey]:
    """The settings by name, in alphabetical order as Kafka shows them."""
    return {key.name: key for key in sorted(keys, key=lambda key: key.name)}


def at_least(least: int) -> Callable[[Value], str | None]:
    return lambda value: None if isinstance(value, int) and value >= least else f"must be at least {least}"


def between(least: float, most: float) -> Callable[[Value], str | None]:
    def check(value: Value) -> str | None:
        inside = isinstance(value, (int, float)) and least <= value <= most
        return None if inside else f"must be between {least} and {most}"

    return check


def one_of(*allowed: str) -> Callable[[Value], str | None]:
    """For a string, or for each element of a list."""

    def check(value: Value) -> str | None:
        given = value if isinstance(value, tuple) else (value,)
        return None if all(element in allowed for element in given) else f"must be one of {', '.join(allowed)}"

    return check


def _boolean(text: str) -> Value:
    lowered = text.lower()
    if lowered not in ("true", "false"):
        raise ValueError("true or false")
    return lowered == "true"


def _whole(lowest: int, highest: int, kind: str) -> Callable[[str], Value]:
    def parse(text: str) -> Value:
        # int() alone would take 1_000 and non-ASCII digits, which Kafka refuses.
        if not text.isascii() or not text.lstrip("+-").isdigit() or not lowest <= int(text) <= highest:
            raise ValueError(f"a whole number of {kind}")
        return int(text)

    return parse


def _double(text: str) -> Value:
    try:
        return float(text)
    except ValueError:
        raise ValueError("a number") from None


def _list(text: str) -> Value:
    return tuple(element.strip() for element in text.split(",")) if text else ()


def _string(text: str) -> Value:
    return text


_PARSERS: Final[Mapping[ConfigType, Callable[[str], Value]]] = {
    ConfigType.BOOLEAN: _boolean,
    ConfigType.STRING: _string,
    ConfigType.INT: _whole(-(2**31), _INT_MAX, "32 bits"),
    ConfigType.SHORT: _whole(-(2**15), 2**15 - 1, "16 bits"),
    ConfigType.LONG: _whole(-(2**63), UNLIMITED, "64 bits"),
    ConfigType.DOUBLE: _double,
    ConfigType.LIST: _list,
    ConfigType.CLASS: _string,
    ConfigType.PASSWORD: _string,
}
