"""DescribeTopicPartitions (key 75), version 0: KIP-966. Topics in the order of their names, a page at a time.

No topic is created. Eligible leader replicas are always empty, as there are no replicas.
"""

from typing import Any, Final

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from gateway.cluster_view import TOPIC_OPERATIONS, partition_view
from gateway.context import RequestContext
from gateway.messages import response_types
from gateway.registry import CloseConnection, handles
from raylog.model.routing import RoutingTable, TopicRoute
from raylog.model.topic_names import topic_name_fault
from raylog.protocol.wire import NO_THROTTLE, broker_id, i32, topic_name

_KEY: Final = 75
_PARTITIONS_MAX: Final = 2000
"""Of an answer, whatever the client says (Kafka's max.request.partition.size.limit)."""


@handles(_KEY, 0, 0)
def describe_topic_partitions(context: RequestContext, request: Any) -> Payload:
    table, types = context.table, response_types(_KEY, context.head.api_version)
    first_name, first_index = "", 0
    if request.cursor is not None:
        first_name, first_index = request.cursor.topic_name, request.cursor.partition_index
        if first_index < 0:
            raise CloseConnection(f"A cursor points to partition {first_index}.")
    asked = {str(topic.name) for topic in request.topics} or set(table.topics)
    left = max(1, min(_PARTITIONS_MAX, request.response_partition_limit))
    topics: list[Any] = []
    cursor = None
    for name in sorted(asked):
        if name < first_name:
            continue
        if left == 0:
            cursor = types.Cursor(topic_name=topic_name(name), partition_index=i32(0))
            break
        topic = table.topics.get(name)
        if topic is None:
            topics.append(_missing(types, name))
            continue
        start = first_index if name == first_name else 0
        end = min(len(topic.partitions), start + left)
        topics.append(_topic(types, table, topic, context.client_zone, range(start, end)))
        left -= max(0, end - start)
        if end < len(topic.partitions):
            cursor = types.Cursor(topic_name=topic_name(name), partition_index=i32(end))
            break
    response: Payload = types.DescribeTopicPartitionsResponse(
        throttle_time=NO_THROTTLE, topics=tuple(topics), next_cursor=cursor
    )
    return response


def _missing(types: Any, name: str) -> Any:
    is_legal = topic_name_fault(name) is None
    return types.DescribeTopicPartitionsResponseTopic(
        error_code=ErrorCode.unknown_topic_or_partition if is_legal else ErrorCode.invalid_topic_exception,
        name=topic_name(name),
        topic_id=None,
        partitions=(),
    )


def _topic(types: Any, table: RoutingTable, topic: TopicRoute, zone: str | None, indexes: range) -> Any:
    views = (partition_view(table, topic, index, zone) for index in indexes)
    partitions = tuple(
        types.DescribeTopicPartitionsResponsePartition(
            error_code=view.error,
            partition_index=i32(view.index),
            leader_id=broker_id(view.leader),
            leader_epoch=i32(view.leader_epoch),
            replica_nodes=view.replicas,
            isr_nodes=view.in_sync,
            eligible_leader_replicas=(),
            last_known_elr=(),
            offline_replicas=view.offline,
        )
        for view in views
    )
    return types.DescribeTopicPartitionsResponseTopic(
        error_code=ErrorCode.none,
        name=topic_name(topic.name),
        topic_id=topic.topic_id,
        is_internal=topic.internal,
        partitions=partitions,
        topic_authorized_operations=i32(TOPIC_OPERATIONS),
    )
