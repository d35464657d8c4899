"""ListPartitionReassignments (key 46), version 0: KIP-455. The partitions that move from leader to leader at this moment.

No data moves, and both leaders may be on one broker's node; so the replicas that come and go are leaders, as ``LEADER_REPLICAS``
+ their ids, beside the broker that clients are sent to.
"""

from typing import Any, Final

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from gateway.cluster_view import broker_of
from gateway.context import RequestContext
from gateway.messages import response_types
from gateway.registry import handles
from raylog.model.ids import LEADER_REPLICAS
from raylog.model.routing import TopicRoute
from raylog.protocol.wire import NO_THROTTLE, broker_id, i32, topic_name

_KEY: Final = 46


@handles(_KEY, 0, 0)
def list_partition_reassignments(context: RequestContext, request: Any) -> Payload:
    types = response_types(_KEY, context.head.api_version)
    topics = context.table.topics
    asked = (
        {name: range(len(topic.partitions)) for name, topic in topics.items()}
        if request.topics is None
        else {topic.name: topic.partition_indexes for topic in request.topics}
    )
    found = []
    for name, numbers in asked.items():
        topic = topics.get(name)
        moving = () if topic is None else tuple(_moving(context, types, topic, number) for number in numbers)
        ongoing = tuple(one for one in moving if one is not None)
        if ongoing:
            found.append(types.OngoingTopicReassignment(name=topic_name(name), partitions=ongoing))
    response: Payload = types.ListPartitionReassignmentsResponse(
        throttle_time=NO_THROTTLE, error_code=ErrorCode.none, error_message=None, topics=tuple(found)
    )
    return response


def _moving(context: RequestContext, types: Any, topic: TopicRoute, number: int) -> Any:
    """None for a partition that does not move, or is not there."""
    if not 0 <= number < len(topic.partitions):
        return None
    route = topic.partitions[number]
    if route.moving_to is not None:
        source, target = route.leader_id, route.moving_to
    elif route.moving_from is not None:
        source, target = route.moving_from, route.leader_id
    else:
        return None
    coming, going = broker_id(LEADER_REPLICAS + target), broker_id(LEADER_REPLICAS + source)
    return types.OngoingPartitionReassignment(
        partition_index=i32(number),
        replicas=(broker_id(broker_of(context.table, topic, number)), coming, going),
        adding_replicas=(coming,),
        removing_replicas=(going,),
    )
