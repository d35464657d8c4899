"""DeleteTopics (key 20), versions 1-6: KIP-516 (by id, from version 6 on).

The answer waits until this gateway's routes have lost the topics.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from gateway.context import RequestContext
from gateway.messages import make, response_types
from gateway.registry import handles
from gateway.visibility import shown
from raylog.model import broker_config
from raylog.model.admin import TopicResult, TopicSelector
from raylog.model.errors import RetryError
from raylog.model.ids import TopicId
from raylog.protocol.wire import NO_THROTTLE, to_ms, topic_name

_KEY: Final = 20
_FIRST_VERSION_WITH_DISABLED_ERROR: Final = 3


@handles(_KEY, 1, 6)
async def delete_topics(context: RequestContext, request: Any) -> Payload:
    selectors = _selectors(request)
    faults = {selector: _fault(context, selectors, selector) for selector in selectors}
    good = [selector for selector in selectors if faults[selector] is None]
    results = [fault for fault in faults.values() if fault is not None]
    if good:
        results += await _delete(context, good, max(0, to_ms(request.timeout)))
    types = response_types(_KEY, context.head.api_version)
    responses = tuple(
        make(
            types.DeletableTopicResult,
            {
                "name": topic_name(result.name) if result.name else None,
                "topic_id": result.topic_id,
                "error_code": ErrorCode(result.error_code),
                "error_message": result.error_message,
            },
        )
        for result in results
    )
    response: Payload = types.DeleteTopicsResponse(throttle_time=NO_THROTTLE, responses=responses)
    return response


def _selectors(request: Any) -> list[TopicSelector]:
    if hasattr(request, "topic_names"):
        return [TopicSelector(name=name) for name in request.topic_names]
    return [
        TopicSelector(name=topic.name, topic_id=None if topic.topic_id is None else TopicId(topic.topic_id))
        for topic in request.topics
    ]


def _fault(
    context: RequestContext, all_of_them: Sequence[TopicSelector], selector: TopicSelector
) -> TopicResult | None:
    """What is wrong with asking for this deletion, if anything."""
    if (selector.name is None) == (selector.topic_id is None):
        return _refused(selector, ErrorCode.invalid_request, "A topic is deleted by its name or by its id.")
    if Counter(all_of_them)[selector] > 1:
        return _refused(selector, ErrorCode.invalid_request, "The topic is in the request more than once.")
    if not broker_config.effective(context.table.broker_configs).delete_topic_enable:
        is_known = context.head.api_version >= _FIRST_VERSION_WITH_DISABLED_ERROR
        code = ErrorCode.topic_deletion_disabled if is_known else ErrorCode.invalid_request
        return _refused(selector, code, "The broker setting delete.topic.enable is false.")
    return None


def _refused(selector: TopicSelector, code: ErrorCode, message: str) -> TopicResult:
    return TopicResult(name=selector.name or "", topic_id=selector.topic_id, error_code=code, error_message=message)


async def _delete(context: RequestContext, selectors: list[TopicSelector], timeout_ms: int) -> list[TopicResult]:
    try:
        results = await context.controller.delete_topics(selectors, timeout_ms=timeout_ms)
    except RetryError as error:
        return [_refused(selector, ErrorCode.request_timed_out, str(error)) for selector in selectors]
    gone = {result.topic_id for result in results if result.error_code == ErrorCode.none}
    services = context.services
    await shown(
        services.routes,
        services.clock,
        lambda table: not any(topic.topic_id in gone for topic in table.topics.values()),
    )
    return results
