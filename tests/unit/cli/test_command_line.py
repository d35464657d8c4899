"""A wrong command line, or a cluster that is away, gets one sentence with the remedy and an exit code."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

AWAY = ("--bootstrap-server", "127.0.0.1:1", "--timeout", "0.5")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["frobnicate"], "No such command 'frobnicate'. 'raylog --help' shows what there is."),
        (["topics", "create"], "Missing argument 'TOPIC...'. 'raylog topics create --help' shows what there is."),
        (["topics", "partitions", "t"], "Missing option '--count' / '-n'. 'raylog topics partitions --help'"),
        (["topics", "create", "t", "--partitions", "0"], "Invalid value for '--partitions' / '-p'"),
        (["consume", "t", "--nonsense"], "No such option: --nonsense"),
        (["consume"], "Missing argument 'TOPIC'"),
        (["consume", "t", "--max", "many"], "Invalid value for '--max' / '-n'"),
    ],
)
def test_a_wrong_command_line_is_told_where_help_is(cli: Any, arguments: list[str], sentence: str) -> None:
    outcome = cli(*arguments)
    assert outcome.code == 2
    assert sentence in outcome.err
    assert outcome.err.startswith("raylog: ")
    assert outcome.err.count("\n") == 1
    assert outcome.out == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["topics", "create", "t", "-c", "retention"],
            "'retention' is not a value for --config: write it as NAME=VALUE.",
        ),
        (["topics", "configs", "t", "--set", "a=1", "--unset", "a"], "'a' is both set and unset"),
        (["topics", "list", "-X", "sasl"], "'sasl' is not a value for --property"),
        (["topics", "list", "-X", "no.such.setting=1"], "A client setting is wrong: No such configuration property"),
        (["produce", "t", "--key", "k", "--key-separator", ":"], "choose one"),
        (["produce", "t", "--key-separator", ""], "The key separator is empty"),
        (["produce", "t", "--whole", "--key-separator", ":"], "With --whole there are no lines"),
        (["produce", "t", "--header", "h"], "'h' is not a value for --header"),
        (["produce", "t", "--compression", "rar"], 'A client setting is wrong: Invalid value "rar"'),
        (["consume", "t", "--group", "g", "--offset", "3"], "A group decides on partitions and offsets by itself"),
        (["consume", "t", "--from-beginning", "--offset", "3"], "choose one"),
        (["consume", "t", "--format", "%q"], "has '%q', which means nothing: %s value"),
        (["groups", "reset-offsets", "g", "--all-topics"], "Say where the offsets are to go"),
        (["groups", "reset-offsets", "g", "--to", "latest", "--by", "1"], "Say where the offsets are to go"),
        (["groups", "reset-offsets", "g", "--to", "latest"], "Say which offsets are to move"),
    ],
)
def test_options_that_do_not_fit_get_one_sentence(cli: Any, arguments: list[str], sentence: str) -> None:
    outcome = cli(*arguments)
    assert outcome.code == 1
    assert sentence in outcome.err
    assert outcome.err.startswith("raylog: ")
    assert outcome.err.count("\n") == 1
    assert outcome.out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["topics", "list"],
        ["topics", "create", "t"],
        ["topics", "describe", "t"],
        ["topics", "delete", "t", "--yes"],
        ["topics", "configs", "t"],
        ["topics", "partitions", "t", "--count", "3"],
        ["produce", "t"],
        ["consume", "t"],
        ["groups", "list"],
        ["groups", "describe", "g"],
        ["groups", "delete", "g", "--yes"],
        ["groups", "reset-offsets", "g", "--to", "latest", "--all-topics"],
        ["status"],
    ],
)
def test_a_cluster_that_is_away_is_said_to_be(cli: Any, arguments: list[str]) -> None:
    outcome = cli(*arguments, *AWAY, stdin=b"line\n")
    assert outcome.code == 1
    assert outcome.err == (
        "raylog: No Kafka broker answers at 127.0.0.1:1 within 0.5 s: start one with 'raylog serve', or name another with "
        "--bootstrap-server.\n"
    )
    assert outcome.out == ""


def test_the_address_may_come_from_the_environment(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYLOG_BOOTSTRAP_SERVER", "127.0.0.1:2")
    assert "at 127.0.0.1:2 within" in cli("topics", "list", "--timeout", "0.3").err


@pytest.mark.parametrize("arguments", [[], ["topics"], ["groups"]])
def test_a_command_without_arguments_shows_its_help(cli: Any, arguments: list[str]) -> None:
    outcome = cli(*arguments)
    assert outcome.code == 2
    assert "Commands" in outcome.out
    assert outcome.err == ""


def test_every_command_has_help(cli: Any) -> None:
    assert cli("--help").code == 0
    for command in (
        "serve",
        "produce",
        "consume",
        "status",
        "topics create",
        "topics describe",
        "groups reset-offsets",
    ):
        outcome = cli(*command.split(), "-h")
        assert outcome.code == 0
        assert f"raylog {command}" in outcome.out


def test_a_file_that_is_not_there_is_named(cli: Any, mock_kafka: str, tmp_path: Path) -> None:
    outcome = cli("produce", "somewhere", "-b", mock_kafka, "--file", str(tmp_path / "absent"))
    assert outcome.code == 1
    assert f"The file {tmp_path / 'absent'} cannot be read: No such file or directory." in outcome.err


def test_help_does_not_pay_for_what_commands_need() -> None:
    heavy = "{'confluent_kafka', 'ray', 'aioboto3', 'pyarrow', 'kio', 'uvloop', 'prometheus_client'}"
    code = (
        f"import sys, raylog.cli.main; sys.exit(str({heavy} & set(sys.modules)) if {heavy} & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
