"""The balance of load as a resource of DescribeConfigs, of a type of Raylog's own: one entry, whose value is JSON.

Kafka has no request for it, and any of Raylog's own would need a schema that no client has. The resource's name is empty, or the
partition that is to be explained, as ``topic:number``.
"""

import json
from typing import Final

from kio.schema.errors import ErrorCode

from gateway.config_resources import Fault
from gateway.context import RequestContext
from raylog.model.config_key import ConfigEntry, ConfigSource, ConfigType
from raylog.model.errors import RetryError

_DOCUMENTATION: Final = "Leaders' loads, what would move now and why, and why not more: see 'raylog balance'."


async def balance_report(context: RequestContext, name: str) -> tuple[Fault | None, list[ConfigEntry]]:
    topic, _, number = name.rpartition(":")
    if name and not _is_partition(context, topic, number):
        fault = f"There is no partition '{name}': it is written as topic:number."
        return (ErrorCode.unknown_topic_or_partition, fault), []
    try:
        seen = await context.controller.balance((topic, int(number)) if name else None)
    except RetryError as error:
        return (ErrorCode.request_timed_out, str(error)), []
    entry = ConfigEntry(
        name="balance",
        value=json.dumps(seen),
        source=ConfigSource.UNKNOWN,
        type=ConfigType.STRING,
        documentation=_DOCUMENTATION,
        read_only=True,
    )
    return None, [entry]


def _is_partition(context: RequestContext, topic: str, number: str) -> bool:
    route = context.table.topics.get(topic)
    return route is not None and number.isdecimal() and int(number) < len(route.partitions)
