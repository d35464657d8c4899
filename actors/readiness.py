"""Whether clients are served, asked as a client asks: a Metadata request in which every partition has a leader."""

import socket

from kio.schema.errors import ErrorCode
from kio.schema.metadata.v12.request import MetadataRequest
from kio.schema.metadata.v12.response import MetadataResponse

from raylog.model.config import HostPort
from raylog.protocol.wire import decode_response, encode_request

_METADATA = 3
_VERSION = 12
_TIMEOUT_S = 2.0
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def clients_are_served(address: HostPort) -> bool:
    """False as well while nothing listens there."""
    try:
        response = _ask(address)
    except OSError:
        return False
    topics = response.topics or ()
    return bool(response.brokers and topics) and all(
        partition.error_code is ErrorCode.none for topic in topics for partition in topic.partitions
    )


def _ask(address: HostPort) -> MetadataResponse:
    request = MetadataRequest(topics=None, allow_auto_topic_creation=False, include_topic_authorized_operations=False)
    with socket.create_connection((_LOOPBACK.get(address.host, address.host), address.port), _TIMEOUT_S) as connection:
        connection.sendall(b"".join(encode_request(request, correlation_id=1, client_id="raylog-readiness")))
        with connection.makefile("rb") as answer:
            size = int.from_bytes(answer.read(4))
            frame = answer.read(size)
    if not size or len(frame) < size:
        raise ConnectionError("the gateway closed the connection")
    _, response = decode_response(_METADATA, _VERSION, frame)
    assert isinstance(response, MetadataResponse)
    return response
