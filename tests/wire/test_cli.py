"""The data commands against a cluster, as a person or a script runs them."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from raylog.cli.main import run

Cli = Callable[..., str]


@pytest.fixture
def cli(shared_cluster: Any, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run a command line on the shared cluster; gives its standard output, or its error when it is to fail."""
    monkeypatch.setenv("RAYLOG_BOOTSTRAP_SERVER", shared_cluster.bootstrap)

    def run_cli(*arguments: str, stdin: bytes = b"", fails: bool = False) -> str:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfd.readouterr()
        code = run(arguments)
        captured = capfd.readouterr()
        assert (code != 0) == fails, captured
        return captured.err if fails else captured.out

    return run_cli


def of_name(found: list[dict[str, Any]], name: str, key: str = "name") -> dict[str, Any]:
    (one,) = (entry for entry in found if entry[key] == name)
    return one


def test_a_topics_life(cli: Cli) -> None:
    cli("topics", "create", "life", "--partitions", "3", "--config", "retention.ms=3600000", "--json")
    assert of_name(json.loads(cli("topics", "list", "--json")), "life") == {"name": "life", "partitions": 3}
    described = of_name(json.loads(cli("topics", "describe", "life", "--json")), "life")
    assert described["configs"] == {"retention.ms": "3600000"}
    assert len(described["id"]) > 10
    assert [row["partition"] for row in described["partitions"]] == [0, 1, 2]
    assert all(row["leader"] is not None and row["records"] == 0 for row in described["partitions"])

    assert "already exists" in cli("topics", "create", "life", fails=True)
    assert json.loads(cli("topics", "create", "life", "--if-not-exists", "--json")) == [
        {"name": "life", "created": False}
    ]

    cli("topics", "partitions", "life", "--count", "5")
    assert of_name(json.loads(cli("topics", "list", "--json")), "life")["partitions"] == 5
    assert "has 5 partitions, and Kafka never takes any away" in cli(
        "topics", "partitions", "life", "-n", "2", fails=True
    )

    assert "Add --yes" in cli("topics", "delete", "life", fails=True)
    cli("topics", "delete", "life", "--yes")
    assert "life" not in [topic["name"] for topic in json.loads(cli("topics", "list", "--json"))]
    assert "There is no topic 'life'" in cli("topics", "delete", "life", "--yes", fails=True)
    assert "There is no topic 'life'" in cli("topics", "describe", "life", fails=True)


def test_a_topics_settings(cli: Cli, new_topic: Callable[..., str]) -> None:
    topic = new_topic()
    assert json.loads(cli("topics", "configs", topic, "--json")) == []
    changed = json.loads(
        cli("topics", "configs", topic, "-s", "cleanup.policy=compact", "-s", "retention.ms=5", "--json")
    )
    assert {entry["name"]: entry["value"] for entry in changed} == {"cleanup.policy": "compact", "retention.ms": "5"}
    (left,) = json.loads(cli("topics", "configs", topic, "--unset", "cleanup.policy", "--json"))
    assert left == {"name": "retention.ms", "value": "5", "default": False}
    everything = {entry["name"]: entry for entry in json.loads(cli("topics", "configs", topic, "--all", "--json"))}
    assert everything["cleanup.policy"]["value"] == "delete"
    assert everything["cleanup.policy"]["default"]
    assert "raylog: " in cli("topics", "configs", topic, "--set", "no.such.setting=1", fails=True)
    assert "raylog: " in cli("topics", "configs", topic, "--set", "retention.ms=soon", fails=True)


def test_records_go_and_come(cli: Cli, new_topic: Callable[..., str]) -> None:
    topic = new_topic(partitions=3)
    stdin = "".join(f"k{number % 7}:v{number}\n" for number in range(500)).encode()
    written = json.loads(cli("produce", topic, "-K", ":", "--compression", "zstd", "--json", stdin=stdin))
    assert written["records"] == 500
    lines = cli("consume", topic, "--from-beginning", "--exit", "--format", r"%k %s\n").splitlines()
    assert sorted(lines) == sorted(f"k{number % 7} v{number}" for number in range(500))
    for key in range(7):
        own = [line for line in lines if line.startswith(f"k{key} ")]
        assert own == [f"k{key} v{number}" for number in range(500) if number % 7 == key]
    described = of_name(json.loads(cli("topics", "describe", topic, "--json")), topic)
    assert sum(row["records"] for row in described["partitions"]) == 500


def test_a_new_topic_is_made_by_the_first_record(cli: Cli) -> None:
    cli("produce", "made-on-first-use", stdin=b"x\n")
    assert cli("consume", "made-on-first-use", "--from-beginning", "--exit") == "x\n"


def test_a_group_goes_on_where_it_stopped_and_can_be_moved(cli: Cli, new_topic: Callable[..., str]) -> None:
    topic = new_topic(partitions=1)
    group = f"group-of-{topic}"
    cli("produce", topic, stdin=b"".join(b"%d\n" % number for number in range(10)))
    member = ("consume", topic, "--group", group, "--from-beginning")
    assert cli(*member, "--max", "4").split() == ["0", "1", "2", "3"]
    assert cli(*member, "--max", "2").split() == ["4", "5"]

    assert of_name(json.loads(cli("groups", "list", "--json")), group, "group")["state"] == "empty"
    described = of_name(json.loads(cli("groups", "describe", group, "--json")), group, "group")
    assert described["members"] == []
    assert described["offsets"] == [{"topic": topic, "partition": 0, "committed": 6, "end": 10, "lag": 4}]

    planned = json.loads(cli("groups", "reset-offsets", group, "--to", "earliest", "-t", topic, "--dry-run", "--json"))
    assert planned == [{"topic": topic, "partition": 0, "before": 6, "after": 0, "done": False}]
    for options, after in (
        (["--by", "-2", "--all-topics"], 4),
        (["--to", "latest", "-t", f"{topic}:0"], 10),
        (["--to", "3", "--all-topics"], 3),
        (["--to", "2001-01-01T00:00:00+00:00", "--all-topics"], 0),
        (["--to", "8", "--all-topics"], 8),
    ):
        (moved,) = json.loads(cli("groups", "reset-offsets", group, *options, "--json"))
        assert (moved["after"], moved["done"]) == (after, True)
    assert cli(*member, "--max", "2").split() == ["8", "9"]

    assert "no place to move offsets to" in cli(
        "groups", "reset-offsets", group, "--to", "noon", "--all-topics", fails=True
    )
    assert "has no partition '7'" in cli("groups", "reset-offsets", group, "--to", "1", "-t", f"{topic}:7", fails=True)
    cli("groups", "delete", group, "--yes")
    assert f"There is no consumer group '{group}'" in cli("groups", "delete", group, "--yes", fails=True)
    assert f"There is no consumer group '{group}'" in cli("groups", "describe", group, fails=True)


def test_status_shows_the_cluster(cli: Cli, shared_cluster: Any, new_topic: Callable[..., str]) -> None:
    topic = new_topic(partitions=2)
    cli("produce", topic, stdin=b"a\nb\nc\n")
    seen = json.loads(cli("status", "--json"))
    assert seen["cluster"]
    assert {broker["address"] for broker in seen["brokers"]} == set(shared_cluster.addresses)
    assert of_name(seen["topics"], topic) == {
        "name": topic,
        "partitions": 2,
        "records": 3,
        "appended": 3,
        "leaderless": 0,
    }
    assert seen["leaderless"] == 0
    shown = cli("status")
    assert topic in shown
    assert shared_cluster.bootstrap in shown


def test_tables_for_people(cli: Cli, new_topic: Callable[..., str]) -> None:
    topic = new_topic()
    cli("produce", topic, stdin=b"a\n")
    cli("consume", topic, "-g", f"{topic}-readers", "--from-beginning", "--max", "1")
    assert topic in cli("topics", "list")
    assert "end offset" in cli("topics", "describe", topic)
    assert "retention.ms" in cli("topics", "configs", topic, "--all")
    assert f"{topic}-readers" in cli("groups", "list")
    assert topic in cli("groups", "describe", f"{topic}-readers")


def test_move_gives_partitions_to_another_leader(cli: Cli, shared_cluster: Any, new_topic: Callable[..., str]) -> None:
    topic = new_topic(2)
    leaders = [shared_cluster.leader_of(topic, n) for n in (0, 1)]
    assert json.loads(cli("move", f"{topic}:0", "--to", str(leaders[1]), "--json")) == [
        {"topic": topic, "partition": 0, "leader": leaders[1]}
    ]
    assert [shared_cluster.leader_of(topic, n) for n in (0, 1)] == [leaders[1]] * 2
    assert topic in cli("move", topic, "--to", str(leaders[0]))
    assert [shared_cluster.leader_of(topic, n) for n in (0, 1)] == [leaders[0]] * 2
    assert json.loads(cli("status", "--json"))["moving"] == []
    assert "There is no leader 99: those of the topic's WAL class are " in cli("move", topic, "--to", "99", fails=True)
    assert "has no partition '7'" in cli("move", f"{topic}:7", "--to", "1", fails=True)
    assert "There is no topic 'nowhere'" in cli("move", "nowhere", "--to", "1", fails=True)
