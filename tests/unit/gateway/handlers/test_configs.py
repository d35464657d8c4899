"""Settings as admin tools see and change them."""

import asyncio

import pytest
from kio.schema.errors import ErrorCode

from gateway import config_alteration
from gateway.messages import request_types
from raylog.model.admin import ConfigChange
from raylog.model.broker_config import BROKER_CONFIGS
from raylog.model.topic_config import TOPIC_CONFIGS

DESCRIBE, ALTER, INCREMENTAL, LIST = 32, 33, 44, 74
TOPIC, BROKER = 2, 4


async def describe(desk, version: int, *resources, synonyms: bool = False, documentation: bool = False):
    types = request_types(DESCRIBE, version)
    asked = tuple(
        types.DescribeConfigsResource(resource_type=kind, resource_name=name, configuration_keys=keys)
        for kind, name, keys in resources
    )
    return await desk.ask(
        DESCRIBE, version, resources=asked, include_synonyms=synonyms, include_documentation=documentation
    )


@pytest.mark.parametrize("version", range(1, 5))
async def test_all_settings_of_a_topic(desk, version: int) -> None:
    (result,) = (await describe(desk, version, (TOPIC, "alpha", None), synonyms=True, documentation=True)).results
    assert (result.error_code, result.resource_type, result.resource_name) == (ErrorCode.none, TOPIC, "alpha")
    configs = {config.name: config for config in result.configs}
    assert set(configs) == set(TOPIC_CONFIGS)
    retention = configs["retention.ms"]
    assert (retention.value, retention.config_source, retention.read_only, retention.is_sensitive) == (
        "5000",
        1,
        False,
        False,
    )
    assert [(s.name, s.value, s.source) for s in retention.synonyms] == [
        ("retention.ms", "5000", 1),
        ("log.retention.ms", "604800000", 5),
    ]
    if version >= 3:
        assert retention.config_type == 5
        assert all(config.documentation for config in result.configs)


async def test_only_what_is_asked_for(desk) -> None:
    (result,) = (await describe(desk, 4, (TOPIC, "alpha", ("retention.ms", "no.such.setting")))).results
    (config,) = result.configs
    assert (config.name, config.synonyms, config.documentation) == ("retention.ms", (), None)


async def test_a_clusters_setting_is_a_topics_default(desk) -> None:
    desk.controller.change(broker_configs={"message.max.bytes": "99"})
    (result,) = (await describe(desk, 4, (TOPIC, "alpha", ("max.message.bytes",)))).results
    assert [(config.value, config.config_source) for config in result.configs] == [("99", 3)]


async def test_settings_of_a_broker(desk) -> None:
    desk.controller.change(broker_configs={"num.partitions": "6"})
    (result,) = (await describe(desk, 4, (BROKER, "2", None))).results
    configs = {config.name: config for config in result.configs}
    assert set(configs) == set(BROKER_CONFIGS)
    assert (configs["num.partitions"].value, configs["num.partitions"].config_source) == ("6", 3)
    assert (configs["node.id"].value, configs["node.id"].read_only) == ("2", True)
    assert configs["advertised.listeners"].value == "PLAINTEXT://two.example:9093"
    assert configs["socket.request.max.bytes"].value == "104857600"
    (default,) = (await describe(desk, 4, (BROKER, "", None))).results
    assert [config.name for config in default.configs] == ["num.partitions"]


async def test_settings_of_the_configuration_file_are_static(desk) -> None:
    file = {"num.partitions": "6", "message.max.bytes": "99"}
    desk.controller.change(broker_configs={**file, "num.partitions": "7"}, static_broker_configs=file)
    (broker, topic, default) = (
        await describe(desk, 4, (BROKER, "2", None), (TOPIC, "alpha", ("max.message.bytes",)), (BROKER, "", None))
    ).results
    found = {config.name: (config.value, config.config_source) for config in broker.configs}
    assert (found["num.partitions"], found["message.max.bytes"]) == (("7", 3), ("99", 4))
    assert [(config.value, config.config_source) for config in topic.configs] == [("99", 4)]
    assert [(config.name, config.value) for config in default.configs] == [("num.partitions", "7")]


async def test_a_setting_taken_back_is_shown_by_the_configuration_files_value(desk) -> None:
    file = {"num.partitions": "6"}
    desk.controller.change(broker_configs={"num.partitions": "7"}, static_broker_configs=file)
    done = [((BROKER, ""), (ConfigChange(key="num.partitions", op=1, value=None),))]
    assert not config_alteration._shows(desk.routes.table, done)
    answer = await increment(desk, 1, (BROKER, "", [("num.partitions", 1, None)]))
    assert answer.responses[0].error_code is ErrorCode.none
    assert desk.routes.table.broker_configs == file
    assert config_alteration._shows(desk.routes.table, done)


@pytest.mark.parametrize(
    ("kind", "name", "code"),
    [
        (TOPIC, "nobody", ErrorCode.unknown_topic_or_partition),
        (TOPIC, "a b", ErrorCode.invalid_topic_exception),
        (BROKER, "77", ErrorCode.invalid_request),
        (BROKER, "one", ErrorCode.invalid_request),
        (8, "1", ErrorCode.invalid_request),
        (16, "m", ErrorCode.invalid_request),
        (32, "g", ErrorCode.invalid_request),
        (3, "x", ErrorCode.invalid_request),
        (-1, "x", ErrorCode.invalid_request),
    ],
)
async def test_a_resource_without_settings(desk, kind: int, name: str, code: ErrorCode) -> None:
    described, altered = await describe(desk, 4, (kind, name, None)), await increment(desk, 1, (kind, name, []))
    for result in (*described.results, *altered.responses):
        assert (result.error_code, result.resource_type, result.resource_name) == (code, kind, name)
        assert result.error_message.endswith(".")
    assert desk.controller.calls == []


async def increment(desk, version: int, *resources, validate_only: bool = False):
    types = request_types(INCREMENTAL, version)
    asked = tuple(
        types.AlterConfigsResource(
            resource_type=kind,
            resource_name=name,
            configs=tuple(
                types.AlterableConfig(name=key, config_operation=operation, value=value)
                for key, operation, value in changes
            ),
        )
        for kind, name, changes in resources
    )
    return await desk.ask(INCREMENTAL, version, resources=asked, validate_only=validate_only)


@pytest.mark.parametrize("version", [0, 1])
async def test_incremental_changes(desk, version: int) -> None:
    answer = await increment(
        desk,
        version,
        (TOPIC, "alpha", [("retention.ms", 1, None), ("cleanup.policy", 2, "compact"), ("flush.ms", 0, "9")]),
        (TOPIC, "beta", [("retention.ms", 0, "many")]),
        (BROKER, "1", [("num.partitions", 0, "6")]),
        (BROKER, "", [("num.partitions", 0, "6")]),
    )
    assert [(r.resource_name, r.error_code) for r in answer.responses] == [
        ("alpha", ErrorCode.none),
        ("beta", ErrorCode.invalid_config),
        ("1", ErrorCode.none),
        ("", ErrorCode.none),
    ]
    table = desk.routes.table
    assert table.topics["alpha"].configs == {"cleanup.policy": "delete,compact", "flush.ms": "9"}
    assert table.topics["beta"].configs == {}
    assert table.broker_configs == {"num.partitions": "6"}


async def test_a_resource_named_twice_is_refused(desk) -> None:
    answer = await increment(desk, 1, *[(TOPIC, "alpha", [("flush.ms", 0, "9")])] * 2)
    assert [r.error_code for r in answer.responses] == [ErrorCode.invalid_request]
    assert desk.controller.calls == []


async def test_the_answer_waits_until_this_gateway_shows_the_change(desk) -> None:
    desk.controller.publishes = False
    answer = asyncio.ensure_future(increment(desk, 1, (TOPIC, "alpha", [("flush.ms", 0, "9")])))
    await desk.controller.has_changed.wait()
    assert not answer.done()
    desk.controller.publish()
    assert [r.error_code for r in (await answer).responses] == [ErrorCode.none]


async def test_validation_only_changes_nothing(desk) -> None:
    answer = await increment(desk, 1, (TOPIC, "alpha", [("flush.ms", 0, "9")]), validate_only=True)
    assert [r.error_code for r in answer.responses] == [ErrorCode.none]
    assert desk.routes.table.topics["alpha"].configs == {"retention.ms": "5000"}


@pytest.mark.parametrize("version", range(3))
async def test_the_older_api_replaces_all_settings(desk, version: int) -> None:
    types = request_types(ALTER, version)
    resource = types.AlterConfigsResource(
        resource_type=TOPIC,
        resource_name="alpha",
        configs=(types.AlterableConfig(name="flush.ms", value="9"),),
    )
    answer = await desk.ask(ALTER, version, resources=(resource,), validate_only=False)
    assert [(r.error_code, r.resource_name) for r in answer.responses] == [(ErrorCode.none, "alpha")]
    assert desk.routes.table.topics["alpha"].configs == {"flush.ms": "9"}


async def test_a_controller_that_stays_away_is_a_time_out(desk) -> None:
    desk.controller.is_away = True
    answer = await increment(desk, 1, (TOPIC, "alpha", [("flush.ms", 0, "9")]))
    assert [r.error_code for r in answer.responses] == [ErrorCode.request_timed_out]


async def test_resources_are_listed(desk) -> None:
    async def listed(version: int, *kinds: int):
        answer = await desk.ask(LIST, version, resource_types=kinds)
        return answer.error_code, {
            (getattr(r, "resource_type", 16), getattr(r, "resource_name", "")) for r in answer.config_resources
        }

    assert await listed(0) == (ErrorCode.none, set())
    brokers, topics = {(BROKER, "1"), (BROKER, "2")}, {(TOPIC, "alpha"), (TOPIC, "beta")}
    assert await listed(1) == (ErrorCode.none, brokers | topics)
    assert await listed(1, TOPIC) == (ErrorCode.none, topics)
    assert await listed(1, TOPIC, 99) == (ErrorCode.unsupported_version, set())
