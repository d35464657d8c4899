"""The table of Kafka APIs that a leader's internal listener answers. A handler is registered where it is defined::

    @handles(11, 0, 9)
    async def join_group(call: Call) -> JoinGroupResponse: ...

Contract of a handler ``handler(call) -> Answer``:

- Handlers of a connection are called in the order in which its requests arrive. A plain function does its work before it
  returns (Produce: offsets are assigned in arrival order); an ``async def`` runs as a task that the connection owns.
- Answers leave out of order, matched by correlation id.
- It returns the response entity of the request's version, or None: no answer is due (acks=0), or the handler has kept the call
  and gives the answer later with ``call.answer``.
- StaleRouteError, RetryError and InvalidError are answered by the handler with Kafka's codes. FencedError may be let out: the
  connection is dropped. Any other error that it lets out closes the connection and is logged with the correlation id.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TypeVar

from kio.static.protocol import Payload

from raylog.leader.call import Call

Answer = Payload | None
Handler = Callable[[Call], Answer | Awaitable[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderApi:
    """One API key as served by leaders."""

    key: int
    min_version: int
    max_version: int
    handler: Handler
    is_async: bool


_registered: dict[int, LeaderApi] = {}
_H = TypeVar("_H", bound=Handler)


def handles(api_key: int, min_version: int, max_version: int) -> Callable[[_H], _H]:
    """Register the decorated function as the handler of ``api_key`` in these versions (both included)."""

    def register(handler: _H) -> _H:
        known = _registered.get(api_key)
        if known is not None and known.handler.__module__ != handler.__module__:
            raise AssertionError(f"API key {api_key} has two handlers: {known.handler} and {handler}")
        _registered[api_key] = LeaderApi(
            key=api_key,
            min_version=min_version,
            max_version=max_version,
            handler=handler,
            is_async=inspect.iscoroutinefunction(handler),
        )
        return handler

    return register


@cache
def served_apis() -> Mapping[int, LeaderApi]:
    """Every API that a module of ``raylog.leader.handlers`` registers, by key."""
    import raylog.leader.handlers as package

    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
    return MappingProxyType(dict(sorted(_registered.items())))
