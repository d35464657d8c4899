"""Pieces of HTML that reports are made of. Pure; every text is escaped here."""

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

from lab.report import chart
from lab.report.style import SHEET

DATA_BEGIN: Final = '<script type="application/json" id="raylog-lab">'
DATA_END: Final = "</script>"


def page(title: str, body: Iterable[str], data: Mapping[str, Any] | None = None) -> str:
    """A whole file, which asks nothing of the network. ``data`` is embedded as JSON."""
    embedded = "" if data is None else f"{DATA_BEGIN}{_as_script(data)}{DATA_END}\n"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{SHEET}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + f"\n{embedded}</body>\n</html>\n"
    )


def _as_script(data: Mapping[str, Any]) -> str:
    """Without anything that could end the element."""
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


def figure(drawn: chart.Chart) -> str:
    legend = "".join(
        f'<span><svg viewBox="0 0 20 8"><polyline class="{chart.line_class(number)}" points="0,4 20,4"/></svg>'
        f"{escape(line.name)}</span>"
        for number, line in enumerate(drawn.lines)
    )
    note = f"<figcaption>{escape(drawn.note)}</figcaption>" if drawn.note else ""
    return f'<figure><h3>{escape(drawn.title)}</h3><div class="legend">{legend}</div>{chart.svg(drawn)}{note}</figure>'


def card(title: str, rows: Iterable[Sequence[str]], head: Sequence[str] = ()) -> str:
    return f'<section class="card"><h3>{escape(title)}</h3>{table(rows, head)}</section>'


def table(rows: Iterable[Sequence[str]], head: Sequence[str] = (), kind: str = "") -> str:
    above = f"<thead><tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr></thead>" if head else ""
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{above}<tbody>{body}</tbody></table>"


def paragraph(text: str, kind: str = "") -> str:
    return f"<p{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{escape(text)}</p>"


def heading(text: str, level: int = 2) -> str:
    return f"<h{level}>{escape(text)}</h{level}>"


def preformatted(text: str) -> str:
    return f"<pre>{escape(text.strip())}</pre>"


def grid(kind: str, parts: Iterable[str]) -> str:
    return f'<div class="{kind}">{"".join(parts)}</div>'
