"""docs/operations.md and README.md promise only what is there: commands, files, metrics."""

import re

import pytest

from raylog.cli.metrics_page import document
from tests.deploy import commands
from tests.deploy.manifests import REPOSITORY

_PAGES = ("README.md", "docs/operations.md")
_FILE = re.compile(r"(?:deploy|docs)/[\w./-]*\w|(?<![\w/-])cluster\.yaml")


def text(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", _PAGES)
def test_every_command_is_one_that_raylog_has(name: str) -> None:
    found = list(commands.commands_in_markdown(text(name)))
    assert found
    for words in found:
        commands.check(words)


@pytest.mark.parametrize("name", _PAGES)
def test_every_file_is_there(name: str) -> None:
    named = set(_FILE.findall(text(name)))
    assert named
    assert [path for path in sorted(named) if not (REPOSITORY / path).exists() and not _is_decision(path)] == []


def _is_decision(path: str) -> bool:
    """Decisions are named by their numbers."""
    return bool(list(REPOSITORY.glob(f"{path}-*.md")))


def test_every_metric_is_one_that_raylog_has() -> None:
    known = document()
    named = set(re.findall(r"raylog_\w+", text("docs/operations.md")))
    assert named
    assert [name for name in sorted(named) if f"`{name.removesuffix('_total')}`" not in known] == []


def test_a_wrong_command_would_be_found() -> None:
    (words,) = commands.commands_in_markdown("```sh\nray exec x 'raylog sttus --address auto' | cat\n```\n")
    assert words == ["sttus", "--address", "auto"]
    with pytest.raises(KeyError):
        commands.check(words)
