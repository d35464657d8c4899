"""docs/compatibility.md says what is served, no more and no less."""

import pytest

from gateway.compatibility import DOCUMENT, document
from gateway.kafka_apis import KAFKA_APIS
from gateway.registry import served_apis
from raylog.protocol.wire import api_name, request_schema, response_schema


def test_the_page_is_what_the_handlers_say() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document(served_apis()), "Run python -m gateway.compatibility."


@pytest.mark.parametrize("api", KAFKA_APIS, ids=lambda api: api.name)
def test_each_api_of_kafka_is_served_or_has_a_reason(api) -> None:
    assert api.name == api_name(api.key)
    assert (api.key in served_apis()) == (api.unserved == "")


@pytest.mark.parametrize("api", served_apis().values(), ids=lambda api: api.name)
def test_each_served_version_can_be_read_and_written_and_is_kafkas(api) -> None:
    (kafka,) = [each for each in KAFKA_APIS if each.key == api.key]
    assert kafka.versions[0] <= api.min_version <= api.max_version <= kafka.versions[1]
    for version in range(api.min_version, api.max_version + 1):
        assert request_schema(api.key, version)
        assert response_schema(api.key, version)
