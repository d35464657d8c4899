"""Command lines of ``raylog`` in files for operators: found, and held to what the command really takes."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import typer

from raylog.cli.main import app

_FENCE = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
_CONTINUED = re.compile(r"\\\n\s*")
_NAMES = ("raylog", "aws", "kubectl", "ray", "anyscale", "docker", "make", "python", "sudo")
_END = {"|", "||", "&&", ">", ">>", "<", "&", ";", "2>"}


def commands_in_shell(text: str) -> Iterator[list[str]]:
    """The words of every ``raylog`` command in a shell script, those inside quotes (``bash -c '…'``) too."""
    for line in _CONTINUED.sub(" ", text).splitlines():
        yield from _commands(line)


def commands_in_markdown(text: str) -> Iterator[list[str]]:
    """Those in a page's fenced blocks of shell."""
    for block in _FENCE.findall(text):
        yield from commands_in_shell(block)


def _commands(line: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words = list(lexer)
    for at, word in enumerate(words):
        if " " in word and "raylog " in word:
            yield from _commands(word)
        elif word == "raylog" and (at == 0 or not words[at - 1].startswith("-")) and at + 1 < len(words):
            rest = words[at + 1 :]
            end = next((i for i, w in enumerate(rest) if w in _END), len(rest))
            if end and rest[0] != "raylog":
                yield rest[:end]


def check(arguments: list[str]) -> None:
    """Parse one command line without running it. Raises click's UsageError, or KeyError for a command that there is not."""
    command: Any = typer.main.get_command(app)
    words = list(arguments)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context(command.name, words)
