"""Produce (key 0), versions 3-13: KIP-98 (idempotence), KIP-467 (record errors), KIP-516 (topic ids, v13).

- Batches are judged here (magic, CRC, lengths, counts, size), before they cost a leader anything; what only the log can judge
  (sequences, epochs, keys of compacted topics) is the leader's.
- All of a request's routing and forwarding happens before the handler returns, so that the requests of a connection reach each
  leader in their order.
- A request that is sound and has one leader is passed through as it came. Any other is split, and its answers are joined.
- A leader that says that it does not lead a partition, and is not the one that leads it or is about to, has handed it over: that
  one is asked at once, as a move takes less time than clients wait between two tries. It keeps the request until it leads.
- acks=0 is asked of the leader as acks=1: the answer that the client does not want tells when the bytes are off our hands, and an
  error closes the connection, as in Kafka.
- What an idempotent producer sends may be sent to a leader twice (``Router``): it knows it again.
- A leader that is gone answers nothing: NOT_LEADER_OR_FOLLOWER, for which clients refresh their metadata and try again, if it
  cannot have got the request; else REQUEST_TIMED_OUT. librdkafka takes the former as "not written" and sends the records once
  more whatever its ``retries`` says.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from gateway.context import RequestContext
from gateway.messages import make, response_types
from gateway.registry import CloseConnection, handles
from gateway.router import Router
from gateway.uploader import Forward, Uploader
from raylog.model.buffers import Buffer
from raylog.model.errors import RetryError, StaleRouteError, UnansweredError
from raylog.model.ids import LeaderId, TopicPartition
from raylog.model.routing import TopicRoute
from raylog.protocol.batch import BatchHeader, RecordsError, validate
from raylog.protocol.single_produce import FIRST_VERSION_WITH_TOPIC_IDS, SingleProduce
from raylog.protocol.wire import NO_THROTTLE, decode_request, decode_response, i32, i64, to_ms
from raylog.storage.upload import UploadBatch

_KEY: Final = 0
_TIMEOUT_S_MIN: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Refusal:
    """What a partition is answered without its leader."""

    topic: Any
    index: int
    error: ErrorCode
    message: str | None = None


@dataclass(slots=True)
class _Sorted:
    """A request's partitions by leader, and those that go to none."""

    by_leader: dict[LeaderId, list[tuple[Any, Any]]] = field(default_factory=dict)
    """(topic, partition) of the request."""
    uploads: dict[LeaderId, list[tuple[int, UploadBatch]]] = field(default_factory=dict)
    """Of these, by their place, the batches that go by the bucket."""
    refused: list[_Refusal] = field(default_factory=list)
    is_idempotent: bool = True
    """All batches are an idempotent producer's."""

    def is_behind_uploads(self, uploader: Uploader, leader_id: LeaderId) -> bool:
        """Whether what goes to the leader has to wait for an upload: its own, or one before it."""
        return leader_id in self.uploads or uploader.is_busy(leader_id)


def _failed(context: RequestContext, error: RetryError | StaleRouteError) -> Payload:
    """The answer when the only leader asked gave none. The request is decoded again: nothing of it was kept but its frame."""
    request: Any = decode_request(context.frame, context.head)[1]
    code = _code_of(error)
    return _response(
        context, (_Refusal(topic, part.index, code) for topic in request.topic_data for part in topic.partition_data)
    )


def _ask_again(context: RequestContext, frame: Buffer) -> Coroutine[Any, Any, Payload | None] | None:
    """What a leader says has an error in it that has got the client's frame as it is."""
    response: Any = decode_response(_KEY, context.head.api_version, frame)[1]
    codes = {part.error_code for topic in response.responses for part in topic.partition_responses}
    if ErrorCode.not_leader_or_follower not in codes or context.passed_to is None:
        return None
    request: Any = decode_request(context.frame, context.head)[1]
    pairs = [(topic, part) for topic in request.topic_data for part in topic.partition_data]
    topics: dict[Any, list[Any]] = {}
    again = _take_in(context, request, context.passed_to, pairs, response, topics)
    return _join(context, request, again, [], topics, is_answered=True) if again else None


@handles(
    _KEY, 3, 13, failed=_failed, ask_again=_ask_again, left_out="transactional records, until transactions are served"
)
def produce(
    context: RequestContext, request: Any
) -> Payload | asyncio.Future[Buffer] | Coroutine[Any, Any, Payload | None]:
    if type(request) is SingleProduce:
        passed = _pass_on(context, request)
        if passed is not None:
            return passed
        request = decode_request(context.frame, context.head)[1]
    timeout_s = _timeout_s(request)
    if request.acks not in (-1, 0, 1):
        return _response(
            context,
            (
                _Refusal(topic, part.index, ErrorCode.invalid_required_acks)
                for topic in request.topic_data
                for part in topic.partition_data
            ),
        )
    parts = _sort(context, request)
    if len(parts.by_leader) == 1 and not parts.refused and request.acks != 0:
        (leader_id,) = parts.by_leader
        if not parts.is_behind_uploads(context.uploader, leader_id):
            return _pass_frame(context, leader_id, timeout_s, may_repeat=parts.is_idempotent)
    sent = _forward_parts(context, request, parts)
    return _join(context, request, sent, parts.refused, {}, is_answered=request.acks != 0)


def _pass_on(context: RequestContext, single: SingleProduce) -> asyncio.Future[Buffer] | None:
    """The commonest request by the shortest way; None where there is anything to say about it."""
    router, shape = context.router, single.shape
    route = _route(router, shape.topic, by_id=shape.has_topic_id)
    if isinstance(route, ErrorCode):
        return None
    error, leader_id = router.leader_of(route, shape.partition)
    if error is not ErrorCode.none or router.goes_by_bucket(route, leader_id) or context.uploader.is_busy(leader_id):
        return None
    try:
        headers = validate(
            single.records, max_batch_bytes=router.max_message_bytes(route), api_version=shape.api_version
        )
    except RecordsError:
        return None
    timeout_s = max(_TIMEOUT_S_MIN, shape.timeout_s)
    return _pass_frame(context, leader_id, timeout_s, may_repeat=_are_idempotent(headers))


def _pass_frame(
    context: RequestContext, leader_id: LeaderId, timeout_s: float, *, may_repeat: bool
) -> asyncio.Future[Buffer]:
    answer = context.router.send_frame(leader_id, context.frame, timeout_s=timeout_s, may_repeat=may_repeat)
    context.passed_to = leader_id
    _hold_if_over(context, leader_id)
    return answer


def _sort(context: RequestContext, request: Any) -> _Sorted:
    router = context.router
    version = context.head.api_version
    by_id = version >= FIRST_VERSION_WITH_TOPIC_IDS
    parts = _Sorted()
    for topic in request.topic_data:
        route = _route(router, topic.topic_id if by_id else topic.name, by_id=by_id)
        if isinstance(route, ErrorCode):
            parts.refused += (_Refusal(topic, part.index, route) for part in topic.partition_data)
            continue
        max_batch_bytes = router.max_message_bytes(route)
        for part in topic.partition_data:
            error, leader_id = router.leader_of(route, part.index)
            if error is not ErrorCode.none:
                parts.refused.append(_Refusal(topic, part.index, error))
                continue
            try:
                headers = validate(part.records, max_batch_bytes=max_batch_bytes, api_version=version)
            except RecordsError as refused:
                parts.refused.append(_Refusal(topic, part.index, refused.error_code, str(refused)))
                continue
            parts.is_idempotent &= _are_idempotent(headers)
            pairs = parts.by_leader.setdefault(leader_id, [])
            if router.goes_by_bucket(route, leader_id):
                batch = UploadBatch(TopicPartition(route.topic_id, part.index), part.records, headers[0])
                parts.uploads.setdefault(leader_id, []).append((len(pairs), batch))
            pairs.append((topic, part))
    return parts


def _are_idempotent(headers: Sequence[BatchHeader]) -> bool:
    """Whether their leader knows them again. Written for the one batch that there is almost always."""
    return headers[0].producer_id >= 0 if len(headers) == 1 else all(header.producer_id >= 0 for header in headers)


def _route(router: Router, topic: Any, *, by_id: bool) -> TopicRoute | ErrorCode:
    """The topic of that name or id, or why nothing may be produced to it."""
    route = router.topic_by_id(topic) if by_id else router.topic(topic)
    if route is None:
        return ErrorCode.unknown_topic_id if by_id else ErrorCode.unknown_topic_or_partition
    if route.internal:
        return ErrorCode.invalid_topic_exception  # written by coordinators alone, who must be able to read it
    return route


@dataclass(frozen=True, slots=True)
class _Asked:
    """What one leader was asked for."""

    leader_id: LeaderId
    pairs: Sequence[tuple[Any, Any]]
    """(topic, partition) of the request."""
    answer: asyncio.Future[Buffer] | StaleRouteError
    is_last: bool = False
    """Nobody else is asked, whatever it says."""


def _forward_parts(context: RequestContext, request: Any, parts: _Sorted) -> list[_Asked]:
    return [
        _forward(context, request, leader_id, pairs, parts.uploads.get(leader_id, ()), may_repeat=parts.is_idempotent)
        for leader_id, pairs in parts.by_leader.items()
    ]


def _forward(
    context: RequestContext,
    request: Any,
    leader_id: LeaderId,
    pairs: Sequence[tuple[Any, Any]],
    uploads: Sequence[tuple[int, UploadBatch]] = (),
    *,
    may_repeat: bool,
    is_last: bool = False,
) -> _Asked:
    timeout_s = _timeout_s(request)
    forward = _forwarder(context, request, leader_id, pairs, [place for place, _ in uploads], timeout_s, may_repeat)
    answer: asyncio.Future[Buffer] | StaleRouteError
    try:
        if uploads or context.uploader.is_busy(leader_id):
            batches = [batch for _, batch in uploads]
            answer = context.uploader.submit(leader_id, batches, forward, timeout_s=timeout_s)
        else:
            answer = forward(())
    except StaleRouteError as error:
        answer = error
    else:
        _hold_if_over(context, leader_id)
    return _Asked(leader_id, pairs, answer, is_last)


def _forwarder(
    context: RequestContext,
    request: Any,
    leader_id: LeaderId,
    pairs: Sequence[tuple[Any, Any]],
    places: Sequence[int],
    timeout_s: float,
    may_repeat: bool,
) -> Forward:
    """Sends the leader's part of the request, with references in these places, which are valid for a while only: what has any is
    sent once."""

    def forward(references: Sequence[bytes]) -> asyncio.Future[Buffer]:
        chosen = list(pairs)
        for place, reference in zip(places, references, strict=True):
            topic, part = chosen[place]
            chosen[place] = topic, replace(part, records=reference)
        part = replace(request, acks=request.acks or 1, topic_data=_topic_data(context, chosen))
        return context.router.send_entity(
            leader_id,
            part,
            client_id=context.client_id,
            timeout_s=timeout_s,
            may_repeat=may_repeat and not references,
        )

    return forward


def _topic_data(context: RequestContext, pairs: Iterable[tuple[Any, Any]]) -> tuple[Any, ...]:
    """The request's own topics, each with those of its partitions that are in ``pairs``."""
    partitions: dict[int, tuple[Any, list[Any]]] = {}
    for topic, part in pairs:
        partitions.setdefault(id(topic), (topic, []))[1].append(part)
    return tuple(replace(topic, partition_data=tuple(chosen)) for topic, chosen in partitions.values())


async def _join(
    context: RequestContext,
    request: Any,
    sent: Iterable[_Asked],
    refused: list[_Refusal],
    topics: dict[Any, list[Any]],
    *,
    is_answered: bool,
) -> Payload | None:
    """The answer, with what is known of it already: partitions that are ``refused``, and leaders' answers by topic."""
    version = context.head.api_version
    waiting = deque(sent)
    while waiting:
        asked = waiting.popleft()
        try:
            if isinstance(asked.answer, StaleRouteError):
                raise asked.answer
            frame = await asked.answer
        except (StaleRouteError, RetryError) as error:
            refused += (_Refusal(topic, part.index, _code_of(error)) for topic, part in asked.pairs)
            continue
        response: Any = decode_response(_KEY, version, frame)[1]
        if asked.is_last:
            for topic in response.responses:
                topics.setdefault(_topic_key(version, topic), []).extend(topic.partition_responses)
        else:
            waiting += _take_in(context, request, asked.leader_id, asked.pairs, response, topics)
    if not is_answered:
        _close_on_error(refused, topics)
        return None
    return _response(context, refused, topics)


def _take_in(
    context: RequestContext,
    request: Any,
    leader_id: LeaderId,
    pairs: Sequence[tuple[Any, Any]],
    response: Any,
    topics: dict[Any, list[Any]],
) -> list[_Asked]:
    """Add the answer of a leader that was asked for these pairs to ``topics``, but for the partitions that it has handed over:
    for them their next leaders have been asked when this returns."""
    version = context.head.api_version
    asked = {(_topic_key(version, topic), part.index): (topic, part) for topic, part in pairs}
    moved: dict[LeaderId, list[tuple[Any, Any]]] = {}
    for topic in response.responses:
        key = _topic_key(version, topic)
        for part in topic.partition_responses:
            is_led = part.error_code != ErrorCode.not_leader_or_follower
            successor = None if is_led else _successor(context, key, part.index, leader_id)
            if successor is None:
                topics.setdefault(key, []).append(part)
            else:
                moved.setdefault(successor, []).append(asked[key, part.index])
    return [
        _forward(context, request, successor, own, may_repeat=False, is_last=True) for successor, own in moved.items()
    ]


def _successor(context: RequestContext, topic: Any, index: int, leader_id: LeaderId) -> LeaderId | None:
    route = _route(context.router, topic, by_id=context.head.api_version >= FIRST_VERSION_WITH_TOPIC_IDS)
    return None if isinstance(route, ErrorCode) else context.router.successor(route, index, leader_id)


def _close_on_error(refused: list[_Refusal], topics: dict[Any, list[Any]]) -> None:
    codes = [refusal.error for refusal in refused]
    codes += (part.error_code for answered in topics.values() for part in answered if part.error_code)
    if codes:
        raise CloseConnection(f"Records sent with acks=0 were not taken: {ErrorCode(codes[0]).name}.")


def _response(
    context: RequestContext, refused: Iterable[_Refusal], topics: dict[Any, list[Any]] | None = None
) -> Payload:
    version = context.head.api_version
    types = response_types(_KEY, version)
    answered = topics if topics is not None else {}
    for refusal in refused:
        answered.setdefault(_topic_key(version, refusal.topic), []).append(
            make(
                types.PartitionProduceResponse,
                {
                    "index": i32(refusal.index),
                    "error_code": refusal.error,
                    "base_offset": i64(-1),
                    "record_errors": (),
                    "error_message": refusal.message,
                },
            )
        )
    name = "topic_id" if version >= FIRST_VERSION_WITH_TOPIC_IDS else "name"
    responses = tuple(
        types.TopicProduceResponse(**{name: key}, partition_responses=tuple(partitions))
        for key, partitions in answered.items()
    )
    return types.ProduceResponse(responses=responses, throttle_time=NO_THROTTLE)  # type: ignore[no-any-return]


def _timeout_s(request: Any) -> float:
    return max(_TIMEOUT_S_MIN, to_ms(request.timeout) / 1000)


def _topic_key(version: int, topic: Any) -> Any:
    return topic.topic_id if version >= FIRST_VERSION_WITH_TOPIC_IDS else topic.name


def _code_of(error: RetryError | StaleRouteError) -> ErrorCode:
    is_known = isinstance(error, StaleRouteError) and not isinstance(error, UnansweredError)
    return ErrorCode.not_leader_or_follower if is_known else ErrorCode.request_timed_out


def _hold_if_over(context: RequestContext, leader_id: LeaderId) -> None:
    """Read nothing more of this client while its leader has more under way than its limit."""
    budget = context.router.budget(leader_id)
    if budget.is_over:
        context.client.hold(budget)
