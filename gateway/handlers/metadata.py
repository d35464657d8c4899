"""Metadata (key 3), versions 0-13: KIP-361 (no auto-creation on request), KIP-430 (authorized operations), KIP-516
(topic ids), KIP-700 (cluster operations moved to DescribeCluster), KIP-899 (v13: rebootstrap code, never needed here).

- A topic that is not there is created when the client and ``auto.create.topics.enable`` allow it; the answer waits
  until its partitions are led, so that a producer's first request finds a leader.
- Asking for all topics, or by id, creates nothing.
- An answer of thousands of partitions is made in steps, so that others' requests come between.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from gateway.cluster_view import CLUSTER_OPERATIONS, OPERATIONS_NOT_ASKED, TOPIC_OPERATIONS, partition_view
from gateway.context import RequestContext
from gateway.messages import make, response_types
from gateway.registry import handles
from gateway.visibility import is_led, shown
from raylog.model import broker_config
from raylog.model.admin import NewTopic
from raylog.model.errors import RetryError
from raylog.model.ids import TopicId
from raylog.model.routing import RoutingTable, TopicRoute
from raylog.model.topic_names import topic_name_fault
from raylog.protocol.wire import NO_THROTTLE, broker_id, i32, topic_name

_KEY: Final = 3
_CREATION_MS_MAX: Final = 5_000
_STEP_PARTITIONS: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A topic of the answer: there, or why not."""

    name: str | None
    topic_id: UUID | None = None
    error: ErrorCode = ErrorCode.none
    route: TopicRoute | None = None


@handles(_KEY, 0, 13)
async def metadata(context: RequestContext, request: Any) -> Payload:
    version = context.head.api_version
    if request.topics is None or (version == 0 and not request.topics):
        found = [_there(topic) for topic in context.table.topics.values()]
    else:
        may_create = getattr(request, "allow_auto_topic_creation", True)
        found = await _asked_for(context, request.topics, may_create=may_create)
    return await _response(context, found, request)


async def _asked_for(context: RequestContext, topics: Sequence[Any], *, may_create: bool) -> list[_Found]:
    # An id goes before a name: beside an id, Java's admin client sends an empty name, not null.
    by_id = [TopicId(topic.topic_id) for topic in topics if getattr(topic, "topic_id", None)]
    # Repeated names are answered once, as in Kafka.
    names = list(dict.fromkeys(str(t.name) for t in topics if t.name is not None and not getattr(t, "topic_id", None)))
    refused: dict[str, ErrorCode] = {}
    missing = [name for name in names if name not in context.table.topics and topic_name_fault(name) is None]
    if missing and may_create and broker_config.effective(context.table.broker_configs).auto_create_topics_enable:
        refused = await _create(context, missing)
    return [_by_name(context.table, name, refused) for name in names] + [_by_id(context, each) for each in by_id]


async def _create(context: RequestContext, names: Iterable[str]) -> dict[str, ErrorCode]:
    """Create topics; for those that are not there after it, what to answer."""
    new = [NewTopic(name=name) for name in names]
    try:
        results = await context.controller.create_topics(new, timeout_ms=_CREATION_MS_MAX)
    except RetryError:
        return {topic.name: ErrorCode.leader_not_available for topic in new}
    codes = {result.name: ErrorCode(result.error_code) for result in results}
    coming = {
        name
        for name, code in codes.items()
        if code in (ErrorCode.none, ErrorCode.topic_already_exists, ErrorCode.request_timed_out)
    }
    services = context.services
    await shown(services.routes, services.clock, lambda table: all(is_led(table, name) for name in coming))
    return {name: ErrorCode.leader_not_available if name in coming else code for name, code in codes.items()}


def _by_name(table: RoutingTable, name: str, refused: dict[str, ErrorCode]) -> _Found:
    topic = table.topics.get(name)
    if topic is not None:
        return _there(topic)
    if topic_name_fault(name) is not None:
        return _Found(name=name, error=ErrorCode.invalid_topic_exception)
    return _Found(name=name, error=refused.get(name, ErrorCode.unknown_topic_or_partition))


def _by_id(context: RequestContext, topic_id: TopicId) -> _Found:
    topic = context.router.topic_by_id(topic_id)
    if topic is None:
        return _Found(name=None, topic_id=topic_id, error=ErrorCode.unknown_topic_id)
    return _there(topic)


def _there(topic: TopicRoute) -> _Found:
    return _Found(name=topic.name, topic_id=topic.topic_id, route=topic)


async def _response(context: RequestContext, found: Iterable[_Found], request: Any) -> Payload:
    version, table = context.head.api_version, context.table
    types = response_types(_KEY, version)
    shows_topic_operations = getattr(request, "include_topic_authorized_operations", False)
    shows_cluster_operations = getattr(request, "include_cluster_authorized_operations", False)
    brokers = tuple(
        make(
            types.MetadataResponseBroker,
            {
                "node_id": broker_id(broker.broker_id),
                "host": broker.host,
                "port": i32(broker.port),
                "rack": broker.rack,
            },
        )
        for broker in table.brokers
    )
    operations = TOPIC_OPERATIONS if shows_topic_operations else OPERATIONS_NOT_ASKED
    topics, made, zone = [], 0, context.client_zone
    for topic in found:
        topics.append(_topic(context, table, topic, zone, operations))
        made += 0 if topic.route is None else len(topic.route.partitions)
        if made >= _STEP_PARTITIONS:
            made = 0
            await context.services.clock.sleep(0)
    cluster_operations = CLUSTER_OPERATIONS if shows_cluster_operations else OPERATIONS_NOT_ASKED
    response: Payload = make(
        types.MetadataResponse,
        {
            "throttle_time": NO_THROTTLE,
            "brokers": brokers,
            "cluster_id": table.cluster_id,
            "controller_id": broker_id(table.controller_broker),
            "topics": tuple(topics),
            "cluster_authorized_operations": i32(cluster_operations),
            "error_code": ErrorCode.none,
        },
    )
    return response


def _topic(context: RequestContext, table: RoutingTable, topic: _Found, zone: str | None, operations: int) -> Any:
    version, cache = context.head.api_version, context.services.metadata_cache
    types = response_types(_KEY, version)
    # Before version 12 a name cannot be null.
    name = topic.name if topic.name is not None or version >= 12 else ""
    return make(
        types.MetadataResponseTopic,
        {
            "error_code": topic.error,
            "name": None if name is None else topic_name(name),
            "topic_id": topic.topic_id,
            "is_internal": topic.route is not None and topic.route.internal,
            "partitions": ()
            if topic.route is None
            else cache.partitions_of(version, table, topic.route, zone, _partitions),
            "topic_authorized_operations": i32(operations if topic.route is not None else OPERATIONS_NOT_ASKED),
        },
    )


def _partitions(version: int, table: RoutingTable, topic: TopicRoute, zone: str | None) -> tuple[Any, ...]:
    types = response_types(_KEY, version)
    views = (partition_view(table, topic, index, zone) for index in range(len(topic.partitions)))
    return tuple(
        make(
            types.MetadataResponsePartition,
            {
                "error_code": view.error,
                "partition_index": i32(view.index),
                "leader_id": broker_id(view.leader),
                "leader_epoch": i32(view.leader_epoch),
                "replica_nodes": view.replicas,
                "isr_nodes": view.in_sync,
                "offline_replicas": view.offline,
            },
        )
        for view in views
    )
