"""Altering settings: the half that IncrementalAlterConfigs and AlterConfigs share.

Faults of the request are found here; values are judged by the controller, which keeps them. Raylog has no settings of a
single broker: what is set for one is set for all.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from kio.schema.errors import ErrorCode

from gateway.config_resources import ResourceType, resource_fault
from gateway.context import RequestContext
from gateway.visibility import shown
from raylog.model.admin import ConfigAlteration, ConfigChange, ConfigResult
from raylog.model.config_changes import DELETE
from raylog.model.errors import RetryError
from raylog.model.routing import RoutingTable

Resource = tuple[int, str]
"""Type and name, as the client gave them."""


async def alter(
    context: RequestContext, asked: Sequence[tuple[Resource, tuple[ConfigChange, ...]]], *, validate_only: bool
) -> dict[Resource, ConfigResult]:
    """One result for each resource, whether it went well or not."""
    times = Counter(resource for resource, _ in asked)
    results: dict[Resource, ConfigResult] = {}
    good: list[tuple[Resource, tuple[ConfigChange, ...]]] = []
    for resource, changes in asked:
        if times[resource] > 1:
            message = "The resource is in the request more than once."
            results[resource] = _refused(resource, ErrorCode.invalid_request, message)
        elif (fault := resource_fault(context, *resource)) is not None:
            results[resource] = _refused(resource, *fault)
        else:
            good.append((resource, changes))
    if good:
        results |= await _ask_controller(context, good, validate_only=validate_only)
    return results


async def _ask_controller(
    context: RequestContext, good: Sequence[tuple[Resource, tuple[ConfigChange, ...]]], *, validate_only: bool
) -> dict[Resource, ConfigResult]:
    alterations = [
        ConfigAlteration(resource_type=kind, name="" if kind == ResourceType.BROKER else name, changes=changes)
        for (kind, name), changes in good
    ]
    try:
        answers = await context.controller.alter_configs(alterations, validate_only=validate_only)
    except RetryError as error:
        return {resource: _refused(resource, ErrorCode.request_timed_out, str(error)) for resource, _ in good}
    results = {resource: answer for (resource, _), answer in zip(good, answers, strict=True)}
    if not validate_only:
        done = [(resource, changes) for resource, changes in good if results[resource].error_code == ErrorCode.none]
        await shown(context.services.routes, context.services.clock, lambda table: _shows(table, done))
    return results


def _shows(table: RoutingTable, done: Sequence[tuple[Resource, tuple[ConfigChange, ...]]]) -> bool:
    """Whether the routes have the settings that were set or deleted; lists that were added to are taken to come
    along."""
    return all(
        change.op not in (0, DELETE)
        or overrides.get(change.key) == (_below(table, resource, change.key) if change.op == DELETE else change.value)
        for resource, changes in done
        if (overrides := _overrides(table, resource)) is not None
        for change in changes
    )


def _below(table: RoutingTable, resource: Resource, key: str) -> str | None:
    """What a setting is without what was set through Kafka."""
    return table.static_broker_configs.get(key) if resource[0] == ResourceType.BROKER else None


def _overrides(table: RoutingTable, resource: Resource) -> Mapping[str, str] | None:
    kind, name = resource
    if kind == ResourceType.BROKER:
        return table.broker_configs
    topic = table.topics.get(name)
    return None if topic is None else topic.configs


def own_settings(table: RoutingTable, resource: Resource) -> Mapping[str, str]:
    """The settings that a resource has been given; none for one that is not there."""
    return _overrides(table, resource) or {}


def _refused(resource: Resource, code: ErrorCode, message: str) -> ConfigResult:
    return ConfigResult(resource_type=resource[0], name=resource[1], error_code=code, error_message=message)
