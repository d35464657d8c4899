"""DescribeLogDirs (key 35), versions 1-5: KIP-113, KIP-827. One directory, the bucket; sizes of the partitions led here."""

from typing import Any

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from raylog.leader.call import Call
from raylog.leader.hosted import HostedPartition
from raylog.leader.messages import make, response_types
from raylog.leader.registry import handles
from raylog.protocol.wire import NO_THROTTLE


@handles(35, 1, 5)
def describe_log_dirs(call: Call) -> Payload:
    types = response_types(call.head)
    topics: dict[str, list[Any]] = {}
    undurable_bytes = call.leader.acks.undurable_bytes()
    for hosted in _asked_for(call):
        unflushed_bytes = call.leader.unflushed.size_bytes(hosted.partition) - undurable_bytes[hosted.partition]
        topics.setdefault(hosted.topic_name, []).append(
            types.DescribeLogDirsPartition(
                partition_index=hosted.partition.partition,
                partition_size=hosted.core.index.size_bytes + unflushed_bytes,
                offset_lag=0,
                is_future_key=False,
            )
        )
    directory = make(
        types.DescribeLogDirsResult,
        {
            "error_code": ErrorCode.none,
            "log_dir": call.leader.store_url,
            "topics": tuple(
                types.DescribeLogDirsTopic(name=name, partitions=tuple(found)) for name, found in topics.items()
            ),
        },
    )
    values = {"throttle_time": NO_THROTTLE, "error_code": ErrorCode.none, "results": (directory,)}
    response: Payload = make(types.DescribeLogDirsResponse, values)
    return response


def _asked_for(call: Call) -> list[HostedPartition]:
    partitions = call.leader.partitions
    if call.request.topics is None:
        return [hosted for hosted in partitions if hosted.is_serving]
    asked = (partitions.find(topic.topic, number) for topic in call.request.topics for number in topic.partitions)
    return [hosted for hosted in asked if hosted is not None]
