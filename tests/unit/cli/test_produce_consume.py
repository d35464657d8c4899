"""What goes in by ``produce`` comes out by ``consume``, through real clients and librdkafka's mock cluster."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def lines_of(outcome: Any) -> list[str]:
    assert outcome.code == 0, outcome.err
    return sorted(outcome.out.splitlines())


def read_all(cli: Any, kafka: str, topic: str, *options: str) -> list[str]:
    return lines_of(cli("consume", topic, "-b", kafka, "--from-beginning", "--exit", *options))


def test_lines_come_back_as_they_went(cli: Any, mock_kafka: str) -> None:
    outcome = cli("produce", "lines", "-b", mock_kafka, stdin=b"one\n\ntwo words\nlast without end")
    assert outcome.code == 0
    assert outcome.err.startswith("Wrote 4 records (28 bytes) to 'lines' in ")
    assert read_all(cli, mock_kafka, "lines") == ["", "last without end", "one", "two words"]


def test_keys_from_lines_go_to_the_same_partition_in_order(cli: Any, mock_kafka: str) -> None:
    stdin = "".join(f"k{number % 5}|v{number}\n" for number in range(100)).encode()
    outcome = cli("produce", "keyed", "-b", mock_kafka, "--key-separator", "|", "--json", stdin=stdin)
    assert json.loads(outcome.out) == {
        "topic": "keyed",
        "records": 100,
        "bytes": 490,
        "seconds": pytest.approx(0, abs=60),
    }
    records = [json.loads(line) for line in read_all(cli, mock_kafka, "keyed", "--json")]
    by_key: dict[str, list[dict[str, Any]]] = {}
    for record in sorted(records, key=lambda record: (record["partition"], record["offset"])):
        by_key.setdefault(record["key"], []).append(record)
    assert len(by_key) == 5
    for key, found in by_key.items():
        assert len({record["partition"] for record in found}) == 1
        assert [record["value"] for record in found] == [f"v{n}" for n in range(100) if f"k{n % 5}" == key]


@pytest.mark.parametrize("separator", [r"\t", "\t", "::"])
def test_a_separator_may_be_an_escape(cli: Any, mock_kafka: str, separator: str) -> None:
    topic = f"separated-{separator.encode().hex()}"
    mark = {r"\t": "\t"}.get(separator, separator)
    assert cli("produce", topic, "-b", mock_kafka, "-K", separator, stdin=f"k{mark}v{mark}w\n".encode()).code == 0
    assert read_all(cli, mock_kafka, topic, "--format", r"%k>%s\n") == [f"k>v{mark}w"]


def test_a_line_without_separator_is_named(cli: Any, mock_kafka: str) -> None:
    outcome = cli("produce", "bad-lines", "-b", mock_kafka, "-K", ":", stdin=b"k:v\nnothing\n")
    assert outcome.code == 1
    assert "Line 2 has no key separator ':'" in outcome.err


def test_a_whole_file_is_one_record_with_key_headers_and_partition(cli: Any, mock_kafka: str, tmp_path: Path) -> None:
    content = bytes(range(256)) * 100
    (tmp_path / "file").write_bytes(content)
    options = ("--whole", "--key", "name", "-H", "a=1", "-H", "b=2=3", "--partition", "2", "--compression", "lz4")
    assert cli("produce", "files", "-b", mock_kafka, "-f", str(tmp_path / "file"), *options).code == 0
    (record,) = (json.loads(line) for line in read_all(cli, mock_kafka, "files", "--json"))
    assert record["partition"] == 2
    assert record["key"] == "name"
    assert record["headers"] == [{"name": "a", "value": "1"}, {"name": "b", "value": "2=3"}]
    import base64

    assert base64.b64decode(record["value_base64"]) == content


def test_where_reading_starts_and_ends(cli: Any, mock_kafka: str) -> None:
    stdin = b"".join(b"%d\n" % number for number in range(10))
    assert cli("produce", "starts", "-b", mock_kafka, "--partition", "1", stdin=stdin).code == 0

    def read(*options: str) -> list[str]:
        return lines_of(cli("consume", "starts", "-b", mock_kafka, *options))

    assert read("--offset", "7", "--exit") == ["7", "8", "9"]
    assert read("--offset", "-2", "--exit") == ["8", "9"]
    assert read("--offset", "-99", "--max", "3", "-p", "1") == ["0", "1", "2"]
    assert read("--offset", "99", "--exit") == []
    assert read("--exit") == []
    assert read("--from-beginning", "--exit", "--partition", "0") == []
    assert read("--from-beginning", "--idle", "3") == [str(number) for number in range(10)]
    outcome = cli("consume", "starts", "-b", mock_kafka, "-p", "4")
    assert outcome.code == 1
    assert "no partition 4: it has 0 to 3" in outcome.err


def test_a_group_commits_what_was_written_out(cli: Any, mock_kafka: str) -> None:
    from confluent_kafka import Consumer, TopicPartition

    cli("produce", "grouped", "-b", mock_kafka, "--partition", "1", stdin=b"a\nb\nc\nd\n")
    member = ("consume", "grouped", "-b", mock_kafka, "--group", "g", "--from-beginning")
    assert lines_of(cli(*member, "--max", "3")) == ["a", "b", "c"]
    observer = Consumer({"bootstrap.servers": mock_kafka, "group.id": "g"})
    (committed,) = observer.committed([TopicPartition("grouped", 1)], timeout=10)
    observer.close()
    assert committed.offset == 3


def test_a_topic_that_is_not_there_is_not_made_by_reading(cli: Any, mock_kafka: str) -> None:
    for _ in range(2):
        outcome = cli("consume", "never-made", "-b", mock_kafka)
        assert outcome.code == 1
        assert "There is no topic 'never-made': create it with 'raylog topics create never-made'" in outcome.err


def test_a_reader_that_has_seen_enough_ends_the_command_quietly(cli: Any, mock_kafka: str) -> None:
    cli("produce", "long", "-b", mock_kafka, stdin=b"x" * 99 + b"\n" + b"y" * 99 + b"\n" * 20_000)
    command = f"'{sys.executable}' -m raylog.cli.main consume long -b {mock_kafka} --from-beginning | head -n 1"
    piped = subprocess.run(["bash", "-c", command], capture_output=True, check=False, timeout=60)
    assert len(piped.stdout.splitlines()) == 1
    assert piped.stderr == b""


def test_topics_are_listed(cli: Any, mock_kafka: str) -> None:
    cli("produce", "listed", "-b", mock_kafka, stdin=b"x\n")
    assert {"name": "listed", "partitions": 4} in json.loads(cli("topics", "list", "-b", mock_kafka, "--json").out)
    assert " listed " in cli("topics", "list", "-b", mock_kafka).out
