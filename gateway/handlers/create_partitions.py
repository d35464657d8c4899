"""CreatePartitions (key 37), versions 0-3: KIP-195. Raises topics' partition counts.

Assignments only have to have the right length: which broker serves a partition is the controller's choice. The answer
waits until this gateway's routes show the new partitions with their leaders, so that the next Metadata finds them.
"""

from collections import Counter
from typing import Any, Final

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from gateway.context import RequestContext
from gateway.messages import response_types
from gateway.registry import handles
from gateway.visibility import is_led, shown
from raylog.model.admin import TopicResult
from raylog.model.errors import RetryError
from raylog.model.routing import RoutingTable
from raylog.protocol.wire import NO_THROTTLE, to_ms, topic_name

_KEY: Final = 37


@handles(_KEY, 0, 3, left_out="assignments place nothing: the controller places leaders")
async def create_partitions(context: RequestContext, request: Any) -> Payload:
    repeated = {name for name, count in Counter(topic.name for topic in request.topics).items() if count > 1}
    results: dict[str, TopicResult] = {}
    counts: dict[str, int] = {}
    for topic in request.topics:
        fault = _fault(context, topic, is_repeated=topic.name in repeated)
        if fault is not None:
            results[topic.name] = fault
        else:
            counts[topic.name] = topic.count
    if counts:
        results |= {result.name: result for result in await _create(context, counts, request)}
    types = response_types(_KEY, context.head.api_version)
    response: Payload = types.CreatePartitionsResponse(
        throttle_time=NO_THROTTLE,
        results=tuple(
            types.CreatePartitionsTopicResult(
                name=topic_name(result.name),
                error_code=ErrorCode(result.error_code),
                error_message=result.error_message,
            )
            for result in results.values()
        ),
    )
    return response


def _fault(context: RequestContext, topic: Any, *, is_repeated: bool) -> TopicResult | None:
    if is_repeated:
        return _refused(topic.name, ErrorCode.invalid_request, "The topic is in the request more than once.")
    there = context.table.topics.get(topic.name)
    if there is None:
        return None
    added = topic.count - len(there.partitions)
    if topic.assignments is not None and added > 0 and len(topic.assignments) != added:
        message = f"{len(topic.assignments)} assignments were given for {added} new partitions."
        return _refused(topic.name, ErrorCode.invalid_replica_assignment, message)
    return None


def _refused(name: str, code: ErrorCode, message: str) -> TopicResult:
    return TopicResult(name=name, error_code=code, error_message=message)


async def _create(context: RequestContext, counts: dict[str, int], request: Any) -> list[TopicResult]:
    try:
        results = await context.controller.create_partitions(
            counts, validate_only=request.validate_only, timeout_ms=max(0, to_ms(request.timeout))
        )
    except RetryError as error:
        return [_refused(name, ErrorCode.request_timed_out, str(error)) for name in counts]
    grown = [result.name for result in results if result.error_code == ErrorCode.none]

    def has_grown(table: RoutingTable) -> bool:
        return all(
            name not in table.topics or (len(table.topics[name].partitions) >= counts[name] and is_led(table, name))
            for name in grown
        )

    if not request.validate_only:
        await shown(context.services.routes, context.services.clock, has_grown)
    return results
