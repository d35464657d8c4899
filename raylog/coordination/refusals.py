"""Answers to requests that reach no group: it is not there, or the request cannot be taken at all."""

from kio.schema.errors import ErrorCode

from raylog.coordination import commits
from raylog.coordination.messages import (
    Answer,
    CommitOffsets,
    CommitResult,
    DeleteGroup,
    DeleteGroupResult,
    DeleteOffsets,
    DeleteOffsetsResult,
    DescribeGroup,
    DescribeResult,
    FetchedOffset,
    FetchedTopic,
    FetchOffsets,
    FetchResult,
    GroupRequest,
    Heartbeat,
    HeartbeatResult,
    JoinGroup,
    JoinResult,
    LeaveGroup,
    LeaveResult,
    SyncGroup,
    SyncResult,
)
from raylog.coordination.offsets import GroupOffsets
from raylog.coordination.states import DEAD


def answer_without_group(request: GroupRequest) -> Answer:
    """What is said of a group that is not there. Members are told to join anew."""
    match request:
        case FetchOffsets():
            return commits.fetch(GroupOffsets(), request)
        case JoinGroup() | SyncGroup() | Heartbeat() | LeaveGroup():
            return refusal(request, ErrorCode.unknown_member_id)
        case _:
            return refusal(request, ErrorCode.group_id_not_found)


def refusal(request: GroupRequest, error: ErrorCode) -> Answer:
    """One error for all that is asked."""
    match request:
        case JoinGroup():
            return JoinResult(member_id=request.member_id, error=error)
        case SyncGroup():
            return SyncResult(error=error)
        case Heartbeat():
            return HeartbeatResult(error=error)
        case LeaveGroup():
            return LeaveResult(errors=(error,) * len(request.members))
        case CommitOffsets():
            return CommitResult(errors=(error,) * len(request.offsets))
        case FetchOffsets():
            return FetchResult(
                topics=tuple(
                    [
                        FetchedTopic(
                            topic=topic.topic,
                            topic_id=topic.topic_id,
                            offsets=tuple([FetchedOffset(partition=at, error=error) for at in topic.partitions]),
                        )
                        for topic in request.topics or ()
                    ]
                )
            )
        case DeleteOffsets():
            return DeleteOffsetsResult(error=error)
        case DescribeGroup():
            return DescribeResult(error=error, state=DEAD.value)
        case DeleteGroup():
            return DeleteGroupResult(error=error)
        case _:
            raise AssertionError(f"{type(request).__name__} is no request of a group")
