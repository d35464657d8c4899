"""Kafka requests that librdkafka does not have, sent as they are over a socket of their own to the bootstrap server."""

import socket
from typing import Any

from raylog.cli.client import Cluster
from raylog.model.config import HostPort
from raylog.model.errors import InvalidError

_ENCRYPTED_OR_AUTHENTICATED = ("security.protocol", "sasl.mechanism", "sasl.mechanisms")
_SIZE_BYTES = 4


def ask(cluster: Cluster, api_key: int, api_version: int, **values: Any) -> Any:
    """The answer to one request with these fields. Raises RetryError when nobody answers, and InvalidError for settings that need
    more than a plain connection."""
    from raylog.protocol.wire import decode_response, encode_request, request_schema

    if cluster.properties.keys() & set(_ENCRYPTED_OR_AUTHENTICATED):
        raise InvalidError("This request goes over plain connections only: leave security.protocol and SASL out.")
    address = HostPort.parse(cluster.bootstrap.partition(",")[0])
    request = request_schema(api_key, api_version)(**values)
    try:
        with socket.create_connection((address.host, address.port), cluster.timeout_s) as connection:
            connection.sendall(b"".join(encode_request(request, correlation_id=1, client_id="raylog-cli")))
            size = int.from_bytes(_read(connection, _SIZE_BYTES), "big")
            return decode_response(api_key, api_version, _read(connection, size))[1]
    except OSError as error:
        raise cluster.away() from error


def _read(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionResetError("The broker has closed the connection.")
        data += part
    return bytes(data)
