"""Every message of every version survives encoding and decoding, and no bytes do anything but raise InvalidError."""

import datetime
import io
import struct
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from types import NoneType
from typing import Any, get_args, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kio.schema.api_versions.v0.response import ApiVersionsResponse
from kio.schema.errors import ErrorCode
from kio.schema.index import api_key_map, schema_name_map
from kio.schema.metadata.v12.request import MetadataRequest
from kio.schema.produce.v9.request import PartitionProduceData, ProduceRequest, TopicProduceData
from kio.serial import entity_writer
from kio.static.constants import EntityType

from raylog.model.errors import InvalidError
from raylog.protocol import wire
from raylog.protocol.gather import GatherBuffer
from raylog.protocol.guard import MAX_ELEMENTS
from raylog.protocol.wire import (
    RecordsParts,
    api_name,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    i16,
    i32,
    ms,
    ms64,
    records,
    request_head,
    request_schema,
    response_correlation_id,
    response_schema,
    timestamp,
    to_ms,
    to_timestamp_ms,
    topic_name,
    with_correlation_id,
)
from raylog.protocol.writer import message_writer

# The share-group and streams-group APIs are not served; their kio schemas are checked all the same.
REQUESTS = [
    (key, version)
    for key, name in sorted(api_key_map.items())
    for version, types in schema_name_map[name].items()
    if EntityType.request in types
]
RESPONSES = [
    (key, version)
    for key, name in sorted(api_key_map.items())
    for version, types in schema_name_map[name].items()
    if EntityType.response in types
]


def example(schema: Any, elements: int) -> Any:
    """A message with something in every field, and ``elements`` in every array."""
    return schema(**{field.name: _example(field.type, field, elements) for field in fields(schema)})


def _example(kind: Any, field: Any, elements: int) -> Any:
    if get_origin(kind) is tuple:
        return tuple(_example(get_args(kind)[0], field, elements) for _ in range(elements))
    options = [option for option in get_args(kind) if option is not NoneType]
    if get_origin(kind) is not None and options:
        if elements == 0 and "tag" not in field.metadata:
            return None
        return _example(options[0], field, elements)
    if is_dataclass(kind):
        return example(kind, elements)
    samples: dict[str, Any] = {
        "bool": True,
        "string": "größe",
        "bytes": b"\x00\xff",
        "records": b"records",
        "uuid": uuid.UUID(int=7),
        "float64": 0.5,
        "error_code": ErrorCode.offset_out_of_range,
        "timedelta_i32": datetime.timedelta(milliseconds=1500),
        "timedelta_i64": datetime.timedelta(milliseconds=1500),
        "datetime_i64": datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC),
    }
    return samples.get(field.metadata["kafka_type"], 1)


def frame_of(buffers: list[Any]) -> bytes:
    """What lies behind the size prefix, which is checked."""
    whole = b"".join(buffers)
    assert struct.unpack_from(">i", whole)[0] == len(whole) - 4
    return whole[4:]


@pytest.mark.parametrize("elements", [0, 2])
@pytest.mark.parametrize(("key", "version"), REQUESTS)
def test_every_request_comes_back(key: int, version: int, elements: int) -> None:
    request = example(request_schema(key, version), elements)
    frame = frame_of(encode_request(request, correlation_id=77, client_id="client"))
    head, decoded = decode_request(frame)
    assert decoded == request
    assert (head.api_key, head.api_version, head.correlation_id, head.client_id) == (key, version, 77, "client")


@pytest.mark.parametrize("elements", [0, 2])
@pytest.mark.parametrize(("key", "version"), RESPONSES)
def test_every_response_comes_back(key: int, version: int, elements: int) -> None:
    response = example(response_schema(key, version), elements)
    assert decode_response(key, version, frame_of(encode_response(78, response))) == (78, response)


@pytest.mark.parametrize("elements", [0, 1, 3])
@pytest.mark.parametrize(
    "schema",
    sorted(
        {request_schema(*api) for api in REQUESTS} | {response_schema(*api) for api in RESPONSES},
        key=lambda schema: (schema.__name__, schema.__version__),
    ),
    ids=lambda schema: f"{schema.__name__}-{schema.__version__}",
)
def test_every_message_is_written_as_kio_writes_it(schema: Any, elements: int) -> None:
    message = example(schema, elements)
    ours = GatherBuffer()
    message_writer(schema)(ours, message)
    theirs = io.BytesIO()
    entity_writer(schema)(theirs, message)
    assert b"".join(ours.finish()) == theirs.getvalue()


@pytest.mark.parametrize("version", [1, 12])
@pytest.mark.parametrize("count", [126, 127, 128, 300, 20_000])
def test_long_arrays_and_strings_come_back(version: int, count: int) -> None:
    schema = request_schema(3, version)
    topic = schema.__dataclass_fields__["topics"].type.__args__[0].__args__[0]
    ids = {"topic_id": None} if version >= 10 else {}
    request = replace(example(schema, 0), topics=tuple(topic(name="n" * (i % 400), **ids) for i in range(count)))
    assert decode_request(frame_of(encode_request(request, correlation_id=1)))[1] == request


@pytest.mark.parametrize(("key", "version"), REQUESTS)
def test_every_truncated_request_is_invalid(key: int, version: int) -> None:
    frame = frame_of(encode_request(example(request_schema(key, version), 1), correlation_id=1, client_id="c"))
    for size in range(len(frame)):
        with pytest.raises(InvalidError):
            decode_request(frame[:size])


@pytest.mark.parametrize(("key", "version"), RESPONSES)
def test_every_truncated_response_is_invalid(key: int, version: int) -> None:
    frame = frame_of(encode_response(1, example(response_schema(key, version), 1)))
    for size in range(len(frame)):
        with pytest.raises(InvalidError):
            decode_response(key, version, frame[:size])


_noise = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from([b"\xff", b"\x7f", b"\x80", b"\x00", b"\x01", b"\x02", b"a"]), max_size=80).map(b"".join),
)


@settings(max_examples=3000, deadline=None)
@given(st.sampled_from(REQUESTS), _noise)
def test_noise_behind_a_head_is_a_request_or_invalid(api: tuple[int, int], noise: bytes) -> None:
    with suppress(InvalidError):
        decode_request(struct.pack(">hhih", *api, 5, -1) + noise)


@settings(max_examples=3000, deadline=None)
@given(st.sampled_from(RESPONSES), _noise)
def test_noise_is_a_response_or_invalid(api: tuple[int, int], noise: bytes) -> None:
    with suppress(InvalidError):
        decode_response(*api, noise)


@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(REQUESTS), st.data())
def test_a_request_with_changed_bytes_is_a_request_or_invalid(api: tuple[int, int], data: st.DataObject) -> None:
    frame = bytearray(frame_of(encode_request(example(request_schema(*api), 2), correlation_id=1, client_id="c")))
    for _ in range(data.draw(st.integers(1, 5))):
        frame[data.draw(st.integers(8, len(frame) - 1))] = data.draw(st.sampled_from([0xFF, 0x7F, 0x80, 0x00, 0x01]))
    with suppress(InvalidError):
        decode_request(bytes(frame))


def tagged(*fields: tuple[int, bytes]) -> bytes:
    return bytes([len(fields)]) + b"".join(bytes([tag, len(value)]) + value for tag, value in fields)


def test_tagged_fields_that_newer_clients_may_add_are_ignored() -> None:
    """KIP-482: they may come in any structure of any flexible version, and in the header."""
    name = b"\x02a" + tagged((7, b"new"))
    topic = bytes(16) + name
    header = struct.pack(">hhih", 3, 12, 5, -1) + tagged((1, b"x"), (9, b"yz"))
    frame = header + b"\x03" + topic + topic + b"\x01\x00" + tagged((0, b""), (100, b"more"))
    plain = struct.pack(">hhih", 3, 12, 5, -1) + b"\0\x03" + (bytes(16) + b"\x02a\0") * 2 + b"\x01\x00\0"
    assert decode_request(frame)[1] == decode_request(plain)[1]


def test_known_tagged_fields_beside_unknown_ones_are_kept() -> None:
    plain = example(request_schema(1, 18), 0)
    no_replica = replace(plain.replica_state, replica_id=-1, replica_epoch=-1)
    request = replace(plain, cluster_id="cluster", replica_state=no_replica)
    frame = frame_of(encode_request(request, correlation_id=1))
    start = frame.index(tagged((0, b"\x08cluster")))
    newer = frame[:start] + b"\x02" + frame[start + 1 :] + bytes([90, 2]) + b"zz"
    assert decode_request(newer)[1] == request


def test_unknown_tagged_fields_inside_a_tagged_field_are_invalid() -> None:
    """Nobody sends such; to leave them out, sizes before them would have to change."""
    response = replace(example(response_schema(0, 10), 1), responses=())
    frame = bytearray(frame_of(encode_response(1, response)))
    size_position = 12  # after correlation id, header tags, responses, throttle time, tag count and tag
    assert frame[size_position] == len(frame) - size_position - 1
    frame[-1:] = tagged((7, b"x"))
    frame[size_position] += 3
    with pytest.raises(InvalidError, match="unknown tagged fields"):
        decode_response(0, 10, bytes(frame))


@given(_noise)
def test_noise_is_a_head_or_invalid(noise: bytes) -> None:
    with suppress(InvalidError):
        request_head(noise)
    with suppress(InvalidError):
        decode_request(noise)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xff\xff\xff\x0f",  # kio would reserve 32 GiB for this compact array
        b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x80\x80\x80\x80\x10",
    ],
)
def test_a_hostile_array_length_is_refused_before_anything_is_reserved(body: bytes) -> None:
    head = struct.pack(">hhih", 3, 12, 5, -1) + b"\0"
    with pytest.raises(InvalidError):
        decode_request(head + body)


@pytest.mark.parametrize("count", [2**31 - 1, 1000, -2])
def test_a_hostile_legacy_array_length_is_refused(count: int) -> None:
    with pytest.raises(InvalidError):
        decode_request(struct.pack(">hhihi", 3, 1, 5, -1, count))


def test_a_message_of_too_many_elements_is_refused() -> None:
    metadata = struct.pack(">hhihi", 3, 1, 5, -1, MAX_ELEMENTS + 1) + b"\0\0" * (MAX_ELEMENTS + 1)
    with pytest.raises(InvalidError, match="more than"):
        decode_request(metadata)


def test_an_unknown_api_or_version_still_has_a_head() -> None:
    frame = struct.pack(">hhih", 999, 99, 5, 3) + b"abc" + b"rest"
    assert request_head(frame) == (999, 99, 5, "abc", 13)
    with pytest.raises(InvalidError, match="API 999 has no version 99"):
        decode_request(frame)
    with pytest.raises(InvalidError, match="Metadata has no version 99"):
        request_schema(3, 99)


def test_a_client_id_that_is_not_text_or_too_long_is_invalid() -> None:
    with pytest.raises(InvalidError, match="UTF-8"):
        request_head(struct.pack(">hhih", 3, 1, 5, 2) + b"\xff\xfe")
    with pytest.raises(InvalidError, match="client id"):
        request_head(struct.pack(">hhih", 3, 1, 5, 20) + b"abc")


def test_an_api_versions_response_has_header_version_0() -> None:
    """KIP-511: also in its flexible versions, as the client may not know which version it gets."""
    response = response_schema(18, 3)(error_code=ErrorCode.none, api_keys=(), throttle_time=ms(0))
    frame = frame_of(encode_response(9, response))
    assert frame == struct.pack(">ih", 9, 0) + b"\x01" + struct.pack(">i", 0) + b"\x00"
    old = ApiVersionsResponse(error_code=ErrorCode.none, api_keys=())
    assert decode_response(18, 0, frame_of(encode_response(9, old))) == (9, old)


def produce(body: Any) -> ProduceRequest:
    partition = PartitionProduceData(index=i32(0), records=records(body))
    return ProduceRequest(
        acks=i16(-1),
        timeout=ms(1000),
        topic_data=(TopicProduceData(name=topic_name("t"), partition_data=(partition,)),),
    )


def test_large_records_are_passed_on_by_reference() -> None:
    large, small = bytes(100_000), b"s" * 10
    parts = RecordsParts([small, large, memoryview(large)[1:]])
    buffers = encode_request(produce(parts), correlation_id=1)
    assert any(buffer is large for buffer in buffers)
    assert sum(map(len, buffers)) - len(parts) < 100
    _, decoded = decode_request(frame_of(buffers))
    assert decoded == produce(parts.join())  # type: ignore[comparison-overlap]


@pytest.mark.parametrize("size", [10, 100_000])
@pytest.mark.parametrize("wrap", [bytes, memoryview])
def test_a_new_correlation_id_changes_nothing_else(size: int, wrap: Callable[[bytes], Any]) -> None:
    frame = frame_of(encode_request(produce(bytes(size)), correlation_id=1, client_id="c"))
    buffers = with_correlation_id(wrap(frame), 0x40000002, request=True)
    assert decode_request(frame_of(buffers)) == decode_request(frame[:4] + b"\x40\x00\x00\x02" + frame[8:])
    response = frame_of(buffers)[4:]
    assert response_correlation_id(response) == 0x40000002
    assert frame_of(with_correlation_id(wrap(response), 7, request=False)) == struct.pack(">i", 7) + response[4:]


def test_a_frame_in_a_view_is_read_without_a_copy() -> None:
    frame = frame_of(encode_request(produce(b"abc"), correlation_id=1))
    assert decode_request(memoryview(frame)) == decode_request(frame)
    assert decode_request(memoryview(bytearray(frame)).toreadonly()) == decode_request(frame)


def test_durations_and_timestamps() -> None:
    assert to_ms(ms(-1)) == -1
    assert to_ms(ms(2**31 - 1)) == 2**31 - 1
    assert to_ms(ms64(2**40)) == 2**40
    assert timestamp(-1) is None
    assert to_timestamp_ms(None) == -1
    assert to_timestamp_ms(timestamp(1_793_491_200_123)) == 1_793_491_200_123


@given(st.integers(0, 2**47))
def test_timestamps_come_back_to_the_millisecond(value_ms: int) -> None:
    assert to_timestamp_ms(timestamp(value_ms)) == value_ms


def test_names_of_apis() -> None:
    assert api_name(0) == "Produce"
    assert api_name(23) == "OffsetForLeaderEpoch"
    assert api_name(999) == "API 999"


def test_nothing_is_kept_for_unknown_apis() -> None:
    for key in range(1000, 3000):
        with suppress(InvalidError):
            request_schema(key, 0)
    assert request_schema(3, 12) is MetadataRequest
    assert wire._request_codec.cache_info().currsize <= len(REQUESTS)
