"""Asking group coordinators: each client's version is brought to the internal one (``raylog.coordination.internal``) and back.

Rules:

- A request is sent before the first wait, so that the requests of a connection reach a coordinator in their order.
- A leader that is gone is answered NOT_COORDINATOR, one that does not answer COORDINATOR_NOT_AVAILABLE: clients look for the
  coordinator again, and go on.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Final

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from gateway.context import RequestContext
from gateway.messages import request_types, response_types
from raylog.coordination.internal import INTERNAL_VERSIONS, ClientContext
from raylog.model.errors import RaylogError, RetryError, StaleRouteError
from raylog.model.routing import GroupsTopic

ANSWER_S_MAX: Final = 30.0
"""For requests that a coordinator answers as soon as what it appended is durable."""
REBALANCE_S_MAX: Final = 330.0
"""For SyncGroup, which waits for another client: longer than max.poll.interval.ms is by default."""


class CoordinatorError(RaylogError):
    """No coordinator has answered; ``code`` is what to tell the client."""

    def __init__(self, code: ErrorCode) -> None:
        super().__init__(f"The group's coordinator has not answered: {code.name}.")
        self.code = code


async def ask(
    context: RequestContext, group_id: str, request: Payload, *, timeout_s: float = ANSWER_S_MAX, retention_ms: int = -1
) -> Any:
    """The coordinator's answer to a request of the internal version. Raises CoordinatorError."""
    error, leader_id = context.router.coordinator_leader(group_id)
    if error is not ErrorCode.none:
        raise CoordinatorError(error)
    client = _client(context, retention_ms)
    try:
        return await context.router.send(leader_id, request, client_id=client.packed(), timeout_s=timeout_s)
    except StaleRouteError:
        raise CoordinatorError(ErrorCode.not_coordinator) from None
    except RetryError:
        raise CoordinatorError(ErrorCode.coordinator_not_available) from None


async def ask_each(
    context: RequestContext, group_ids: Sequence[str], make_request: Callable[[str], Payload]
) -> list[tuple[str, Any]]:
    """Each group's coordinator's answer, or the CoordinatorError of asking it, in the order of ``group_ids``."""
    asked = (ask(context, group_id, make_request(group_id)) for group_id in group_ids)
    answers = await asyncio.gather(*asked, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, CoordinatorError):
            raise answer
    return list(zip(group_ids, answers, strict=True))


async def ask_all_leaders(context: RequestContext, request: Payload) -> list[Any]:
    """Every leader's answer, or the CoordinatorError of asking it."""
    client = _client(context, -1)
    answered = await context.router.send_all(request, client_id=client.packed(), timeout_s=ANSWER_S_MAX)
    return [
        CoordinatorError(ErrorCode.coordinator_not_available)
        if isinstance(answer, StaleRouteError | RetryError)
        else answer
        for _, answer in answered
    ]


def to_internal(context: RequestContext, request: Any) -> Any:
    """The client's request in the internal version; what its version does not have is the field's default."""
    key = context.head.api_key
    return _converted(request, request_types(key, INTERNAL_VERSIONS[key]))


def to_client(context: RequestContext, response: Any) -> Any:
    """A response of the internal version in the client's; what that does not have is left out."""
    return _converted(response, client_types(context))


def internal_types(context: RequestContext) -> Any:
    """The module with the request's classes of the internal version."""
    key = context.head.api_key
    return request_types(key, INTERNAL_VERSIONS[key])


def client_types(context: RequestContext) -> Any:
    """The module with the response's classes of the client's version."""
    return response_types(context.head.api_key, context.head.api_version)


def partition_count(context: RequestContext) -> int:
    """Of ``__consumer_offsets``. Raises CoordinatorError while there is none."""
    topic = context.table.topics.get(GroupsTopic)
    if topic is None:
        raise CoordinatorError(ErrorCode.coordinator_not_available)
    return len(topic.partitions)


def _client(context: RequestContext, retention_ms: int) -> ClientContext:
    return ClientContext(
        client_id=context.client_id,
        host=context.client_host,
        api_version=context.head.api_version,
        partition_count=partition_count(context),
        retention_ms=None if retention_ms < 0 else retention_ms,
    )


def _converted(entity: Any, types: Any) -> Any:
    """An entity, with all that is in it, as the classes of the same names in another version."""
    if isinstance(entity, tuple):
        return tuple([_converted(item, types) for item in entity])
    if not is_dataclass(entity):
        return entity
    source: Any = type(entity)
    target = getattr(types, source.__name__)
    names = _shared_fields(source, target)
    return target(**{name: _converted(getattr(entity, name), types) for name in names})


@cache
def _shared_fields(source: Any, target: Any) -> tuple[str, ...]:
    known = {field.name for field in fields(source)}
    return tuple(field.name for field in fields(target) if field.name in known)
