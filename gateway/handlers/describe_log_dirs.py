"""DescribeLogDirs (key 35), versions 1-4: KIP-113, KIP-827 (sizes of the volume, not known here: -1).

Clients ask every broker and add up, so each partition is shown by one broker only: the one that Metadata names as its leader.
The sizes are the leaders' to tell; a leader that does not answer is left out, like a disk that is offline.
"""

from typing import Any, Final

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from gateway.cluster_view import broker_of
from gateway.context import RequestContext
from gateway.messages import make, response_types
from gateway.registry import handles
from raylog.model.errors import RetryError, StaleRouteError
from raylog.protocol.wire import NO_THROTTLE

_KEY: Final = 35
_TIMEOUT_S: Final = 10.0


@handles(_KEY, 1, 4)
async def describe_log_dirs(context: RequestContext, request: Any) -> Payload:
    types = response_types(_KEY, context.head.api_version)
    by_dir: dict[str, dict[str, list[Any]]] = {}
    for _, answer in await context.router.send_all(request, client_id=context.client_id, timeout_s=_TIMEOUT_S):
        if isinstance(answer, StaleRouteError | RetryError):
            continue
        for result in answer.results:
            topics = by_dir.setdefault(result.log_dir, {})
            for topic in result.topics:
                own = [
                    partition
                    for partition in topic.partitions
                    if _is_own(context, topic.name, partition.partition_index)
                ]
                if own:
                    topics.setdefault(topic.name, []).extend(own)
    results = tuple(
        make(
            types.DescribeLogDirsResult,
            {
                "error_code": ErrorCode.none,
                "log_dir": log_dir,
                "topics": tuple(
                    types.DescribeLogDirsTopic(name=name, partitions=tuple(partitions))
                    for name, partitions in topics.items()
                ),
            },
        )
        for log_dir, topics in by_dir.items()
    )
    values = {"throttle_time": NO_THROTTLE, "error_code": ErrorCode.none, "results": results}
    response: Payload = make(types.DescribeLogDirsResponse, values)
    return response


def _is_own(context: RequestContext, topic_name: str, partition: int) -> bool:
    topic = context.router.topic(topic_name)
    if topic is None or partition >= len(topic.partitions):
        return False
    return broker_of(context.table, topic, partition) == context.services.broker.broker_id
