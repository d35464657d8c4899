"""Produce (key 0), versions 3-13: KIP-98 (idempotence), KIP-467 (record errors), KIP-516 (topic ids, v13).

- Batches are judged here (magic, CRC, lengths, counts, size), before they cost a leader anything; what only the log can judge
  (sequences, epochs, keys of compacted topics) is the leader's.
- All of a request's routing and forwarding happens before the handler returns, so that the requests of a connection reach each
  leader in their order.
- A request that is sound and has one leader is passed through as it came. Any other is split, and its answers are joined.
- acks=0 is asked of the leader as acks=1: the answer that the client does not want tells when the bytes are off our hands, and an
  error closes the connection, as in Kafka.
- A leader that is gone answers nothing: NOT_LEADER_OR_FOLLOWER, for which clients refresh their metadata and try again, if it
  cannot have got the request; else REQUEST_TIMED_OUT. librdkafka takes the former as "not written" and sends the records once
  more whatever its ``retries`` says.
"""

import asyncio
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
from raylog.protocol.batch import RecordsError, validate
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


@handles(_KEY, 3, 13, failed=_failed, left_out="transactional records, until transactions are served")
def produce(
    context: RequestContext, request: Any
) -> Payload | asyncio.Future[Buffer] | Coroutine[Any, Any, Payload | None]:
    if type(request) is SingleProduce:
        passed = _pass_on(context, request)
        if passed is not None:
            return passed
        request = decode_request(context.frame, context.head)[1]
    timeout_s = max(_TIMEOUT_S_MIN, to_ms(request.timeout) / 1000)
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
            answer = context.router.send_frame(leader_id, context.frame, timeout_s=timeout_s)
            _hold_if_over(context, leader_id)
            return answer
    sent = _forward_parts(context, request, parts, timeout_s)
    return _join(context, parts, sent, is_answered=request.acks != 0)


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
        validate(single.records, max_batch_bytes=router.max_message_bytes(route), api_version=shape.api_version)
    except RecordsError:
        return None
    answer = router.send_frame(leader_id, context.frame, timeout_s=max(_TIMEOUT_S_MIN, shape.timeout_s))
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
            pairs = parts.by_leader.setdefault(leader_id, [])
            if router.goes_by_bucket(route, leader_id):
                batch = UploadBatch(TopicPartition(route.topic_id, part.index), part.records, headers[0])
                parts.uploads.setdefault(leader_id, []).append((len(pairs), batch))
            pairs.append((topic, part))
    return parts


def _route(router: Router, topic: Any, *, by_id: bool) -> TopicRoute | ErrorCode:
    """The topic of that name or id, or why nothing may be produced to it."""
    route = router.topic_by_id(topic) if by_id else router.topic(topic)
    if route is None:
        return ErrorCode.unknown_topic_id if by_id else ErrorCode.unknown_topic_or_partition
    if route.internal:
        return ErrorCode.invalid_topic_exception  # written by coordinators alone, who must be able to read it
    return route


def _forward_parts(
    context: RequestContext, request: Any, parts: _Sorted, timeout_s: float
) -> list[tuple[LeaderId, asyncio.Future[Buffer] | StaleRouteError]]:
    sent: list[tuple[LeaderId, asyncio.Future[Buffer] | StaleRouteError]] = []
    for leader_id, pairs in parts.by_leader.items():
        uploads = parts.uploads.get(leader_id, ())
        forward = _forwarder(context, request, leader_id, pairs, [place for place, _ in uploads], timeout_s)
        try:
            if parts.is_behind_uploads(context.uploader, leader_id):
                batches = [batch for _, batch in uploads]
                answer = context.uploader.submit(leader_id, batches, forward, timeout_s=timeout_s)
            else:
                answer = forward(())
        except StaleRouteError as error:
            sent.append((leader_id, error))
        else:
            sent.append((leader_id, answer))
            _hold_if_over(context, leader_id)
    return sent


def _forwarder(
    context: RequestContext,
    request: Any,
    leader_id: LeaderId,
    pairs: Sequence[tuple[Any, Any]],
    places: Sequence[int],
    timeout_s: float,
) -> Forward:
    """Sends the leader's part of the request, with references in these places."""

    def forward(references: Sequence[bytes]) -> asyncio.Future[Buffer]:
        chosen = list(pairs)
        for place, reference in zip(places, references, strict=True):
            topic, part = chosen[place]
            chosen[place] = topic, replace(part, records=reference)
        part = replace(request, acks=request.acks or 1, topic_data=_topic_data(context, chosen))
        return context.router.send_entity(leader_id, part, client_id=context.client_id, timeout_s=timeout_s)

    return forward


def _topic_data(context: RequestContext, pairs: Iterable[tuple[Any, Any]]) -> tuple[Any, ...]:
    """The request's own topics, each with those of its partitions that are in ``pairs``."""
    partitions: dict[int, tuple[Any, list[Any]]] = {}
    for topic, part in pairs:
        partitions.setdefault(id(topic), (topic, []))[1].append(part)
    return tuple(replace(topic, partition_data=tuple(chosen)) for topic, chosen in partitions.values())


async def _join(
    context: RequestContext,
    parts: _Sorted,
    sent: list[tuple[LeaderId, asyncio.Future[Buffer] | StaleRouteError]],
    *,
    is_answered: bool,
) -> Payload | None:
    version = context.head.api_version
    refused = list(parts.refused)
    topics: dict[Any, list[Any]] = {}
    for leader_id, answer in sent:
        try:
            if isinstance(answer, StaleRouteError):
                raise answer
            response: Any = decode_response(_KEY, version, await answer)[1]
        except (StaleRouteError, RetryError) as error:
            refused += (_Refusal(topic, part.index, _code_of(error)) for topic, part in parts.by_leader[leader_id])
            continue
        for topic in response.responses:
            topics.setdefault(_topic_key(version, topic), []).extend(topic.partition_responses)
    if not is_answered:
        _close_on_error(refused, topics)
        return None
    return _response(context, refused, topics)


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
