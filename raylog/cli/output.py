"""What commands print: tables for people, JSON for scripts, on standard output; all else goes to standard error."""

import json
import sys
from collections.abc import Sequence


def print_json(value: object) -> None:
    print(json.dumps(value, indent=2 if sys.stdout.isatty() else None, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "", empty: str = "") -> None:
    """Columns whose values are all numbers are set to the right. Without a terminal, nothing is cut or coloured."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    if not rows and empty:
        print(empty, file=sys.stderr)
        return
    table = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        is_number = all(isinstance(row[number], int | float) for row in rows)
        table.add_column(column, justify="right" if is_number else "left", overflow="fold", no_wrap=False)
    for row in rows:
        table.add_row(*(Text(_shown(value)) for value in row))
    if not sys.stdout.isatty():
        console.width = 10_000
    console.print(table)


def note(text: str) -> None:
    """A line for the person at the terminal, which a script's pipe does not see."""
    print(text, file=sys.stderr)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return "-" if value is None else str(value)
