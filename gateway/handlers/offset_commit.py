"""OffsetCommit (key 8), versions 2-10: KIP-211 (retention, until v4), KIP-320 (leader epoch), KIP-345 (static members), KIP-848
(GROUP_ID_NOT_FOUND, from v9), KIP-516 (topic ids, v10).

Offsets of topics and partitions that are not there are refused here; the others go to the coordinator with their topic's id.
"""

from typing import Any, Final

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from gateway.context import RequestContext
from gateway.groups import CoordinatorError, ask, client_types, internal_types
from gateway.messages import make
from gateway.registry import handles
from raylog.coordination import internal
from raylog.coordination.internal import qualified
from raylog.model.ids import TopicId
from raylog.model.routing import TopicRoute
from raylog.protocol.wire import NO_THROTTLE, to_ms

_FIRST_VERSION_WITH_GROUP_NOT_FOUND: Final = 9
_FIRST_VERSION_WITH_TOPIC_IDS: Final = 10


@handles(internal.OFFSET_COMMIT, 2, 10)
async def offset_commit(context: RequestContext, request: Any) -> Payload:
    codes, asked = _sort(context, request)
    if asked.topics:
        retention = getattr(request, "retention_time", None)
        retention_ms = -1 if retention is None else to_ms(retention)
        try:
            answer = await ask(context, request.group_id, asked, retention_ms=retention_ms)
        except CoordinatorError as error:
            _fill(codes, [error.code] * sum(code is None for code in codes))
        else:
            _fill(codes, [part.error_code for topic in answer.topics for part in topic.partitions])
    return _response(context, request, [_for_version(context, code) for code in codes])


def _sort(context: RequestContext, request: Any) -> tuple[list[ErrorCode | None], Any]:
    """An error, or None, for each partition of the request; and the request for those with None."""
    types = internal_types(context)
    codes: list[ErrorCode | None] = []
    topics = []
    for topic in request.topics:
        route, unknown = _route(context, topic)
        partitions = []
        for part in topic.partitions:
            if route is None or not 0 <= part.partition_index < len(route.partitions):
                codes.append(unknown)
                continue
            codes.append(None)
            partitions.append(
                types.OffsetCommitRequestPartition(
                    partition_index=part.partition_index,
                    committed_offset=part.committed_offset,
                    committed_leader_epoch=getattr(part, "committed_leader_epoch", -1),
                    committed_metadata=part.committed_metadata,
                )
            )
        if route is not None and partitions:
            name = qualified(route.name, route.topic_id)
            topics.append(types.OffsetCommitRequestTopic(name=name, partitions=tuple(partitions)))
    asked = types.OffsetCommitRequest(
        group_id=request.group_id,
        generation_id_or_member_epoch=request.generation_id_or_member_epoch,
        member_id=request.member_id,
        group_instance_id=getattr(request, "group_instance_id", None),
        topics=tuple(topics),
    )
    return codes, asked


def _route(context: RequestContext, topic: Any) -> tuple[TopicRoute | None, ErrorCode]:
    """The topic, and the error of a partition that it does not have."""
    if context.head.api_version < _FIRST_VERSION_WITH_TOPIC_IDS:
        return context.router.topic(topic.name), ErrorCode.unknown_topic_or_partition
    route = None if topic.topic_id is None else context.router.topic_by_id(TopicId(topic.topic_id))
    return route, ErrorCode.unknown_topic_id if route is None else ErrorCode.unknown_topic_or_partition


def _fill(codes: list[ErrorCode | None], answered: list[ErrorCode]) -> None:
    remaining = iter(answered)
    for at, code in enumerate(codes):
        if code is None:
            codes[at] = next(remaining)


def _for_version(context: RequestContext, code: ErrorCode | None) -> ErrorCode:
    assert code is not None
    if code is ErrorCode.group_id_not_found and context.head.api_version < _FIRST_VERSION_WITH_GROUP_NOT_FOUND:
        return ErrorCode.illegal_generation
    return code


def _response(context: RequestContext, request: Any, codes: list[ErrorCode]) -> Payload:
    types = client_types(context)
    field = "topic_id" if context.head.api_version >= _FIRST_VERSION_WITH_TOPIC_IDS else "name"
    remaining = iter(codes)
    topics = tuple(
        [
            types.OffsetCommitResponseTopic(
                **{field: getattr(topic, field)},
                partitions=tuple(
                    [
                        types.OffsetCommitResponsePartition(
                            partition_index=part.partition_index, error_code=next(remaining)
                        )
                        for part in topic.partitions
                    ]
                ),
            )
            for topic in request.topics
        ]
    )
    return make(types.OffsetCommitResponse, {"throttle_time": NO_THROTTLE, "topics": topics})  # type: ignore[no-any-return]
