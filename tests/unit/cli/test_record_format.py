"""Formats render what their signs say, bytes unchanged; JSON keeps bytes that are no text."""

import json
from dataclasses import dataclass, field

import pytest

from raylog.cli.record_format import RecordFormat, json_line
from raylog.model.errors import InvalidError


@dataclass
class Record:
    """As much of confluent_kafka's Message as is shown."""

    raw_value: bytes | None = b"value"
    raw_key: bytes | None = b"key"
    raw_headers: list[tuple[str, bytes | None]] = field(default_factory=list)

    def topic(self) -> str:
        return "events"

    def partition(self) -> int:
        return 3

    def offset(self) -> int:
        return 42

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_700_000_000_123

    def value(self) -> bytes | None:
        return self.raw_value

    def key(self) -> bytes | None:
        return self.raw_key

    def headers(self) -> list[tuple[str, bytes | None]]:
        return self.raw_headers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"%s\n", b"value\n"),
        (r"%t-%p@%o %T\t%k=%s", b"events-3@42 1700000000123\tkey=value"),
        (r"%S/%K", b"5/3"),
        (r"100%% \\ \0 \x", b"100% \\ \0 \\x"),
        ("ä %h", "ä a=1,b=".encode()),
        ("", b""),
        ("\\", b"\\"),
    ],
)
def test_a_format_renders_its_signs(text: str, expected: bytes) -> None:
    record = Record(raw_headers=[("a", b"1"), ("b", None)])
    assert RecordFormat(text).render(record) == expected


def test_null_keys_and_values_are_empty_and_have_length_minus_one() -> None:
    assert RecordFormat("[%k][%s]%K,%S").render(Record(raw_key=None, raw_value=None)) == b"[][]-1,-1"
    assert RecordFormat("%K,%S").render(Record(raw_key=b"", raw_value=b"")) == b"0,0"


@pytest.mark.parametrize("text", ["%", "%x", "abc%"])
def test_a_sign_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="means nothing"):
        RecordFormat(text)


def test_json_has_everything() -> None:
    record = Record(raw_value=b"\xff\0", raw_key=None, raw_headers=[("h", "ä".encode()), ("n", None)])
    line = json_line(record)
    assert line.endswith(b"}\n")
    assert json.loads(line) == {
        "topic": "events",
        "partition": 3,
        "offset": 42,
        "timestamp": 1_700_000_000_123,
        "key": None,
        "value_base64": "/wA=",
        "headers": [{"name": "h", "value": "ä"}, {"name": "n", "value": None}],
    }
