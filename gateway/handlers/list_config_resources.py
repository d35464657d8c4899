"""ListConfigResources (key 74), versions 0-1: KIP-714 (v0: client metrics only, of which there are none), KIP-1142
(v1)."""

from collections.abc import Iterable
from typing import Any, Final

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from gateway.config_resources import ResourceType
from gateway.context import RequestContext
from gateway.messages import make, response_types
from gateway.registry import handles
from raylog.protocol.wire import NO_THROTTLE, i8

_KEY: Final = 74
_ALL: Final = tuple(ResourceType)


@handles(_KEY, 0, 1)
def list_config_resources(context: RequestContext, request: Any) -> Payload:
    types = response_types(_KEY, context.head.api_version)
    asked = getattr(request, "resource_types", (ResourceType.CLIENT_METRICS,)) or _ALL
    is_known = all(kind in _ALL for kind in asked)
    found = [(kind, name) for kind in asked for name in _names(context, kind)] if is_known else []
    response: Payload = types.ListConfigResourcesResponse(
        throttle_time=NO_THROTTLE,
        error_code=ErrorCode.none if is_known else ErrorCode.unsupported_version,
        config_resources=tuple(
            make(types.ConfigResource, {"resource_name": name, "resource_type": i8(kind)}) for kind, name in found
        ),
    )
    return response


def _names(context: RequestContext, kind: int) -> Iterable[str]:
    if kind == ResourceType.TOPIC:
        return context.table.topics
    if kind == ResourceType.BROKER:
        return (str(broker.broker_id) for broker in context.table.brokers)
    return ()
