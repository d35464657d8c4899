"""Kafka messages as frames and entities: heads read cheaply, bodies read and written by kio, correlation ids exchanged
in place.

A *frame* is what follows the 4-byte size prefix: for a request the request header and its body, for a response the
response header and its body. Functions that encode return buffers to send, size prefix included; functions that decode
take a frame.

- Bad bytes raise ``InvalidError``, whatever they are; an API key or version that kio has no schema for raises it too.
- A frame is checked by ``guard`` before kio's native reader sees it (a hostile array length would make that abort the
  process).
- ApiVersions responses always have header version 0 (KIP-511).
"""

import struct
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, NamedTuple, cast

from kio.index import KioIndexError, load_request_schema, load_response_schema
from kio.schema.index import api_key_map
from kio.serial import entity_reader
from kio.serial.errors import SerialError
from kio.static.protocol import Payload

from raylog.model.buffers import Buffer
from raylog.model.errors import InvalidError
from raylog.protocol.file_range import Part
from raylog.protocol.gather import GatherBuffer, RecordsParts
from raylog.protocol.guard import Guard, entity_guard, skip_tags
from raylog.protocol.values import (
    NO_THROTTLE,
    broker_id,
    group_id,
    i8,
    i16,
    i32,
    i64,
    ms,
    ms64,
    producer_id,
    records,
    timestamp,
    to_ms,
    to_timestamp_ms,
    topic_name,
    transactional_id,
    u16,
)
from raylog.protocol.writer import Write, message_writer

__all__ = [
    "NO_THROTTLE",
    "GatherBuffer",
    "RecordsParts",
    "RequestHead",
    "api_name",
    "broker_id",
    "decode_request",
    "decode_response",
    "encode_request",
    "encode_response",
    "group_id",
    "i8",
    "i16",
    "i32",
    "i64",
    "ms",
    "ms64",
    "prepare",
    "producer_id",
    "records",
    "request_head",
    "request_schema",
    "response_correlation_id",
    "response_schema",
    "timestamp",
    "to_ms",
    "to_timestamp_ms",
    "topic_name",
    "transactional_id",
    "u16",
    "with_correlation_id",
]

_REQUEST = struct.Struct(">hhih")
_REQUEST_START = struct.Struct(">hhi")
_SIZE_AND_REQUEST_START = struct.Struct(">ihhi")
_I32 = struct.Struct(">i")
_SIZE_AND_I32 = struct.Struct(">ii")

_I32_INTO = _I32.pack_into
_SIZE_PLACE = bytes(_I32.size)
_JOIN_BYTES = 16 * 1024
"""A frame up to this size is copied behind its new head: cheaper than a second buffer in ``writev``."""

# What kio's reader raises for bytes that the guard lets through: text that is not UTF-8, null where none is allowed, an
# unknown error code, a timestamp that no datetime holds, a tagged field that it does not know (KeyError).
_DECODE_ERRORS = (SerialError, ValueError, OverflowError, TypeError, KeyError)


class RequestHead(NamedTuple):
    """A request's header, and where its body starts. A tuple, as one is made for each request."""

    api_key: int
    api_version: int
    correlation_id: int
    client_id: str | None
    body_start: int
    """Position in the frame. For an API key or version without a schema: after the client id."""


class _Codec(NamedTuple):
    schema: type[Payload]
    is_flexible: bool
    """The header has tagged fields."""
    guard: Guard
    read: Callable[[Buffer, int], tuple[Payload, int]]


def request_head(frame: Buffer) -> RequestHead:
    """A request's header, of any API key and version, known or not. Raises InvalidError when the frame is too short for
    it."""
    try:
        api_key, api_version, correlation_id, id_length = _REQUEST.unpack_from(frame)
        position = _REQUEST.size
        client_id = None
        if id_length >= 0:
            position += id_length
            client_id = str(frame[_REQUEST.size : position], "utf-8")
        if position > len(frame):
            raise InvalidError("The request ends within its client id.")
        if _has_flexible_request_header(api_key, api_version):
            position = skip_tags(frame, position)
    except (struct.error, IndexError):
        raise InvalidError(f"A frame of {len(frame)} bytes is too short for a request header.") from None
    except UnicodeDecodeError:
        raise InvalidError("The client id of the request is not UTF-8.") from None
    return RequestHead(api_key, api_version, correlation_id, client_id, position)


def decode_request(frame: Buffer, head: RequestHead | None = None) -> tuple[RequestHead, Payload]:
    """A request as an entity. ``frame`` must be read-only; ``head`` saves reading it again. Raises InvalidError."""
    if head is None:
        head = request_head(frame)
    codec = _request_codec(head.api_key, head.api_version)
    return head, _decoded(codec, frame, head.body_start)


def decode_response(api_key: int, api_version: int, frame: Buffer) -> tuple[int, Payload]:
    """A response's correlation id and entity. ``frame`` must be read-only. Raises InvalidError."""
    codec = _response_codec(api_key, api_version)
    correlation_id = response_correlation_id(frame)
    position = _I32.size
    if codec.is_flexible:
        try:
            position = skip_tags(frame, position)
        except IndexError:
            raise InvalidError("The response ends within its header.") from None
    return correlation_id, _decoded(codec, frame, position)


def response_correlation_id(frame: Buffer) -> int:
    """Raises InvalidError for a frame shorter than 4 bytes."""
    try:
        return cast(int, _I32.unpack_from(frame)[0])
    except struct.error:
        raise InvalidError(f"A frame of {len(frame)} bytes is too short for a response header.") from None


def encode_request(request: Payload, *, correlation_id: int, client_id: str | None = None) -> list[Buffer]:
    """A request as buffers to send. Records are passed on by reference."""
    schema = type(request)
    name = b"" if client_id is None else client_id.encode()
    head = _REQUEST.pack(schema.__api_key__, schema.__version__, correlation_id, -1 if client_id is None else len(name))
    tags = b"\0" if _request_codec(schema.__api_key__, schema.__version__).is_flexible else b""
    return cast(list[Buffer], _framed(head + name + tags, request))  # requests have no parts of files


def encode_response(correlation_id: int, response: Payload) -> list[Part]:
    """A response as buffers, and parts of files, to send. Records are passed on by reference."""
    schema = type(response)
    head = _I32.pack(correlation_id)
    if _response_codec(schema.__api_key__, schema.__version__).is_flexible:
        head += b"\0"
    return _framed(head, response)


def with_correlation_id(frame: Buffer, correlation_id: int, *, request: bool) -> list[Buffer]:
    """A received frame as buffers to send under another correlation id; a large one is passed on by reference."""
    if request:
        api_key, api_version, _ = _REQUEST_START.unpack_from(frame)
        head = _SIZE_AND_REQUEST_START.pack(len(frame), api_key, api_version, correlation_id)
    else:
        head = _SIZE_AND_I32.pack(len(frame), correlation_id)
    rest = memoryview(frame)[len(head) - _I32.size :]
    return [b"".join((head, rest))] if len(frame) <= _JOIN_BYTES else [head, rest]


def request_schema(api_key: int, api_version: int) -> type[Payload]:
    """Raises InvalidError when kio has none."""
    return _request_codec(api_key, api_version).schema


def response_schema(api_key: int, api_version: int) -> type[Payload]:
    """Raises InvalidError when kio has none."""
    return _response_codec(api_key, api_version).schema


def prepare(api_key: int, versions: Iterable[int]) -> None:
    """Load the schemas of an API's messages and make what reads and writes them, as its first request does else: some
    milliseconds for each version, for which its client waits."""
    for version in versions:
        _writer(_request_codec(api_key, version).schema)
        _writer(_response_codec(api_key, version).schema)


def api_name(api_key: int) -> str:
    """Kafka's name of an API, as in ``OffsetCommit``; ``API 123`` for a key that kio does not know."""
    name = api_key_map.get(api_key)
    return f"API {api_key}" if name is None else name.title().replace("_", "")


@cache
def _request_codec(api_key: int, api_version: int) -> _Codec:
    return _codec(load_request_schema, api_key, api_version)


@cache
def _response_codec(api_key: int, api_version: int) -> _Codec:
    return _codec(load_response_schema, api_key, api_version)


def _codec(load: Callable[[int, int], Any], api_key: int, api_version: int) -> _Codec:
    # Only what exists is cached, so that unknown keys in requests do not fill the cache.
    try:
        schema = load(api_key, api_version)
    except KioIndexError:
        raise InvalidError(f"{api_name(api_key)} has no version {api_version} that Raylog knows.") from None
    return _Codec(schema, schema.__header_schema__.__flexible__, entity_guard(schema), entity_reader(schema))


def _has_flexible_request_header(api_key: int, api_version: int) -> bool:
    try:
        return _request_codec(api_key, api_version).is_flexible
    except InvalidError:
        return False


def _decoded(codec: _Codec, frame: Buffer, position: int) -> Payload:
    readable = codec.guard(frame, position)
    try:
        return codec.read(readable, position)[0]
    except _DECODE_ERRORS as error:
        raise InvalidError(f"The {codec.schema.__name__} cannot be read: {error}.") from error


@cache
def _writer(schema: type[Payload]) -> Write:
    return message_writer(schema)


def _framed(head: bytes, entity: Payload) -> list[Part]:
    gathered = GatherBuffer()
    first = gathered.small
    first += _SIZE_PLACE
    first += head
    _writer(type(entity))(gathered, entity)
    _I32_INTO(first, 0, len(gathered) - _I32.size)
    return gathered.finish()
