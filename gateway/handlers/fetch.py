"""Fetch (key 1), versions 4-18: KIP-74 (limits), KIP-98 (isolation levels), KIP-516 (topic ids, v13), KIP-227 as below.

- Every answer has session id 0, which tells the client to send whole fetches (KIP-227 allows it): a gateway keeps no state, and
  the next request may reach another one. An epoch of a session, which therefore cannot exist, is FETCH_SESSION_ID_NOT_FOUND.
- A request with one leader is passed through, and so is its answer, undecoded, unless it holds read plans.
- One fetch of a connection runs at a time, and only while its client takes answers. When others' untaken answers have used the
  memory up, it gets a small one (``answer_bytes_max``, or one batch). So what fetches hold stays bounded, and nobody waits for
  clients that read slowly or never.
"""

from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, Final

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from gateway.context import RequestContext
from gateway.fetching import (
    Answers,
    FetchParts,
    PlannedAnswer,
    answer_bytes,
    answers_of,
    ask_at_once,
    failed_answers,
    gather_answers,
    has_plans,
    pass_through,
    response,
    sort_by_leader,
)
from gateway.planned_reads import fill_at_hand, fill_in
from gateway.registry import CloseConnection, handles
from raylog.model.buffers import Buffer
from raylog.model.errors import RetryError, StaleRouteError
from raylog.protocol.wire import to_ms

_KEY: Final = 1
_FIRST_VERSION_WITH_SESSIONS: Final = 7


@handles(
    _KEY, 4, 18, left_out="incremental fetch sessions (KIP-227): each answer has session id 0; fetches by followers"
)
def fetch(context: RequestContext, request: Any) -> Payload | Coroutine[Any, Any, Payload | Buffer]:
    if context.head.api_version >= _FIRST_VERSION_WITH_SESSIONS and request.session_epoch > 0:
        return response(context, request, {}, ErrorCode.fetch_session_id_not_found)
    return _at_once(context, request) or _in_turn(context, request)


def _at_once(context: RequestContext, request: Any) -> Payload | None:
    """The answer, where the system has in memory what plans lead to for all of the request: nearly every fetch of a consumer that
    catches up, who waits meanwhile."""
    services, client = context.services, context.client
    if not services.block_cache.has_files or client.fetch_turn.locked() or not client.is_writable:
        return None
    if _is_memory_used_up(context):
        return None
    ready = client.next_fetch.take(context, request)
    if ready is not None:
        return response(context, request, ready)
    known, others = services.plan_cache.find(context, request, sort_by_leader(context, request))
    if others.by_leader or not _is_enough(request, known):
        return None
    filled = fill_at_hand(context, request, known | others.refused)
    if filled is None:
        return None
    client.next_fetch.follow(context, request, filled.ends)
    return response(context, request, filled.answers)


async def _in_turn(context: RequestContext, request: Any) -> Payload | Buffer:
    async with context.client.fetch_turn:
        request, answers = await _ask_when_ready(context, request)
        if not isinstance(answers, dict):
            return answers
        filled = await fill_in(context, request, answers)
        context.client.next_fetch.follow(context, request, filled.ends)
        return response(context, request, filled.answers)


async def _ask_when_ready(context: RequestContext, request: Any) -> tuple[Any, Answers | Buffer]:
    """The request that was made in the end, and what the leaders say: partitions, or the one leader's whole answer when it goes
    to the client as it is.

    An answer may come when clients that take none have used the memory for them up since it was asked for. It is let go then, and
    a small one asked for: else any number of clients that ask for much and read nothing would each have theirs kept.
    """
    small_bytes = context.services.limits.answer_bytes_max
    while True:
        try:
            await context.client.ready_for_records()
        except ConnectionResetError as error:
            raise CloseConnection("The client went away before its fetch.") from error
        if _is_memory_used_up(context):
            request = replace(request, max_bytes=min(request.max_bytes, small_bytes))
            return request, await gather_answers(context, request, sort_by_leader(context, request))
        answers = await _ask(context, request)
        if _records_bytes(answers) <= small_bytes or not _is_memory_used_up(context):
            return request, answers
        del answers


async def _ask(context: RequestContext, request: Any) -> Answers | Buffer:
    parts = sort_by_leader(context, request)
    plans = context.services.plan_cache
    known, others = plans.find(context, request, parts)
    if not _is_enough(request, known):
        answers = await _ask_leaders(context, request, parts)
        if isinstance(answers, dict):
            plans.keep(context, request, parts, answers)
        return answers
    if others.by_leader:
        answered = await ask_at_once(context, request, others)
        plans.keep(context, request, others, answered)
        known.update(answered)
    return known | others.refused


async def _ask_leaders(context: RequestContext, request: Any, parts: FetchParts) -> Answers | Buffer:
    is_within_limit = request.max_bytes <= context.services.limits.fetch_bytes_max
    if len(parts.by_leader) != 1 or parts.refused or not is_within_limit:
        return await gather_answers(context, request, parts)
    ((leader_id, pairs),) = parts.by_leader.items()
    try:
        frame = await pass_through(context, leader_id, to_ms(request.max_wait))
    except (StaleRouteError, RetryError) as error:
        return failed_answers(context, pairs, error)
    if not has_plans(frame):
        return frame
    return answers_of(context, frame)


def _is_enough(request: Any, known: Answers) -> bool:
    """Whether the client has not asked to wait for more than what is known."""
    return bool(sum(map(answer_bytes, known.values())) >= max(1, request.min_bytes))


def _is_memory_used_up(context: RequestContext) -> bool:
    """Whether answers that clients do not take have it."""
    return context.services.answers.is_over


def _records_bytes(answers: Answers | Buffer) -> int:
    """Of records that the leaders gave; what plans name is counted when it is read."""
    if isinstance(answers, dict):
        return sum(answer_bytes(answer) for answer in answers.values() if not isinstance(answer, PlannedAnswer))
    return len(answers)
