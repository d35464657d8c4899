"""DescribeConfigs (key 32), versions 1-4: KIP-133, KIP-226 (synonyms), KIP-569 (types and documentation).

For topics and brokers. A broker shows the cluster's settings and the facts of the gateway that answers. A resource of the type
``BALANCE_RESOURCE``, which is Raylog's own, shows the balance of load (``gateway.balance_report``).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from gateway.balance_report import balance_report
from gateway.config_resources import Fault, ResourceType, resource_fault
from gateway.context import RequestContext
from gateway.messages import make, response_types
from gateway.registry import handles
from raylog.model import broker_config, topic_config
from raylog.model.admin import BALANCE_RESOURCE
from raylog.model.config_key import ConfigEntry
from raylog.protocol.wire import NO_THROTTLE, i8

_KEY: Final = 32


@handles(_KEY, 1, 4, left_out="resources other than topics and brokers have no settings here")
async def describe_configs(context: RequestContext, request: Any) -> Payload:
    types = response_types(_KEY, context.head.api_version)
    results = [await _result(context, request, each) for each in request.resources]
    response: Payload = types.DescribeConfigsResponse(throttle_time=NO_THROTTLE, results=tuple(results))
    return response


async def _result(context: RequestContext, request: Any, resource: Any) -> Any:
    types = response_types(_KEY, context.head.api_version)
    entries: Sequence[ConfigEntry] = []
    fault: Fault | None
    if resource.resource_type == BALANCE_RESOURCE:
        fault, entries = await balance_report(context, resource.resource_name)
    else:
        fault = resource_fault(context, resource.resource_type, resource.resource_name)
        entries = [] if fault is not None else _entries(context, resource)
    return types.DescribeConfigsResult(
        error_code=ErrorCode.none if fault is None else fault[0],
        error_message=None if fault is None else fault[1],
        resource_type=i8(resource.resource_type),
        resource_name=resource.resource_name,
        configs=tuple(_config(context, request, entry) for entry in entries),
    )


def _entries(context: RequestContext, resource: Any) -> Sequence[ConfigEntry]:
    table = context.table
    if resource.resource_type == ResourceType.TOPIC:
        topic = table.topics[resource.resource_name]
        entries = topic_config.describe(topic.configs, table.dynamic_broker_configs, table.static_broker_configs)
    elif resource.resource_name:
        facts = {**table.static_broker_configs, **_facts(context, int(resource.resource_name))}
        entries = broker_config.describe(table.dynamic_broker_configs, facts)
    else:
        entries = broker_config.describe_cluster_defaults(table.dynamic_broker_configs)
    wanted = resource.configuration_keys
    return [entry for entry in entries if wanted is None or entry.name in wanted]


def _facts(context: RequestContext, broker_id: int) -> Mapping[str, str]:
    """The broker's own values. Limits are this gateway's: a cluster's gateways are configured alike."""
    services, limits = context.services, context.services.limits
    known = (*context.table.brokers, services.broker)
    broker = next(broker for broker in known if broker.broker_id == broker_id)
    address = f"PLAINTEXT://{broker.host}:{broker.port}"
    facts = {
        "broker.id": str(broker_id),
        "node.id": str(broker_id),
        "listeners": address,
        "advertised.listeners": address,
        "socket.request.max.bytes": str(limits.request_bytes_max),
        "max.connections": str(limits.connections_max),
        "connections.max.idle.ms": str(round(limits.connection_idle_s_max * 1000)),
        "fetch.max.bytes": str(limits.fetch_bytes_max),
    }
    return facts if broker.rack is None else facts | {"broker.rack": broker.rack}


def _config(context: RequestContext, request: Any, entry: ConfigEntry) -> Any:
    types = response_types(_KEY, context.head.api_version)
    synonyms = tuple(
        types.DescribeConfigsSynonym(name=synonym.name, value=synonym.value, source=i8(synonym.source))
        for synonym in (entry.synonyms if request.include_synonyms else ())
    )
    shows_documentation = getattr(request, "include_documentation", False)
    return make(
        types.DescribeConfigsResourceResult,
        {
            "name": entry.name,
            "value": None if entry.sensitive else entry.value,
            "read_only": entry.read_only,
            "config_source": i8(entry.source),
            "is_sensitive": entry.sensitive,
            "synonyms": synonyms,
            "config_type": i8(entry.type),
            "documentation": entry.documentation if shows_documentation else None,
        },
    )
