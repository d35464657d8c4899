"""How the handlers of group requests ask a coordinator, and Kafka's codes for a coordinator that cannot be asked."""

from collections.abc import Callable, Sequence
from typing import TypeVar, cast

from kio.schema.errors import ErrorCode

from raylog.coordination.coordinator import Event
from raylog.coordination.internal import ClientContext
from raylog.coordination.messages import (
    Answer,
    CommitResult,
    DeleteOffsetsResult,
    FetchResult,
    HeartbeatResult,
    JoinResult,
    LeaveResult,
    ListResult,
    SyncResult,
    Token,
)
from raylog.leader.call import Call
from raylog.model.errors import RetryError, StaleRouteError

A = TypeVar("A", bound=Answer)


class CoordinatorError(Exception):
    """The coordinator has no answer: ``code`` says why."""

    def __init__(self, code: ErrorCode) -> None:
        super().__init__(code.name)
        self.code = code


def client_of(call: Call) -> ClientContext:
    """Who asks. Raises InvalidError, which closes the connection, when no gateway stands behind it."""
    return ClientContext.unpacked(call.head.client_id)


async def ask(
    call: Call, client: ClientContext, group_id: str, answer_type: type[A], make_event: Callable[[Token], Event]
) -> A:
    """The coordinator's answer. Raises CoordinatorError.

    Up to the first wait this runs when the handler is called, so that requests of a connection keep their order.
    """
    if not group_id and answer_type in _NAMED_GROUPS_ONLY:
        raise _counted(call, ErrorCode.invalid_group_id)
    try:
        answer = await call.leader.coordinators.ask(client, group_id, make_event)
    except StaleRouteError:
        raise _counted(call, ErrorCode.not_coordinator) from None
    except RetryError:
        raise _counted(call, ErrorCode.coordinator_load_in_progress) from None
    assert isinstance(answer, answer_type), f"{answer} is no {answer_type.__name__}"
    for code in _codes(answer):
        if code is not ErrorCode.none:
            call.leader.metrics.error(call.head.api_key, code.name)
    return answer


async def ask_all(call: Call, answer_type: type[A], make_event: Callable[[Token], Event]) -> Sequence[A]:
    """The answers of all coordinators of this leader. Raises CoordinatorError."""
    try:
        return [cast(A, await answer) for answer in call.leader.coordinators.ask_all(make_event)]
    except StaleRouteError:
        raise _counted(call, ErrorCode.not_coordinator) from None
    except RetryError:
        raise _counted(call, ErrorCode.coordinator_load_in_progress) from None


def _counted(call: Call, code: ErrorCode) -> CoordinatorError:
    call.leader.metrics.error(call.head.api_key, code.name)
    return CoordinatorError(code)


def _codes(answer: Answer) -> tuple[ErrorCode, ...]:
    match answer:
        case CommitResult() | LeaveResult():
            return answer.errors
        case FetchResult() | ListResult():
            return ()
        case _:
            return (answer.error,)


# The group with the empty name can only keep offsets (an old client's way); it can be described and deleted.
_NAMED_GROUPS_ONLY = (JoinResult, SyncResult, HeartbeatResult, LeaveResult, DeleteOffsetsResult)
