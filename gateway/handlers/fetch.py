"""Fetch (key 1), versions 4-18: KIP-74 (limits), KIP-98 (isolation levels), KIP-516 (topic ids, v13), KIP-227 as below.

- Every answer has session id 0, which tells the client to send whole fetches (KIP-227 allows it): a gateway keeps no state, and
  the next request may reach another one. An epoch of a session, which therefore cannot exist, is FETCH_SESSION_ID_NOT_FOUND.
- A request with one leader is passed through, and so is its answer, undecoded, unless it holds read plans.
- One fetch of a connection runs at a time, and only while its client takes answers, so that what fetches hold stays bounded.
"""

from typing import Any, Final

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from gateway.context import RequestContext
from gateway.fetching import (
    answers_of,
    failed_answers,
    gather_answers,
    has_plans,
    pass_through,
    response,
    sort_by_leader,
)
from gateway.planned_reads import fill_in
from gateway.registry import CloseConnection, handles
from raylog.model.buffers import Buffer
from raylog.model.errors import RetryError, StaleRouteError
from raylog.protocol.wire import decode_response, to_ms

_KEY: Final = 1
_FIRST_VERSION_WITH_SESSIONS: Final = 7


@handles(
    _KEY, 4, 18, left_out="incremental fetch sessions (KIP-227): each answer has session id 0; fetches by followers"
)
async def fetch(context: RequestContext, request: Any) -> Payload | Buffer:
    if context.head.api_version >= _FIRST_VERSION_WITH_SESSIONS and request.session_epoch > 0:
        return response(context, request, {}, ErrorCode.fetch_session_id_not_found)
    async with context.client.fetch_turn:
        try:
            await context.client.ready_for_records()
        except ConnectionResetError as error:
            raise CloseConnection("The client went away before its fetch.") from error
        parts = sort_by_leader(context, request)
        is_within_limit = request.max_bytes <= context.services.limits.fetch_bytes_max
        if len(parts.by_leader) == 1 and not parts.refused and is_within_limit:
            ((leader_id, pairs),) = parts.by_leader.items()
            try:
                answer = await pass_through(context, leader_id, to_ms(request.max_wait))
            except (StaleRouteError, RetryError) as error:
                return response(context, request, failed_answers(context, pairs, error))
            if not has_plans(answer):
                return answer
            answers = answers_of(decode_response(_KEY, context.head.api_version, answer)[1])
        else:
            answers = await gather_answers(context, request, parts)
        return response(context, request, await fill_in(context, request, answers))
