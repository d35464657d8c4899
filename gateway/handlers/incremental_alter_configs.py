"""IncrementalAlterConfigs (key 44), versions 0-1: KIP-339. For topics and brokers.

Left out: broker loggers, client metrics and groups, which have no settings here.
"""

from typing import Any, Final

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from gateway.config_alteration import alter
from gateway.context import RequestContext
from gateway.messages import response_types
from gateway.registry import handles
from raylog.model.admin import ConfigChange
from raylog.protocol.wire import NO_THROTTLE, i8

_KEY: Final = 44


@handles(_KEY, 0, 1, left_out="resources other than topics and brokers have no settings here")
async def incremental_alter_configs(context: RequestContext, request: Any) -> Payload:
    asked = [
        (
            (int(resource.resource_type), str(resource.resource_name)),
            tuple(
                ConfigChange(key=config.name, op=config.config_operation, value=config.value)
                for config in resource.configs
            ),
        )
        for resource in request.resources
    ]
    results = await alter(context, asked, validate_only=request.validate_only)
    types = response_types(_KEY, context.head.api_version)
    response: Payload = types.IncrementalAlterConfigsResponse(
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
