"""Requests on a plain socket, for what no client library does on demand: huge ones, idle connections by the thousand."""

import socket
import struct
from typing import Final, Protocol

from kio.static.protocol import Payload

from bench.servers import ServerError
from raylog.protocol.wire import encode_request

REQUEST_S_MAX: Final = 120.0


class Listening(Protocol):
    """A server on loopback."""

    port: int


def connected(server: Listening) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=REQUEST_S_MAX)


def asked(connection: socket.socket, request: Payload) -> bytes:
    """The answer's frame."""
    connection.sendall(b"".join(encode_request(request, correlation_id=1)))
    (size,) = struct.unpack(">i", _exactly(connection, 4))
    return _exactly(connection, size)


def _exactly(connection: socket.socket, size: int) -> bytes:
    received = bytearray(size)
    view = memoryview(received)
    while view:
        count = connection.recv_into(view)
        if not count:
            raise ServerError("The server closed a connection in the middle of an answer.")
        view = view[count:]
    return bytes(received)
