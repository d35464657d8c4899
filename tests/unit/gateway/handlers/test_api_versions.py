"""What clients are told that they may ask."""

import struct

import pytest
from kio.schema.errors import ErrorCode

from gateway.registry import served_apis
from raylog.protocol.wire import decode_response, encode_response, request_head


@pytest.mark.parametrize("version", range(5))
async def test_every_served_api_is_told_as_it_is_served(desk, version: int) -> None:
    answer = await desk.ask(18, version, client_software_name="a-client", client_software_version="1.2")
    assert answer.error_code is ErrorCode.none
    told = {api.api_key: (api.min_version, api.max_version) for api in answer.api_keys}
    served = {api.key: (api.min_version, api.max_version) for api in served_apis().values()}
    assert told == served | {0: (0, served[0][1])}


async def test_produce_is_told_from_version_0_on_for_librdkafka(desk) -> None:
    """KAFKA-18659: librdkafka turns to the old message format for a broker that does not show Produce v0."""
    answer = await desk.ask(18, 3, client_software_name="librdkafka", client_software_version="2.11")
    (produce,) = [api for api in answer.api_keys if api.api_key == 0]
    assert (produce.min_version, served_apis()[0].min_version) == (0, 3)


@pytest.mark.parametrize(("name", "version"), [("", "1"), ("-a", "1"), ("a", "1 2"), ("a", "-"), ("ä", "1")])
async def test_a_client_that_does_not_name_itself_properly_is_refused(desk, name: str, version: str) -> None:
    answer = await desk.ask(18, 3, client_software_name=name, client_software_version=version)
    assert answer.error_code is ErrorCode.invalid_request


def test_an_unknown_version_is_answered_in_version_0(desk) -> None:
    """KIP-511: the client learns which versions of ApiVersions there are, and asks again."""
    api = served_apis()[18]
    frame = struct.pack(">hhih", 18, 99, 7, 3) + b"abc"
    context = desk.context(3, 0, b"".join((struct.pack(">hhih", 3, 0, 7, -1), struct.pack(">i", 0))))
    context.head = request_head(frame)
    assert api.unsupported is not None
    answer = decode_response(18, 0, b"".join(encode_response(7, api.unsupported(context)))[4:])[1]
    assert answer.error_code is ErrorCode.unsupported_version
    assert [(each.api_key, each.min_version, each.max_version) for each in answer.api_keys] == [(18, 0, 4)]
