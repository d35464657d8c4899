"""The balance of load, as DescribeConfigs shows it under Raylog's own resource type."""

import json

import pytest
from kio.schema.errors import ErrorCode

from gateway.messages import request_types
from raylog.model.admin import BALANCE_RESOURCE
from raylog.protocol.wire import i8

DESCRIBE = 32


async def described(desk, name: str, version: int = 4):
    types = request_types(DESCRIBE, version)
    resource = types.DescribeConfigsResource(
        resource_type=i8(BALANCE_RESOURCE), resource_name=name, configuration_keys=None
    )
    fields = {"include_documentation": True} if version >= 3 else {}
    answer = await desk.ask(DESCRIBE, version, resources=(resource,), include_synonyms=True, **fields)
    [result] = answer.results
    return result


@pytest.mark.parametrize("version", range(1, 5))
async def test_it_is_one_setting_that_nobody_can_set(desk, version: int) -> None:
    result = await described(desk, "", version)
    assert result.error_code is ErrorCode.none
    [config] = result.configs
    assert (config.name, json.loads(config.value), config.read_only) == ("balance", {"leaders": []}, True)


async def test_a_partition_is_asked_for_by_topic_and_number(desk) -> None:
    assert (await described(desk, "alpha:0")).error_code is ErrorCode.none
    assert desk.controller.calls[-1] == ("balance", ("alpha", 0))


@pytest.mark.parametrize("name", ["alpha", "alpha:99", "alpha:x", "none:0", ":"])
async def test_a_partition_that_is_not_there_is_told(desk, name: str) -> None:
    result = await described(desk, name)
    assert result.error_code is ErrorCode.unknown_topic_or_partition
    assert result.error_message == f"There is no partition '{name}': it is written as topic:number."


async def test_without_the_controller_it_has_to_be_asked_again(desk) -> None:
    desk.controller.is_away = True
    assert (await described(desk, "")).error_code is ErrorCode.request_timed_out
