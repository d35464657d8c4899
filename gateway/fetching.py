"""A Fetch over several leaders: sorted by leader, asked at once, waited for together, joined.

Leaders cannot wait for each other's bytes. So all are first asked without waiting; if that is too little, all are asked to say
when their share of what lacks is there (``max_bytes`` 0: our own convention, answered without records); the first that does
wakes the fetch, which asks all for records again. If the sum reaches what lacks, some leader has its share: none is missed.
"""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from gateway.context import RequestContext
from gateway.leader_channel import Lane
from gateway.messages import make, response_types
from raylog.model.buffers import Buffer
from raylog.model.errors import CorruptError, RetryError, StaleRouteError
from raylog.model.ids import LeaderId, TopicId
from raylog.model.logs import fields
from raylog.model.routing import TopicRoute
from raylog.protocol.gather import RecordsParts
from raylog.protocol.internal import PLAN_BIT
from raylog.protocol.wire import NO_THROTTLE, decode_response, ms, response_correlation_id, to_ms
from raylog.storage.read_plan import ReadPlan, decode_read_plan, is_read_plan

FETCH_KEY: Final = 1
_FIRST_VERSION_WITH_TOPIC_IDS: Final = 13
_READ_COMMITTED: Final = 1
_ANSWER_GRACE_S: Final = 30.0
"""A leader has so long beyond the wait that it was asked for."""

PartitionKey = tuple[Any, int]
"""Topic (name, or its id's number from v13 on) and partition number."""
Answers = dict[PartitionKey, Any]
"""The response's partitions, or PlannedAnswers for them."""
_Pairs = list[tuple[Any, Any]]
"""Topic and partition of the request."""


@dataclass(frozen=True, slots=True)
class PlannedAnswer:
    """A leader's answer for a partition whose records are still to be read."""

    answer: Any
    plan: ReadPlan
    is_onward: bool = False
    """Its reader has come here along the plan, and is likely to go on."""

    @property
    def error_code(self) -> ErrorCode:
        return ErrorCode.none

    def with_records(self, records: RecordsParts) -> Any:
        """The answer as clients see it."""
        if hasattr(self.answer, "preferred_read_replica"):
            return replace(self.answer, records=records, preferred_read_replica=-1)
        return replace(self.answer, records=records)


@dataclass(slots=True)
class FetchParts:
    by_leader: dict[LeaderId, _Pairs] = field(default_factory=dict)
    refused: Answers = field(default_factory=dict)
    """Partitions that have no leader to ask, answered with why."""


def sort_by_leader(context: RequestContext, request: Any) -> FetchParts:
    parts = FetchParts()
    for topic in request.topics:
        route = route_of(context, topic)
        for partition in topic.partitions:
            error, leader_id = leader_of(context, route, partition)
            if error is ErrorCode.none:
                parts.by_leader.setdefault(leader_id, []).append((topic, partition))
            else:
                parts.refused[topic_key(topic), partition.partition] = failed_partition(
                    context, partition.partition, error
                )
    return parts


def route_of(context: RequestContext, topic: Any) -> TopicRoute | None:
    """The route of a topic of the request, None if it is unknown."""
    router = context.router
    return router.topic_by_id(TopicId(topic.topic_id)) if _has_topic_ids(context) else router.topic(topic.topic)


def leader_of(context: RequestContext, route: TopicRoute | None, partition: Any) -> tuple[ErrorCode, LeaderId]:
    """The leader to ask for a partition of the request, with ``ErrorCode.none``; or what to answer when there is none."""
    if route is not None:
        return context.router.leader_of(route, partition.partition)
    by_id = _has_topic_ids(context)
    return (ErrorCode.unknown_topic_id if by_id else ErrorCode.unknown_topic_or_partition), LeaderId(-1)


def _has_topic_ids(context: RequestContext) -> bool:
    return context.head.api_version >= _FIRST_VERSION_WITH_TOPIC_IDS


async def pass_through(context: RequestContext, leader_id: LeaderId, max_wait_ms: int) -> Buffer:
    """The leader's answer to the request as it came. Raises StaleRouteError, RetryError."""
    timeout_s = max_wait_ms / 1000 + _ANSWER_GRACE_S
    return await context.router.send_frame(
        leader_id, context.frame, timeout_s=timeout_s, lane=Lane.FETCH, may_repeat=True
    )


def has_plans(answer: Buffer) -> bool:
    return bool(response_correlation_id(answer) & PLAN_BIT)


async def gather_answers(context: RequestContext, request: Any, parts: FetchParts) -> Answers:
    """Every partition's answer, once together they have ``min_bytes``, one has an error, or ``max_wait`` is over."""
    clock = context.services.clock
    deadline = clock.monotonic() + to_ms(request.max_wait) / 1000
    is_last = False
    while True:
        by_leader = await _ask_each(context, request, parts)
        answers = dict(parts.refused)
        for answered in by_leader.values():
            answers.update(answered)
        # No more than it may return, as in Kafka: it would wait for what can never be there.
        wanted = min(request.min_bytes, request.max_bytes, context.services.limits.fetch_bytes_max)
        lacking = wanted - sum(map(answer_bytes, answers.values()))
        left_s = deadline - clock.monotonic()
        has_error = any(answer.error_code for answer in answers.values())
        if is_last or lacking <= 0 or has_error or left_s <= 0 or not answers:
            return answers
        is_last = not await _wait_for_more(context, request, parts, by_leader, lacking, left_s)


def answers_of(context: RequestContext, frame: Buffer) -> Answers:
    """A leader's answers, its read plans decoded."""
    response: Any = decode_response(FETCH_KEY, context.head.api_version, frame)[1]
    return {
        (topic_key(topic), partition.partition_index): _with_plan(context, topic, partition)
        for topic in response.responses
        for partition in topic.partitions
    }


def _with_plan(context: RequestContext, topic: Any, partition: Any) -> Any:
    if not is_read_plan(partition.records):
        return partition
    try:
        return PlannedAnswer(partition, ReadPlan(decode_read_plan(partition.records)))
    except CorruptError as error:
        return unreadable(context, topic, partition.partition_index, error)


def unreadable(context: RequestContext, topic: Any, partition: int, error: Exception) -> Any:
    """The answer for records that cannot be had just now; why is in the log."""
    context.services.log.warning(
        "records could not be read from the bucket",
        extra=fields(
            topic=_named(topic),
            partition=partition,
            client_id=context.client_id,
            correlation_id=context.head.correlation_id,
            error=error,
        ),
    )
    return failed_partition(context, partition, ErrorCode.kafka_storage_error)


async def ask(
    context: RequestContext,
    request: Any,
    leader_id: LeaderId,
    pairs: _Pairs,
    *,
    max_wait_ms: int,
    min_bytes: int,
    max_bytes: int,
) -> Answers:
    """One leader's answers; StaleRouteError and RetryError become each partition's error code."""
    part = replace(
        request,
        max_wait=ms(max_wait_ms),
        min_bytes=min_bytes,
        max_bytes=max_bytes,
        topics=tuple(_topics(pairs)),
    )
    try:
        frame = await context.router.send_entity(
            leader_id,
            part,
            client_id=context.client_id,
            timeout_s=max_wait_ms / 1000 + _ANSWER_GRACE_S,
            lane=Lane.FETCH,
            may_repeat=True,
        )
    except (StaleRouteError, RetryError) as error:
        return failed_answers(context, pairs, error)
    return answers_of(context, frame)


def failed_answers(context: RequestContext, pairs: _Pairs, error: StaleRouteError | RetryError) -> Answers:
    is_stale = isinstance(error, StaleRouteError)
    code = ErrorCode.not_leader_or_follower if is_stale else ErrorCode.request_timed_out
    return {
        (topic_key(topic), partition.partition): failed_partition(context, partition.partition, code)
        for topic, partition in pairs
    }


def failed_partition(context: RequestContext, partition: int, code: ErrorCode) -> Any:
    values = {
        "partition_index": partition,
        "error_code": code,
        "high_watermark": -1,
        "last_stable_offset": -1,
        "log_start_offset": -1,
        "aborted_transactions": None,
        "preferred_read_replica": -1,
        "records": b"",
    }
    return make(response_types(FETCH_KEY, context.head.api_version).PartitionData, values)


def response(context: RequestContext, request: Any, answers: Answers, error: ErrorCode = ErrorCode.none) -> Payload:
    """The response with ``answers`` in the order of the request's partitions."""
    version = context.head.api_version
    types = response_types(FETCH_KEY, version)
    name = "topic_id" if version >= _FIRST_VERSION_WITH_TOPIC_IDS else "topic"
    topics: dict[Any, tuple[Any, list[Any]]] = {}
    for topic, partition in request_order(request):
        key = topic_key(topic)
        answer = answers.get((key, partition.partition))
        if answer is not None:
            topics.setdefault(key, (topic, []))[1].append(answer)
    responses = tuple(
        types.FetchableTopicResponse(**{name: _named(topic)}, partitions=tuple(partitions))
        for topic, partitions in topics.values()
    )
    values = {"throttle_time": NO_THROTTLE, "error_code": error, "session_id": 0, "responses": responses}
    made: Payload = make(types.FetchResponse, values)
    return made


def request_order(request: Any) -> Iterator[tuple[Any, Any]]:
    """Topic and partition of the request, in the order in which their bytes count against its limit."""
    for topic in request.topics:
        for partition in topic.partitions:
            yield topic, partition


def topic_key(topic: Any) -> Any:
    """A topic's key, of the request's or the response's topic: its name, or the number of its id, as a UUID's hash and comparison
    are Python's own and take a microsecond. None: the id of zeros, which no topic has."""
    if not hasattr(topic, "topic_id"):
        return topic.topic
    return None if topic.topic_id is None else topic.topic_id.int


def _named(topic: Any) -> Any:
    """A topic as the request names it: by its id from v13 on, by its name before."""
    return topic.topic_id if hasattr(topic, "topic_id") else topic.topic


def end_offset(answer: Any, request: Any) -> int:
    """Where what the request may see of the partition ends."""
    end: int = answer.last_stable_offset if request.isolation_level == _READ_COMMITTED else answer.high_watermark
    return end


def answer_bytes(answer: Any) -> int:
    """Bytes of records that the partition's answer has, or names in its read plan."""
    return len(answer.plan if isinstance(answer, PlannedAnswer) else answer.records or b"")


async def ask_at_once(context: RequestContext, request: Any, parts: FetchParts) -> Answers:
    """The answers of leaders who wait for nothing."""
    answers: Answers = {}
    for answered in (await _ask_each(context, request, parts)).values():
        answers.update(answered)
    return answers


async def _ask_each(context: RequestContext, request: Any, parts: FetchParts) -> dict[LeaderId, Answers]:
    max_bytes = min(request.max_bytes, context.services.limits.fetch_bytes_max)
    share = max(1, max_bytes // max(1, len(parts.by_leader)))
    asked = (
        ask(context, request, leader_id, pairs, max_wait_ms=0, min_bytes=0, max_bytes=share)
        for leader_id, pairs in parts.by_leader.items()
    )
    return dict(zip(parts.by_leader, await asyncio.gather(*asked), strict=True))


async def _wait_for_more(
    context: RequestContext,
    request: Any,
    parts: FetchParts,
    by_leader: dict[LeaderId, Answers],
    lacking: int,
    left_s: float,
) -> bool:
    """Wait until a leader has its share of what lacks; False when the time was over before."""
    share = -(-lacking // len(by_leader))
    left_ms = max(1, int(left_s * 1000))
    loop = asyncio.get_running_loop()
    waits = {
        loop.create_task(
            ask(
                context,
                request,
                leader_id,
                parts.by_leader[leader_id],
                max_wait_ms=left_ms,
                min_bytes=sum(map(answer_bytes, answered.values())) + share,
                max_bytes=0,
            )
        )
        for leader_id, answered in by_leader.items()
    }
    try:
        await asyncio.wait(waits, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        return any(wait.done() for wait in waits)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


def _topics(pairs: Iterable[tuple[Any, Any]]) -> Iterator[Any]:
    partitions: dict[int, tuple[Any, list[Any]]] = {}
    for topic, partition in pairs:
        partitions.setdefault(id(topic), (topic, []))[1].append(partition)
    for topic, chosen in partitions.values():
        yield replace(topic, partitions=tuple(chosen))
