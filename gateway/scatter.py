"""Requests over topics and partitions that are asked of each partition's leader and joined: ListOffsets and its like."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kio.schema.errors import ErrorCode

from gateway.context import RequestContext
from gateway.messages import make, response_types
from raylog.model.errors import RetryError, StaleRouteError
from raylog.model.ids import LeaderId


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionedApi:
    """How a request of this form names its things. Its ``topics`` have ``partitions``, in the response too."""

    topic_field: str
    partition_field: str
    response_topic: str
    """The class of a topic in the response."""
    response_partition: str
    """The class of a partition in the response."""
    no_answer: Mapping[str, object]
    """What a partition's fields besides index and error are when there is an error."""
    takes_internal: bool = True
    """False: internal topics are INVALID_TOPIC_EXCEPTION."""


async def scatter(context: RequestContext, request: Any, api: PartitionedApi, *, timeout_s: float) -> tuple[Any, ...]:
    """The response's ``topics``: each partition as its leader answered, or with the error of asking it.

    Errors: UNKNOWN_TOPIC_OR_PARTITION, LEADER_NOT_AVAILABLE, NOT_LEADER_OR_FOLLOWER, REQUEST_TIMED_OUT, all retriable; and
    INVALID_TOPIC_EXCEPTION.
    """
    by_leader, failed = _by_leader(context, request, api)
    answers = await asyncio.gather(
        *(
            context.router.send(
                leader_id,
                replace(request, topics=_topics(request, chosen, api)),
                client_id=context.client_id,
                timeout_s=timeout_s,
            )
            for leader_id, chosen in by_leader.items()
        ),
        return_exceptions=True,
    )
    topics: dict[str, list[Any]] = {}
    for chosen, answer in zip(by_leader.values(), answers, strict=True):
        if isinstance(answer, StaleRouteError | RetryError):
            is_stale = isinstance(answer, StaleRouteError)
            code = ErrorCode.not_leader_or_follower if is_stale else ErrorCode.request_timed_out
            failed += ((topic, partition, code) for topic, partition in chosen)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            for topic in answer.topics:
                topics.setdefault(getattr(topic, api.topic_field), []).extend(topic.partitions)
    types = response_types(context.head.api_key, context.head.api_version)
    for topic, partition, code in failed:
        values = {**api.no_answer, api.partition_field: getattr(partition, api.partition_field), "error_code": code}
        topics.setdefault(topic, []).append(make(getattr(types, api.response_partition), values))
    response_topic = getattr(types, api.response_topic)
    return tuple(response_topic(**{api.topic_field: name}, partitions=tuple(found)) for name, found in topics.items())


_Chosen = list[tuple[str, Any]]
"""Topic name and partition of the request."""


def _by_leader(
    context: RequestContext, request: Any, api: PartitionedApi
) -> tuple[dict[LeaderId, _Chosen], list[tuple[str, Any, ErrorCode]]]:
    by_leader: dict[LeaderId, _Chosen] = {}
    failed: list[tuple[str, Any, ErrorCode]] = []
    for topic in request.topics:
        name = getattr(topic, api.topic_field)
        route = context.router.topic(name)
        for partition in topic.partitions:
            error, leader_id = ErrorCode.unknown_topic_or_partition, LeaderId(-1)
            if route is not None and route.internal and not api.takes_internal:
                error = ErrorCode.invalid_topic_exception
            elif route is not None:
                error, leader_id = context.router.leader_of(route, getattr(partition, api.partition_field))
            if error is ErrorCode.none:
                by_leader.setdefault(leader_id, []).append((name, partition))
            else:
                failed.append((name, partition, error))
    return by_leader, failed


def _topics(request: Any, chosen: _Chosen, api: PartitionedApi) -> tuple[Any, ...]:
    partitions: dict[str, list[Any]] = {}
    for name, partition in chosen:
        partitions.setdefault(name, []).append(partition)
    topic_type = type(request.topics[0])
    return tuple(topic_type(**{api.topic_field: name}, partitions=tuple(found)) for name, found in partitions.items())
