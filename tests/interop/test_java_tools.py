"""Kafka's own tools do their work against Raylog, unchanged and without a special setting."""

import json
import re

import pytest

pytestmark = pytest.mark.timeout(300)


def test_topics_are_created_listed_described_grown_and_deleted(tool) -> None:
    tool("kafka-topics", "--create", "--topic", "made-by-java", "--partitions", "3", "--config", "retention.ms=3600000")
    assert "made-by-java" in tool("kafka-topics", "--list").split()

    tool("kafka-topics", "--alter", "--topic", "made-by-java", "--partitions", "5")
    described = tool("kafka-topics", "--describe", "--topic", "made-by-java")
    assert "PartitionCount: 5" in described
    assert "retention.ms=3600000" in described
    assert described.count("Leader: ") == 5

    tool("kafka-topics", "--delete", "--topic", "made-by-java")
    assert "made-by-java" not in tool("kafka-topics", "--list").split()


def test_configs_are_altered_and_described(tool) -> None:
    tool("kafka-topics", "--create", "--topic", "configured", "--partitions", "1")
    entity = ("--entity-type", "topics", "--entity-name", "configured")

    tool("kafka-configs", "--alter", *entity, "--add-config", "max.message.bytes=2000000,cleanup.policy=compact")
    described = tool("kafka-configs", "--describe", *entity)
    assert "max.message.bytes=2000000" in described
    assert "cleanup.policy=compact" in described

    tool("kafka-configs", "--alter", *entity, "--delete-config", "cleanup.policy")
    assert "cleanup.policy=compact" not in tool("kafka-configs", "--describe", *entity)
    assert "num.partitions" in tool(
        "kafka-configs", "--describe", "--all", "--entity-type", "brokers", "--entity-name", "1"
    )


def test_the_performance_tools_move_every_record(tool, bootstrap) -> None:
    tool("kafka-topics", "--create", "--topic", "performance", "--partitions", "4")
    printed = tool(
        "kafka-producer-perf-test",
        *("--topic", "performance", "--num-records", "100000", "--record-size", "1000", "--throughput", "-1"),
        *("--producer-props", f"bootstrap.servers={bootstrap}", "compression.type=lz4"),
        address_option="",
    )
    assert "100000 records sent" in printed

    assert (
        sum(map(int, re.findall(r"performance:\d+:(\d+)", tool("kafka-get-offsets", "--topic", "performance"))))
        == 100_000
    )

    printed = tool("kafka-consumer-perf-test", "--topic", "performance", "--messages", "100000", "--timeout", "60000")
    rows = [line.split(", ") for line in printed.splitlines() if re.match(r"\d{4}-\d\d-\d\d ", line)]
    assert int(rows[-1][4]) >= 100_000


def test_the_verifiable_clients_and_the_groups_tool(tool) -> None:
    tool("kafka-topics", "--create", "--topic", "verified", "--partitions", "3")
    printed = tool("kafka-verifiable-producer", "--topic", "verified", "--max-messages", "5000", "--acks", "-1")
    events = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert sum(event["name"] == "producer_send_success" for event in events) == 5000

    printed = tool(
        "kafka-verifiable-consumer",
        *("--topic", "verified", "--group-id", "verifiers", "--max-messages", "5000", "--reset-policy", "earliest"),
    )
    events = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert sum(event["count"] for event in events if event["name"] == "records_consumed") == 5000

    assert "verifiers" in tool("kafka-consumer-groups", "--list").split()
    described = tool("kafka-consumer-groups", "--describe", "--group", "verifiers")
    lags = [line.split()[5] for line in described.splitlines() if line.startswith("verifiers")]
    assert lags
    assert set(lags) == {"0"}

    tool(
        "kafka-consumer-groups",
        *("--reset-offsets", "--group", "verifiers", "--topic", "verified", "--to-earliest", "--execute"),
    )
    described = tool("kafka-consumer-groups", "--describe", "--group", "verifiers", "--offsets")
    assert sum(int(line.split()[5]) for line in described.splitlines() if line.startswith("verifiers")) == 5000
    tool("kafka-consumer-groups", "--delete", "--group", "verifiers")
    assert "verifiers" not in tool("kafka-consumer-groups", "--list").split()


def test_records_are_deleted_and_log_dirs_described(tool, tmp_path) -> None:
    tool("kafka-topics", "--create", "--topic", "shortened", "--partitions", "1")
    tool("kafka-verifiable-producer", "--topic", "shortened", "--max-messages", "100")
    offsets = tmp_path / "offsets.json"
    offsets.write_text(
        json.dumps({"version": 1, "partitions": [{"topic": "shortened", "partition": 0, "offset": 40}]}),
        encoding="utf-8",
    )
    tool("kafka-delete-records", "--offset-json-file", str(offsets))
    assert "shortened:0:40" in tool("kafka-get-offsets", "--topic", "shortened", "--time", "earliest")
    assert "shortened-0" in tool("kafka-log-dirs", "--describe", "--topic-list", "shortened")


def test_the_broker_shows_its_api_versions(tool) -> None:
    printed = tool("kafka-broker-api-versions")
    assert re.search(r"Produce\(0\): 0 to 1\d", printed)
    assert re.search(r"Fetch\(1\): 4 to 1\d", printed)


def test_partitions_are_reassigned_and_leaders_elected(tool, tmp_path) -> None:
    """With one broker there is nowhere to go: the tools find all done."""
    tool("kafka-topics", "--create", "--topic", "reassigned", "--partitions", "2")
    plan = tmp_path / "plan.json"
    partitions = [{"topic": "reassigned", "partition": number, "replicas": [1]} for number in (0, 1)]
    plan.write_text(json.dumps({"version": 1, "partitions": partitions}), encoding="utf-8")
    reassign = ("kafka-reassign-partitions", "--reassignment-json-file", str(plan))
    assert "Successfully started partition reassignments for reassigned-0,reassigned-1" in tool(*reassign, "--execute")
    verified = tool(*reassign, "--verify", "--preserve-throttles")
    assert verified.count("is completed") == 2
    assert "No partition reassignments found." in tool("kafka-reassign-partitions", "--list")
    election = ("kafka-leader-election", "--election-type", "preferred")
    elected = tool(*election, "--topic", "reassigned", "--partition", "0")
    assert "Valid replica already elected for partitions reassigned-0" in elected
    tool(*election, "--all-topic-partitions")
