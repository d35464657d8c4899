"""kafkajs, a client in pure JavaScript; the scenarios are in ``node/``."""

import pytest

pytestmark = pytest.mark.timeout(600)  # the first one also fetches and builds


@pytest.mark.parametrize(
    "scenario",
    [
        "plain and gzip messages round trip through a group",
        "keys, headers, nulls and timestamps are kept",
        "an idempotent producer, acks 0 and acks 1",
        "a topic is created by its first producer",
        "a group resumes where it committed, and two members share a topic",
        "the admin client manages topics, configs, offsets, records and groups",
    ],
)
def test_round_trip(node_clients, scenario: str) -> None:
    node_clients(scenario)
