"""OffsetFetch (key 9), versions 1-10: KIP-88 (all topics, from v2), KIP-320 (leader epoch), KIP-447 (require stable), KIP-709
(several groups, from v8), KIP-516 (topic ids, v10). Left out on purpose: v0 (offsets in ZooKeeper), as in Kafka 4.

Member ids and epochs (v9) are for the consumer protocol (KIP-848) and not looked at, as for Kafka's classic groups.
"""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from gateway.context import RequestContext
from gateway.groups import CoordinatorError, ask_each, client_types, internal_types
from gateway.messages import make
from gateway.registry import handles
from raylog.coordination import internal
from raylog.coordination.internal import qualified, unqualified
from raylog.model.ids import TopicId
from raylog.protocol.wire import NO_THROTTLE

_FIRST_VERSION_WITH_ERROR: Final = 2
_FIRST_VERSION_WITH_GROUPS: Final = 8
_FIRST_VERSION_WITH_TOPIC_IDS: Final = 10

_NONE_COMMITTED: Final[dict[str, object]] = {"committed_offset": -1, "committed_leader_epoch": -1, "metadata": ""}


@handles(internal.OFFSET_FETCH, 1, 10)
async def offset_fetch(context: RequestContext, request: Any) -> Payload:
    has_groups = context.head.api_version >= _FIRST_VERSION_WITH_GROUPS
    wanted = {group.group_id: group for group in (request.groups if has_groups else (request,))}
    types = internal_types(context)

    def one_group(group_id: str) -> Payload:
        group = types.OffsetFetchRequestGroup(group_id=group_id, topics=_asked_topics(context, wanted[group_id]))
        stable = getattr(request, "require_stable", False)
        return types.OffsetFetchRequest(groups=(group,), require_stable=stable)  # type: ignore[no-any-return]

    answers = await ask_each(context, list(wanted), one_group)
    fetched = [_fetched(context, wanted[group_id], answer) for group_id, answer in answers]
    return _of_groups(context, fetched) if has_groups else _of_one(context, *fetched[0])


def _asked_topics(context: RequestContext, group: Any) -> tuple[Any, ...] | None:
    """Topics as the coordinator knows them; those with an id that is not known are left out."""
    if group.topics is None:
        return None
    types = internal_types(context)
    topics = []
    for topic in group.topics:
        if context.head.api_version >= _FIRST_VERSION_WITH_TOPIC_IDS:
            route = None if topic.topic_id is None else context.router.topic_by_id(TopicId(topic.topic_id))
            name = None if route is None else qualified(route.name, route.topic_id)
        else:
            route = context.router.topic(topic.name)
            name = topic.name if route is None else qualified(route.name, route.topic_id)
        if name is not None:
            topics.append(types.OffsetFetchRequestTopics(name=name, partition_indexes=topic.partition_indexes))
    return tuple(topics)


_Fetched = tuple[Any, ErrorCode, Sequence[Any]]
"""The client's request for a group; the group's error; its topics in the client's version."""


def _fetched(context: RequestContext, group: Any, answer: Any) -> _Fetched:
    if isinstance(answer, CoordinatorError):
        return group, answer.code, ()
    (found,) = answer.groups
    if found.error_code is not ErrorCode.none:
        return group, found.error_code, ()
    topics = [shown for topic in found.topics if (shown := _shown(context, topic, is_all=group.topics is None))]
    return group, ErrorCode.none, [*topics, *_of_unknown_ids(context, group)]


def _shown(context: RequestContext, topic: Any, *, is_all: bool) -> Any | None:
    """A topic of the coordinator's answer for the client; None for one that is gone, when the client did not name it."""
    name, topic_id = unqualified(topic.name)
    route = context.router.topic(name)
    if is_all and route is not None and topic_id is not None and topic_id != route.topic_id:
        return None  # of an earlier topic of that name
    if context.head.api_version < _FIRST_VERSION_WITH_TOPIC_IDS:
        return _topic(context, {"name": name}, topic.partitions)
    if is_all and route is None:
        return None
    known_id = topic_id if topic_id is not None or route is None else route.topic_id
    return _topic(context, {"topic_id": known_id}, topic.partitions)


def _of_unknown_ids(context: RequestContext, group: Any) -> list[Any]:
    if context.head.api_version < _FIRST_VERSION_WITH_TOPIC_IDS or group.topics is None:
        return []
    return [
        _failed_topic(context, {"topic_id": topic.topic_id}, topic.partition_indexes, ErrorCode.unknown_topic_id)
        for topic in group.topics
        if topic.topic_id is None or context.router.topic_by_id(TopicId(topic.topic_id)) is None
    ]


def _failed_topic(
    context: RequestContext, key: dict[str, UUID | str], partitions: Sequence[int], code: ErrorCode
) -> Any:
    types = client_types(context)
    part_type = getattr(types, f"OffsetFetchResponsePartition{_plural(context)}")
    found = [make(part_type, {**_NONE_COMMITTED, "partition_index": at, "error_code": code}) for at in partitions]
    return getattr(types, f"OffsetFetchResponseTopic{_plural(context)}")(**key, partitions=tuple(found))


def _topic(context: RequestContext, key: dict[str, Any], partitions: Sequence[Any]) -> Any:
    types = client_types(context)
    part_type = getattr(types, f"OffsetFetchResponsePartition{_plural(context)}")
    found = [
        make(
            part_type,
            {
                "partition_index": part.partition_index,
                "committed_offset": part.committed_offset,
                "committed_leader_epoch": part.committed_leader_epoch,
                "metadata": part.metadata,
                "error_code": part.error_code,
            },
        )
        for part in partitions
    ]
    return getattr(types, f"OffsetFetchResponseTopic{_plural(context)}")(**key, partitions=tuple(found))


def _plural(context: RequestContext) -> str:
    """Kafka's schema names its classes in the plural since there are several groups."""
    return "s" if context.head.api_version >= _FIRST_VERSION_WITH_GROUPS else ""


def _of_groups(context: RequestContext, fetched: Sequence[_Fetched]) -> Payload:
    types = client_types(context)
    groups = [
        types.OffsetFetchResponseGroup(group_id=group.group_id, topics=tuple(topics), error_code=code)
        for group, code, topics in fetched
    ]
    return types.OffsetFetchResponse(throttle_time=NO_THROTTLE, groups=tuple(groups))  # type: ignore[no-any-return]


def _of_one(context: RequestContext, group: Any, code: ErrorCode, topics: Sequence[Any]) -> Payload:
    if code is not ErrorCode.none and context.head.api_version < _FIRST_VERSION_WITH_ERROR:
        topics = [_failed_topic(context, {"name": t.name}, t.partition_indexes, code) for t in group.topics]
    values = {"throttle_time": NO_THROTTLE, "topics": tuple(topics), "error_code": code}
    return make(client_types(context).OffsetFetchResponse, values)  # type: ignore[no-any-return]
