"""CreateTopics (key 19), versions 2-7: KIP-464 (defaults), KIP-525 (settings in the answer), KIP-516 (topic ids).

The controller decides about names, counts and settings; here are the faults of the request itself. The answer waits
until this gateway's routes show the topics, so that the client's next request finds them.

Replica assignments are taken as the number of partitions: which broker serves a partition is the controller's choice.
"""

from collections import Counter
from typing import Any, Final

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from gateway.cluster_view import REPLICATION_FACTOR
from gateway.context import RequestContext
from gateway.messages import make, response_types
from gateway.registry import handles
from gateway.visibility import shown
from raylog.model import topic_config
from raylog.model.admin import NewTopic, TopicResult
from raylog.model.errors import RetryError
from raylog.protocol.wire import NO_THROTTLE, i8, i16, i32, to_ms, topic_name

_KEY: Final = 19


@handles(_KEY, 2, 7, left_out="replica assignments count partitions and place nothing: the controller places leaders")
async def create_topics(context: RequestContext, request: Any) -> Payload:
    repeated = {name for name, count in Counter(topic.name for topic in request.topics).items() if count > 1}
    results = [_fault(name, "The topic is in the request more than once.") for name in sorted(repeated)]
    new: list[NewTopic] = []
    for topic in request.topics:
        if topic.name in repeated:
            continue
        message = _message(topic)
        if message is not None:
            results.append(_fault(topic.name, message))
        else:
            new.append(_new_topic(topic))
    if new:
        results += await _create(context, new, request)
    types = response_types(_KEY, context.head.api_version)
    order = {topic.name: place for place, topic in enumerate(request.topics)}
    results.sort(key=lambda result: order.get(topic_name(result.name), len(order)))
    response: Payload = types.CreateTopicsResponse(
        throttle_time=NO_THROTTLE, topics=tuple(_result(context, result) for result in results)
    )
    return response


def _message(topic: Any) -> str | None:
    names = [config.name for config in topic.configs]
    return "A setting is in the request more than once." if len(set(names)) < len(names) else None


def _new_topic(topic: Any) -> NewTopic:
    return NewTopic(
        name=topic.name,
        partitions=topic.num_partitions,
        replication_factor=topic.replication_factor,
        assignments={each.partition_index: tuple(each.broker_ids) for each in topic.assignments},
        configs={config.name: config.value for config in topic.configs},
    )


async def _create(context: RequestContext, new: list[NewTopic], request: Any) -> list[TopicResult]:
    timeout_ms = max(0, to_ms(request.timeout))
    try:
        results = await context.controller.create_topics(
            new, validate_only=request.validate_only, timeout_ms=timeout_ms
        )
    except RetryError as error:
        return [
            TopicResult(name=topic.name, error_code=ErrorCode.request_timed_out, error_message=str(error))
            for topic in new
        ]
    if not request.validate_only:
        created = [result.name for result in results if result.error_code == ErrorCode.none]
        services = context.services
        await shown(services.routes, services.clock, lambda table: all(name in table.topics for name in created))
    return results


def _fault(name: str, message: str) -> TopicResult:
    return TopicResult(name=name, error_code=ErrorCode.invalid_request, error_message=message)


def _result(context: RequestContext, result: TopicResult) -> Any:
    types = response_types(_KEY, context.head.api_version)
    is_made = result.error_code == ErrorCode.none
    return make(
        types.CreatableTopicResult,
        {
            "name": topic_name(result.name),
            "topic_id": result.topic_id,
            "error_code": ErrorCode(result.error_code),
            "error_message": result.error_message,
            "num_partitions": i32(result.partitions if is_made else -1),
            "replication_factor": i16(REPLICATION_FACTOR if is_made else -1),
            "configs": _configs(context, result) if is_made else (),
        },
    )


def _configs(context: RequestContext, result: TopicResult) -> tuple[Any, ...]:
    types = response_types(_KEY, context.head.api_version)
    if not hasattr(types, "CreatableTopicConfigs"):
        return ()
    return tuple(
        types.CreatableTopicConfigs(
            name=entry.name,
            value=entry.value,
            read_only=entry.read_only,
            config_source=i8(entry.source),
            is_sensitive=entry.sensitive,
        )
        for entry in topic_config.describe(
            result.configs, context.table.dynamic_broker_configs, context.table.static_broker_configs
        )
    )
