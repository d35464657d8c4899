"""Kafka's own Java clients and Kafka Streams, with their default settings; the scenarios are in ``java/``."""

import pytest

pytestmark = pytest.mark.timeout(600)  # the first one also fetches and builds


@pytest.mark.parametrize(
    "scenario",
    [
        "compressions",
        "positions",
        "cooperative-group",
        "static-member",
        "admin-topics",
        "admin-groups",
        "refusals",
        "streams",
    ],
)
def test_round_trip(java_clients, scenario: str) -> None:
    java_clients(scenario)
