"""How ``raylog consume`` writes a record: a format with kcat's signs, or one JSON object a line."""

import base64
import json
from typing import TYPE_CHECKING, cast

from raylog.model.errors import InvalidError

if TYPE_CHECKING:
    from confluent_kafka import Message

DEFAULT_FORMAT = r"%s\n"
_SIGNS = "tpokshTSK%"
_ESCAPES = {"n": b"\n", "t": b"\t", "r": b"\r", "0": b"\0", "\\": b"\\"}

FORMAT_HELP = (
    r"%s value, %k key, %t topic, %p partition, %o offset, %T timestamp in ms, %h headers, %S and %K lengths, "
    r"%% a percent sign; \n, \t, \0 as usual."
)


class RecordFormat:
    """A format, read once: literal bytes and signs in turn."""

    def __init__(self, text: str) -> None:
        self._parts: list[bytes | str] = []
        position = 0
        while position < len(text):
            char, following = text[position], text[position + 1 : position + 2]
            if char == "%":
                if not following or following not in _SIGNS:
                    raise InvalidError(f"The format '{text}' has '%{following}', which means nothing: {FORMAT_HELP}")
                self._parts.append(b"%" if following == "%" else following)
                position += 2
            elif char == "\\" and following in _ESCAPES:
                self._parts.append(_ESCAPES[following])
                position += 2
            else:
                self._parts.append(char.encode())
                position += 1

    def render(self, message: "Message") -> bytes:
        return b"".join(part if isinstance(part, bytes) else _value_of(message, part) for part in self._parts)


def _value_of(message: "Message", sign: str) -> bytes:
    value, key = message.value() or b"", message.key() or b""
    match sign:
        case "s":
            return value
        case "k":
            return key
        case "t":
            return (message.topic() or "").encode()
        case "p":
            return str(message.partition()).encode()
        case "o":
            return str(message.offset()).encode()
        case "T":
            return str(message.timestamp()[1]).encode()
        case "h":
            return b",".join(name.encode() + b"=" + (content or b"") for name, content in _headers(message))
        case "S":
            return str(-1 if message.value() is None else len(value)).encode()
        case _:
            return str(-1 if message.key() is None else len(key)).encode()


def json_line(message: "Message") -> bytes:
    """The record as JSON; bytes that are no UTF-8 go into ``…_base64`` instead."""
    record = {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp": message.timestamp()[1],
        **_text_or_base64("key", message.key()),
        **_text_or_base64("value", message.value()),
        "headers": [{"name": name, **_text_or_base64("value", content)} for name, content in _headers(message)],
    }
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


def _headers(message: "Message") -> list[tuple[str, bytes | None]]:
    return cast("list[tuple[str, bytes | None]]", message.headers() or [])


def _text_or_base64(name: str, content: bytes | None) -> dict[str, str | None]:
    if content is None:
        return {name: None}
    try:
        return {name: content.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(content).decode()}
