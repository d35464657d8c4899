"""The results as a table on the terminal, as JSON, and in a marked section of docs/performance.md."""

import json
import re
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.runs import Results

PERFORMANCE_PAGE = Path(__file__).parent.parent / "docs" / "performance.md"

_WIDTH_MAX = 1000


def number(value: float) -> str:
    """Three digits that mean something."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def rows(results: Results, compared: str | None) -> list[list[str]]:
    """Header and rows. With ``compared`` a ratio column follows each other server: above 1 means that ``compared`` is better."""
    servers = list(results.titles)
    others = [server for server in servers if compared in servers and server != compared]
    table = [["", *(results.titles[server] for server in servers), *(f"vs {other}" for other in others)]]
    for name, figure in results.units.items():
        row = [f"{name}, {figure.unit}"]
        for server in servers:
            value = results.value(server, name)
            row.append("" if value is None else number(value))
        for other in others:
            ratio = results.ratio(compared or "", other, name)
            if ratio is not None and figure.better == "lower":
                ratio = 1 / ratio
            row.append("" if ratio is None else f"{ratio:.2f}x")
        table.append(row)
    return table


def show(table: Table) -> None:
    """Print the table; where no terminal sets its width (a pipe, a file), as wide as it is."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=console.measure(table, options=console.options.update(width=_WIDTH_MAX)).maximum)
    console.print(table)


def terminal_table(table: list[list[str]], title: str) -> Table:
    shown = Table(title=title)
    for index, name in enumerate(table[0]):
        shown.add_column(name, justify="right" if index else "left", no_wrap=not index)
    for row in table[1:]:
        shown.add_row(*row)
    return shown


def as_json(results: Results, machine: dict[str, str], command: str) -> str:
    figures = [
        {"server": server, "figure": name, "unit": results.units[name].unit, "values": values}
        for (server, name), values in results.values.items()
    ]
    return json.dumps({"command": command, "machine": machine, "servers": results.titles, "figures": figures}, indent=2)


def rewrite_page(section: str, table: list[list[str]], machine: dict[str, str], command: str) -> None:
    """Put the table between the section's two markers; what people wrote around them stays."""
    lines = [
        f"Command: `{command}`",
        "",
        *(f"- {name}: {value}" for name, value in machine.items()),
        "",
        "| " + " | ".join(table[0]) + " |",
        "|---" + "|---:" * (len(table[0]) - 1) + "|",
        *("| " + " | ".join(row) + " |" for row in table[1:]),
    ]
    begin, end = f"<!-- {section}:begin -->", f"<!-- {section}:end -->"
    page = PERFORMANCE_PAGE.read_text()
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"{PERFORMANCE_PAGE} has no section {begin} … {end}")
    block = "\n".join((begin, *lines, end))
    PERFORMANCE_PAGE.write_text(pattern.sub(lambda _: block, page))
