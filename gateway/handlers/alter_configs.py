"""AlterConfigs (key 33), versions 0-2: KIP-133, superseded by IncrementalAlterConfigs but still what older admin
clients send.

The request's settings replace all that a resource has: what it does not name is deleted. As in Kafka, a change that
comes between reading and replacing is lost.
"""

from typing import Any, Final

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from gateway.config_alteration import Resource, alter, own_settings
from gateway.context import RequestContext
from gateway.messages import response_types
from gateway.registry import handles
from raylog.model.admin import ConfigChange
from raylog.model.config_changes import DELETE, SET
from raylog.protocol.wire import NO_THROTTLE, i8

_KEY: Final = 33


@handles(_KEY, 0, 2, left_out="resources other than topics and brokers have no settings here")
async def alter_configs(context: RequestContext, request: Any) -> Payload:
    asked = [
        (resource, _changes(context, resource, each.configs))
        for each in request.resources
        for resource in [(int(each.resource_type), str(each.resource_name))]
    ]
    results = await alter(context, asked, validate_only=request.validate_only)
    types = response_types(_KEY, context.head.api_version)
    response: Payload = types.AlterConfigsResponse(
        throttle_time=NO_THROTTLE,
        responses=tuple(
            types.AlterConfigsResourceResponse(
                error_code=ErrorCode(result.error_code),
                error_message=result.error_message,
                resource_type=i8(kind),
                resource_name=name,
            )
            for (kind, name), result in results.items()
        ),
    )
    return response


def _changes(context: RequestContext, resource: Resource, configs: Any) -> tuple[ConfigChange, ...]:
    wanted = [ConfigChange(key=config.name, op=SET, value=config.value) for config in configs]
    named = {change.key for change in wanted}
    unwanted = own_settings(context.table, resource).keys() - named
    return (*wanted, *(ConfigChange(key=name, op=DELETE, value=None) for name in sorted(unwanted)))
