"""The table of Kafka APIs that the gateway serves: ApiVersions, decoding and docs/compatibility.md are all made from it.

A handler is registered where it is defined, so that what is announced cannot drift from what is served::

    @handles(3, 0, 13, left_out="…")
    async def metadata(context: RequestContext, request: Any) -> Payload: ...

Contract of a handler ``handler(context, request) -> Answer``:

- It is called in the order in which requests arrive on their connection. An ``async def`` handler then runs as a task of its
  own, beside the others of the connection; so does what a plain function returns as a coroutine, which returns the answer itself
  where it has that at once (Fetch). One whose effects must keep the order of requests (Produce) is a plain function that does
  its routing and forwarding before it returns, and returns a future of its answer.
- The connection puts the answers into the order of the requests; a handler never has to.
- It answers with the response entity of the request's version, with a leader's answer frame (a buffer; it goes to the
  client by reference, under the client's correlation id), or with None where Kafka sends no answer (Produce with acks=0).
- It turns RetryError and StaleRouteError into Kafka's error codes, or lets them out and has registered ``failed`` to do so.
  CloseConnection closes the client's connection, as Kafka does where it can give no answer. Any other error that it lets
  out closes it too, and is logged with the request's correlation id.
"""

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, TypeVar

from kio.static.protocol import Payload

from gateway.context import RequestContext
from raylog.model.buffers import Buffer
from raylog.model.errors import RaylogError, RetryError, StaleRouteError
from raylog.protocol.wire import api_name


class CloseConnection(RaylogError):
    """No answer can be given: the client's connection closes, so that it looks for another broker or route."""


Answer = Payload | Buffer | None

Handler = Callable[[RequestContext, Any], Answer | Awaitable[Answer]]

Failed = Callable[[RequestContext, RetryError | StaleRouteError], Payload]
"""Makes the answer to a request whose handler, or the future it gave, ended in one of these."""

AskAgain = Callable[[RequestContext, Buffer], Coroutine[Any, Any, Payload | None] | None]
"""Given a leader's answer that has an error in it: a better one that is on its way, as the question has been put to another
leader before this returns; or None, and the client gets the answer as it is."""

Unsupported = Callable[[RequestContext], Payload]
"""Makes the answer to a version that is not served, where Kafka answers in place of closing (ApiVersions, KIP-511)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """One API key as served."""

    key: int
    name: str
    """As in Kafka's documents: ``Produce``, ``ListOffsets``."""
    min_version: int
    max_version: int
    handler: Handler
    failed: Failed | None
    ask_again: AskAgain | None
    unsupported: Unsupported | None
    left_out: str
    """What of the API is not served and why, for docs/compatibility.md; empty when all of it is."""


ApiTable = Mapping[int, Api]

_registered: dict[int, Api] = {}
_H = TypeVar("_H", bound=Handler)


def handles(
    api_key: int,
    min_version: int,
    max_version: int,
    *,
    failed: Failed | None = None,
    ask_again: AskAgain | None = None,
    unsupported: Unsupported | None = None,
    left_out: str = "",
) -> Callable[[_H], _H]:
    """Register the decorated function as the handler of ``api_key`` in these versions (both included)."""

    def register(handler: _H) -> _H:
        known = _registered.get(api_key)
        if known is not None and known.handler.__module__ != handler.__module__:
            raise AssertionError(f"API key {api_key} has two handlers: {known.handler} and {handler}")
        _registered[api_key] = Api(
            key=api_key,
            name=api_name(api_key),
            min_version=min_version,
            max_version=max_version,
            handler=handler,
            failed=failed,
            ask_again=ask_again,
            unsupported=unsupported,
            left_out=left_out,
        )
        return handler

    return register


@cache
def served_apis() -> ApiTable:
    """Every API that a module of ``gateway.handlers`` registers, by key."""
    import gateway.handlers as package

    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
    return MappingProxyType(dict(sorted(_registered.items())))
