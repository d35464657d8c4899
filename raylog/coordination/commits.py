"""The requests about committed offsets: OffsetCommit, OffsetFetch, OffsetDelete; and their expiry.

Who may commit (Kafka's ClassicGroup.validateOffsetCommit): members of the present generation; anyone without a generation while
the group has no members (a consumer that assigns its partitions itself, a tool).
"""

from collections.abc import Mapping
from dataclasses import replace

from kio.schema.errors import ErrorCode

from raylog.coordination import rebalance
from raylog.coordination.classic_group import ClassicGroup
from raylog.coordination.effects import Turn
from raylog.coordination.messages import (
    NO_GENERATION,
    NO_MEMBER_ID,
    CommitOffsets,
    CommitResult,
    DeleteOffsets,
    DeleteOffsetsResult,
    FetchedOffset,
    FetchedTopic,
    FetchOffsets,
    FetchResult,
    OffsetToCommit,
    TopicPartitions,
)
from raylog.coordination.offsets import GroupOffsets
from raylog.coordination.primitives import is_writable
from raylog.coordination.records import CommittedOffset, encode_offset, encode_offset_key
from raylog.coordination.states import COMMIT_ANSWER, EMPTY, EXTENDS_SESSION_BY_COMMIT, STABLE
from raylog.model.ids import TopicId

_I64_MAX = (1 << 63) - 1


def commit_error_without_group(request: CommitOffsets) -> ErrorCode:
    """A commit to a group that is not there makes one, unless it claims a generation of it."""
    return ErrorCode.none if request.generation < 0 else ErrorCode.group_id_not_found


def commit(turn: Turn, group: ClassicGroup, offsets: GroupOffsets, request: CommitOffsets) -> None:
    error = _commit_error(group, request)
    if error is not ErrorCode.none:
        turn.reply(request.token, CommitResult(errors=(error,) * len(request.offsets)))
        return
    member = group.members.get(request.member_id)
    if member is not None and group.state in EXTENDS_SESSION_BY_COMMIT:
        rebalance.extend_session(turn, group, member)
    errors = tuple([_commit_one(turn, group, offsets, one, request.retention_ms) for one in request.offsets])
    turn.reply(request.token, CommitResult(errors=errors))


def _commit_error(group: ClassicGroup, request: CommitOffsets) -> ErrorCode:
    if request.generation < 0 and group.state is EMPTY:
        return ErrorCode.none
    is_anonymous = (
        request.generation <= NO_GENERATION and request.member_id == NO_MEMBER_ID and request.group_instance_id is None
    )
    if is_anonymous:
        return ErrorCode.unknown_member_id
    error = group.member_error(request.member_id, request.group_instance_id)
    if error is ErrorCode.none and request.generation != group.generation:
        error = ErrorCode.illegal_generation
    return COMMIT_ANSWER[group.state] if error is ErrorCode.none else error


def _commit_one(
    turn: Turn, group: ClassicGroup, offsets: GroupOffsets, one: OffsetToCommit, retention_ms: int | None
) -> ErrorCode:
    if len(one.metadata) > turn.settings.offset_metadata_bytes_max or not is_writable(one.metadata):
        return ErrorCode.offset_metadata_too_large
    value = CommittedOffset(
        offset=one.offset,
        leader_epoch=one.leader_epoch,
        metadata=one.metadata,
        commit_timestamp_ms=turn.now_ms,
        topic_id=one.topic_id,
    )
    if retention_ms is not None:
        # The record's version with an expiry has neither epoch nor topic id; so have the requests that ask for one.
        expiry_ms = min(turn.now_ms + retention_ms, _I64_MAX)
        value = replace(value, leader_epoch=-1, topic_id=None, expire_timestamp_ms=expiry_ms)
    offsets.put(one.topic, one.partition, value)
    turn.append(encode_offset_key(group.group_id, one.topic, one.partition), encode_offset(value))
    return ErrorCode.none


def fetch(offsets: GroupOffsets, request: FetchOffsets) -> FetchResult:
    if request.topics is None:
        wanted = [TopicPartitions(topic=topic, partitions=tuple(at)) for topic, at in offsets.committed.items()]
    else:
        wanted = list(request.topics)
    return FetchResult(topics=tuple([_fetch_topic(offsets, topic, request) for topic in wanted]))


def _fetch_topic(offsets: GroupOffsets, topic: TopicPartitions, request: FetchOffsets) -> FetchedTopic:
    topic_id = topic.topic_id
    if request.topics is None:
        topic_id = next((found.topic_id for found in offsets.committed[topic.topic].values()), None)
    return FetchedTopic(
        topic=topic.topic,
        topic_id=topic_id,
        offsets=tuple(
            [_fetch_one(offsets, topic, partition, request.require_stable) for partition in topic.partitions]
        ),
    )


def _fetch_one(offsets: GroupOffsets, topic: TopicPartitions, partition: int, require_stable: bool) -> FetchedOffset:
    if require_stable and offsets.is_unstable(topic.topic, partition):
        return FetchedOffset(partition=partition, error=ErrorCode.unstable_offset_commit)
    found = offsets.get(topic.topic, partition, topic.topic_id)
    if found is None:
        return FetchedOffset(partition=partition)
    return FetchedOffset(
        partition=partition, offset=found.offset, leader_epoch=found.leader_epoch, metadata=found.metadata
    )


def delete(turn: Turn, group: ClassicGroup, offsets: GroupOffsets, request: DeleteOffsets) -> None:
    if group.state is not EMPTY and not group.is_consumer_group:
        # Of other protocols it cannot be known what their members use.
        turn.reply(request.token, DeleteOffsetsResult(error=ErrorCode.non_empty_group))
        return
    errors = []
    for topic in request.topics:
        if group.is_subscribed_to(topic.topic):
            errors.append((ErrorCode.group_subscribed_to_topic,) * len(topic.partitions))
            continue
        for partition in topic.partitions:
            _forget(turn, group, offsets, topic.topic, partition)
        errors.append((ErrorCode.none,) * len(topic.partitions))
    turn.reply(request.token, DeleteOffsetsResult(errors=tuple(errors)))


def delete_all(turn: Turn, group: ClassicGroup, offsets: GroupOffsets) -> None:
    for topic, partition, _ in list(offsets.items()):
        _forget(turn, group, offsets, topic, partition)


def expire(turn: Turn, group: ClassicGroup, offsets: GroupOffsets) -> None:
    """Drop the offsets whose retention is over (KIP-211), of topics that no member subscribes to."""
    for topic, partition, offset in list(offsets.items()):
        if offsets.is_unstable(topic, partition) or group.is_subscribed_to(topic):
            continue
        if _is_expired(turn, group, offset):
            _forget(turn, group, offsets, topic, partition)


def _is_expired(turn: Turn, group: ClassicGroup, offset: CommittedOffset) -> bool:
    if group.protocol_type is None:
        unused_since_ms = offset.commit_timestamp_ms
    elif group.state is EMPTY:
        known = group.state_timestamp_ms >= 0
        unused_since_ms = group.state_timestamp_ms if known else offset.commit_timestamp_ms
    elif group.state is STABLE and group.topics is not None:
        unused_since_ms = offset.commit_timestamp_ms
    else:
        return False
    if offset.expire_timestamp_ms is not None:
        return turn.now_ms >= offset.expire_timestamp_ms
    return turn.now_ms - unused_since_ms >= turn.settings.offsets_retention_ms


def drop_topics(
    turn: Turn, group: ClassicGroup, offsets: GroupOffsets, existing: Mapping[str, TopicId], as_of_ms: int
) -> None:
    """Drop the offsets of topics that ``existing``, as it was at ``as_of_ms``, does not have under the same id."""
    for topic, partition, offset in list(offsets.items()):
        present = existing.get(topic)
        is_gone = present is None or (offset.topic_id is not None and offset.topic_id != present)
        if is_gone and offset.commit_timestamp_ms < as_of_ms:
            _forget(turn, group, offsets, topic, partition)


def _forget(turn: Turn, group: ClassicGroup, offsets: GroupOffsets, topic: str, partition: int) -> None:
    if offsets.get(topic, partition) is None:
        return
    offsets.discard(topic, partition)
    turn.append(encode_offset_key(group.group_id, topic, partition), None)
