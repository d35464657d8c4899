"""The ``raylog`` command. Its parts import what they need when they run, so that help and mistakes are answered at once.

Every error is one sentence with the remedy on standard error, and an exit code: 2 for a wrong command line, 1 for all else.
"""

import sys
from collections.abc import Sequence

import typer

from raylog.cli.balance import balance
from raylog.cli.consume import consume
from raylog.cli.deployment import start, stop
from raylog.cli.drain import drain
from raylog.cli.groups import groups
from raylog.cli.lab import lab
from raylog.cli.move import move
from raylog.cli.produce import produce
from raylog.cli.serve import serve
from raylog.cli.status import status
from raylog.cli.store import store
from raylog.cli.topics import topics
from raylog.model.errors import RaylogError

_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
"""Click's UsageError, which newer versions of Typer bring along and older ones import."""

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="raylog",
    help="A diskless Kafka on Ray: any Kafka client, all state in one bucket.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(serve)
app.command()(start)
app.command()(stop)
app.command()(drain)
app.add_typer(topics, name="topics")
app.command()(produce)
app.command()(consume)
app.add_typer(groups, name="groups")
app.command()(status)
app.command()(move)
app.command()(balance)
app.add_typer(store, name="store")
app.add_typer(lab, name="lab")


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code."""
    try:
        code = app(list(arguments), prog_name="raylog", standalone_mode=False)
    except _USAGE_ERROR as error:
        return _usage(error)
    except typer.Abort:
        print("Nothing was changed.", file=sys.stderr)
        return EXIT_FAILED
    except RaylogError as error:
        print(f"raylog: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return code if isinstance(code, int) else 0


def _usage(error: Exception) -> int:
    """A wrong command line: one sentence and where help is; for a command without arguments, its help."""
    context = getattr(error, "ctx", None)
    message = str(error.format_message()) if hasattr(error, "format_message") else str(error)
    if type(error).__name__ == "NoArgsIsHelpError":
        return EXIT_USAGE  # Typer has printed the help already.
    path = context.command_path if context is not None else "raylog"
    sentence = message if message.endswith((".", "?", "!")) else f"{message}."
    print(f"raylog: {sentence} '{path} --help' shows what there is.", file=sys.stderr)
    return EXIT_USAGE


def main() -> None:
    """The console script's entry."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
