"""ListOffsets (key 2), versions 1-11: by timestamp, earliest, latest, max timestamp (KIP-734), tiers (KIP-405, KIP-1005)."""

from typing import Any

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from raylog.leader.call import Call
from raylog.leader.hosted import HostedPartition
from raylog.leader.messages import make, response_types
from raylog.leader.registry import handles
from raylog.model.errors import RetryError
from raylog.partition.list_offsets import NO_SUCH_RECORD, LookInside, find_record, list_offset
from raylog.partition.outcomes import NO_EPOCH, ListedOffset, OffsetRejected
from raylog.protocol.wire import NO_THROTTLE

_KEY = 2
_READ_COMMITTED = 1


@handles(_KEY, 1, 11)
async def list_offsets(call: Call) -> Payload:
    types = response_types(call.head)
    read_committed = getattr(call.request, "isolation_level", 0) == _READ_COMMITTED
    topics = []
    for topic in call.request.topics:
        answers = []
        for part in topic.partitions:
            found = await _list(call, topic.name, part, read_committed)
            answers.append(make(types.ListOffsetsPartitionResponse, _values(call, part.partition_index, found)))
        topics.append(types.ListOffsetsTopicResponse(name=topic.name, partitions=tuple(answers)))
    return make(types.ListOffsetsResponse, {"throttle_time": NO_THROTTLE, "topics": tuple(topics)})  # type: ignore[no-any-return]


async def _list(call: Call, topic_name: str, part: Any, read_committed: bool) -> ListedOffset | OffsetRejected:
    hosted = call.leader.partitions.find(topic_name, part.partition_index)
    if hosted is None:
        return OffsetRejected(ErrorCode.not_leader_or_follower, "The partition is not led here.")
    try:
        return await _list_led(call, hosted, part, read_committed)
    except RetryError as error:
        return OffsetRejected(ErrorCode.request_timed_out, str(error))


async def _list_led(
    call: Call, hosted: HostedPartition, part: Any, read_committed: bool
) -> ListedOffset | OffsetRejected:
    from_offset = 0
    while True:
        found = list_offset(
            hosted.core,
            part.timestamp,
            current_leader_epoch=getattr(part, "current_leader_epoch", NO_EPOCH),
            read_committed=read_committed,
            from_offset=from_offset,
        )
        if not isinstance(found, LookInside):
            return found
        record = find_record(found, await call.leader.reader.read_chunks(hosted, found.chunks))
        if record is not None:
            return record
        if found.next_offset <= from_offset:
            return NO_SUCH_RECORD
        from_offset = found.next_offset


def _values(call: Call, index: int, found: ListedOffset | OffsetRejected) -> dict[str, object]:
    if isinstance(found, OffsetRejected):
        call.leader.metrics.error(_KEY, found.error_code.name)
        return {"partition_index": index, "error_code": found.error_code}
    return {
        "partition_index": index,
        "error_code": ErrorCode.none,
        "timestamp": found.timestamp_ms,
        "offset": found.offset,
        "leader_epoch": found.leader_epoch,
    }
