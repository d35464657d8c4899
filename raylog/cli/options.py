"""Options that several commands share, and how their texts are read. Wrong ones raise InvalidError with one sentence."""

from typing import Annotated

import typer

from raylog.model.errors import InvalidError

DEFAULT_BOOTSTRAP_SERVER = "127.0.0.1:9092"

Bootstrap = Annotated[
    str,
    typer.Option(
        "--bootstrap-server",
        "-b",
        metavar="HOST:PORT",
        envvar="RAYLOG_BOOTSTRAP_SERVER",
        help="A broker of the cluster; any Kafka will do.",
    ),
]
Properties = Annotated[
    list[str] | None,
    typer.Option("--property", "-X", metavar="NAME=VALUE", help="A client setting of librdkafka. Repeatable."),
]
Timeout = Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="How long to wait for the cluster.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Topic = Annotated[str, typer.Argument(metavar="TOPIC", help="The topic's name.")]
Topics = Annotated[list[str], typer.Argument(metavar="TOPIC...", help="The topics' names.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def pairs_of(texts: list[str] | None, option: str) -> dict[str, str]:
    """``NAME=VALUE`` texts as a dictionary."""
    pairs = {}
    for text in texts or ():
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise InvalidError(f"'{text}' is not a value for {option}: write it as NAME=VALUE.")
        pairs[name] = value
    return pairs


def confirm(question: str, *, yes: bool) -> None:
    """Ask on the terminal before something is destroyed; without a terminal, --yes must have been given."""
    if yes:
        return
    if not _stdin_is_terminal():
        raise InvalidError(f"{question} Add --yes to say so, as there is no terminal to ask on.")
    typer.confirm(question, abort=True, err=True)


def _stdin_is_terminal() -> bool:
    import sys

    return sys.stdin is not None and sys.stdin.isatty()
