"""OffsetCommit, OffsetFetch and OffsetDelete on the leader's side. Topics have their ids with their names (``internal``)."""

import asyncio

from kio.schema.errors import ErrorCode
from kio.schema.offset_commit.v9.request import OffsetCommitRequest
from kio.schema.offset_commit.v9.response import (
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)
from kio.schema.offset_delete.v0.request import OffsetDeleteRequest
from kio.schema.offset_delete.v0.response import (
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)
from kio.schema.offset_fetch.v9.request import OffsetFetchRequest, OffsetFetchRequestGroup
from kio.schema.offset_fetch.v9.response import (
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartitions,
    OffsetFetchResponseTopics,
)

from raylog.coordination import internal
from raylog.coordination.internal import ClientContext, qualified, unqualified
from raylog.coordination.messages import (
    CommitOffsets,
    CommitResult,
    DeleteOffsets,
    DeleteOffsetsResult,
    FetchedTopic,
    FetchOffsets,
    FetchResult,
    OffsetToCommit,
    TopicPartitions,
)
from raylog.leader.call import Call
from raylog.leader.group_calls import CoordinatorError, ask, client_of
from raylog.leader.registry import handles
from raylog.protocol.wire import NO_THROTTLE, group_id, i32, i64, topic_name


@handles(internal.OFFSET_COMMIT, 9, 9)
async def offset_commit(call: Call) -> OffsetCommitResponse:
    request: OffsetCommitRequest = call.request
    client = client_of(call)
    offsets = _offsets_to_commit(request)
    try:
        result = await ask(
            call,
            client,
            request.group_id,
            CommitResult,
            lambda token: CommitOffsets(
                token=token,
                group_id=request.group_id,
                generation=request.generation_id_or_member_epoch,
                member_id=request.member_id,
                group_instance_id=request.group_instance_id,
                retention_ms=client.retention_ms,
                offsets=offsets,
            ),
        )
    except CoordinatorError as error:
        result = CommitResult(errors=(error.code,) * len(offsets))
    errors = iter(result.errors)
    return OffsetCommitResponse(
        throttle_time=NO_THROTTLE,
        topics=tuple(
            [
                OffsetCommitResponseTopic(
                    name=topic.name,
                    partitions=tuple(
                        [
                            OffsetCommitResponsePartition(
                                partition_index=partition.partition_index, error_code=next(errors)
                            )
                            for partition in topic.partitions
                        ]
                    ),
                )
                for topic in request.topics
            ]
        ),
    )


def _offsets_to_commit(request: OffsetCommitRequest) -> tuple[OffsetToCommit, ...]:
    offsets = []
    for topic in request.topics:
        name, topic_id = unqualified(topic.name)
        offsets += [
            OffsetToCommit(
                topic=name,
                topic_id=topic_id,
                partition=partition.partition_index,
                offset=partition.committed_offset,
                leader_epoch=partition.committed_leader_epoch,
                metadata=partition.committed_metadata or "",
            )
            for partition in topic.partitions
        ]
    return tuple(offsets)


@handles(internal.OFFSET_FETCH, 9, 9)
async def offset_fetch(call: Call) -> OffsetFetchResponse:
    request: OffsetFetchRequest = call.request
    client = client_of(call)
    groups = await asyncio.gather(
        *(_fetch_group(call, client, group, request.require_stable) for group in request.groups)
    )
    return OffsetFetchResponse(throttle_time=NO_THROTTLE, groups=tuple(groups))


async def _fetch_group(
    call: Call, client: ClientContext, group: OffsetFetchRequestGroup, require_stable: bool
) -> OffsetFetchResponseGroup:
    topics = None if group.topics is None else tuple([_wanted(t.name, t.partition_indexes) for t in group.topics])
    try:
        result = await ask(
            call,
            client,
            group.group_id,
            FetchResult,
            lambda token: FetchOffsets(
                token=token, group_id=group.group_id, topics=topics, require_stable=require_stable
            ),
        )
    except CoordinatorError as error:
        return OffsetFetchResponseGroup(group_id=group_id(group.group_id), topics=(), error_code=error.code)
    return OffsetFetchResponseGroup(
        group_id=group_id(group.group_id),
        topics=tuple([_fetched(topic) for topic in result.topics]),
        error_code=ErrorCode.none,
    )


def _wanted(qualified_name: str, partitions: tuple[int, ...]) -> TopicPartitions:
    name, topic_id = unqualified(qualified_name)
    return TopicPartitions(topic=name, topic_id=topic_id, partitions=partitions)


def _fetched(topic: FetchedTopic) -> OffsetFetchResponseTopics:
    return OffsetFetchResponseTopics(
        name=topic_name(qualified(topic.topic, topic.topic_id)),
        partitions=tuple(
            [
                OffsetFetchResponsePartitions(
                    partition_index=i32(found.partition),
                    committed_offset=i64(found.offset),
                    committed_leader_epoch=i32(found.leader_epoch),
                    metadata=found.metadata,
                    error_code=found.error,
                )
                for found in topic.offsets
            ]
        ),
    )


@handles(internal.OFFSET_DELETE, 0, 0)
async def offset_delete(call: Call) -> OffsetDeleteResponse:
    request: OffsetDeleteRequest = call.request
    topics = tuple(
        [
            TopicPartitions(topic=topic.name, partitions=tuple([p.partition_index for p in topic.partitions]))
            for topic in request.topics
        ]
    )
    try:
        result = await ask(
            call,
            client_of(call),
            request.group_id,
            DeleteOffsetsResult,
            lambda token: DeleteOffsets(token=token, group_id=request.group_id, topics=topics),
        )
    except CoordinatorError as error:
        result = DeleteOffsetsResult(error=error.code)
    return OffsetDeleteResponse(
        error_code=result.error,
        throttle_time=NO_THROTTLE,
        topics=tuple(
            [
                OffsetDeleteResponseTopic(
                    name=topic_name(topic.topic),
                    partitions=tuple(
                        [
                            OffsetDeleteResponsePartition(partition_index=i32(partition), error_code=code)
                            for partition, code in zip(topic.partitions, codes, strict=True)
                        ]
                    ),
                )
                for topic, codes in zip(topics, result.errors, strict=False)
            ]
        ),
    )
