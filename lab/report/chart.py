"""Line charts over time as inline SVG: no script, no font, no file beside it. Colours are in lab/report/style.py. Pure."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

Values = Sequence[float | None]

WIDTH: Final = 560
HEIGHT: Final = 220
_LEFT, _RIGHT, _BOTTOM = 54, 14, 28
_LABEL_ROW: Final = 13
_LABEL_ROWS_MAX: Final = 4
_CHARACTER: Final = 5.9
"""Of a label's width, about."""
_TICKS: Final = 5
_LOWEST_OF_LOG: Final = 0.1
COLOURS: Final = 6
"""So many the page has; more lines begin again, with dashes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One value per window; None is a gap."""

    name: str
    values: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A vertical line, or a band where it lasted."""

    at: float
    ended: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    title: str
    """With the unit."""
    lines: Sequence[Line]
    seconds: float
    window_s: float
    events: Sequence[Event] = ()
    is_log: bool = False
    is_whole: bool = False
    """Its values are whole numbers, and so are its ticks."""
    note: str = ""


def svg(chart: Chart) -> str:
    """The chart alone; its title and legend are the page's."""
    rows = _label_rows(chart)
    top = 8 + _LABEL_ROW * max((row for _, row in rows if row is not None), default=-1) + _LABEL_ROW
    scale = _Scale.of(chart, top)
    parts = [
        *_axes(chart, scale),
        *(_event(event, row, scale) for event, row in rows),
        *(_line(line, number, chart, scale) for number, line in enumerate(chart.lines)),
    ]
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(chart.title)}">{"".join(parts)}</svg>'


def line_class(number: int) -> str:
    """Of a line, and of its mark in the legend."""
    dashed = " dashed" if number >= COLOURS else ""
    return f"c{number % COLOURS}{dashed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    seconds: float
    top: float
    ticks: tuple[float, ...]
    is_log: bool

    @classmethod
    def of(cls, chart: Chart, top: float) -> "_Scale":
        known = [value for line in chart.lines for value in line.values if value is not None]
        ticks = _ticks(chart, known)
        return cls(seconds=chart.seconds, top=top, ticks=ticks, is_log=chart.is_log)

    def x(self, at: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * min(max(at / self.seconds, 0.0), 1.0)

    def y(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        if self.is_log:
            value, low, high = (math.log10(max(one, low)) for one in (value, low, high))
        share = (value - low) / (high - low)
        return HEIGHT - _BOTTOM - (HEIGHT - _BOTTOM - self.top) * share


def _ticks(chart: Chart, known: Sequence[float]) -> tuple[float, ...]:
    return log_ticks(known) if chart.is_log else nice_ticks(max(known, default=0.0), is_whole=chart.is_whole)


def nice_ticks(highest: float, *, is_whole: bool = False) -> tuple[float, ...]:
    """Round numbers from 0 to at least the highest; ``is_whole``: none between 0 and 1."""
    if highest <= 0:
        return (0.0, 1.0)
    rough = max(highest / _TICKS, 1.0 if is_whole else 0.0)
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(step for step in (1, 2, 5, 10) if step * magnitude >= rough) * magnitude
    return tuple(step * number for number in range(math.ceil(highest / step - 1e-9) + 1))


def log_ticks(values: Sequence[float]) -> tuple[float, ...]:
    """Powers of ten around all values, at least one decade."""
    positive = [max(value, _LOWEST_OF_LOG) for value in values] or [1.0]
    first = math.floor(math.log10(min(positive)) + 1e-9)
    last = max(math.ceil(math.log10(max(positive)) - 1e-9), first + 1)
    return tuple(10.0**power for power in range(first, last + 1))


def _axes(chart: Chart, scale: _Scale) -> Iterator[str]:
    for tick in scale.ticks:
        y = scale.y(tick)
        yield f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="tick" x="{_LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{_tick(tick)}</text>'
    for at in nice_ticks(scale.seconds):
        if at <= scale.seconds:
            x = scale.x(at)
            yield f'<text class="tick" x="{x:.1f}" y="{HEIGHT - 12}" text-anchor="middle">{_tick(at)} s</text>'


def _tick(value: float) -> str:
    if value >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:.9f}".rstrip("0").rstrip(".")


def _label_rows(chart: Chart) -> list[tuple[Event, int | None]]:
    """Labels that would overlap go into rows of their own. Where there are too many, an event has none (None)."""
    scale = _Scale(seconds=chart.seconds, top=0.0, ticks=(0.0, 1.0), is_log=False)
    ends: list[float] = []
    placed = []
    for event in sorted(chart.events, key=lambda event: event.at):
        begin, end = _label_span(event, scale)
        row = next((row for row, taken in enumerate(ends) if taken <= begin), len(ends))
        if row < _LABEL_ROWS_MAX:
            ends[row : row + 1] = [end]
        placed.append((event, row if row < _LABEL_ROWS_MAX else None))
    return placed


def _label_span(event: Event, scale: _Scale) -> tuple[float, float]:
    """Right of its line, or left of it where the chart ends."""
    x, width = scale.x(event.at), _CHARACTER * len(event.label) + 6
    return (x, x + width) if x + width <= WIDTH else (x - width, x)


def _event(event: Event, row: int | None, scale: _Scale) -> str:
    """A line, and its label where it has a row; a pointer on the line shows it in any case."""
    x, y = scale.x(event.at), 10 + _LABEL_ROW * (_LABEL_ROWS_MAX - 1 if row is None else row)
    begin, _ = _label_span(event, scale)
    anchor, at = ("start", x + 3) if begin >= x else ("end", x - 3)
    bottom = HEIGHT - _BOTTOM
    band = (
        f'<rect class="band" x="{x:.1f}" y="{scale.top:.1f}" width="{scale.x(event.ended) - x:.1f}" '
        f'height="{bottom - scale.top:.1f}"/>'
        if scale.x(event.ended) - x >= 1
        else ""
    )
    name = escape(event.label)
    label = "" if row is None else f'<text class="label" x="{at:.1f}" y="{y}" text-anchor="{anchor}">{name}</text>'
    line = f'<line class="event" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 8}" y2="{bottom}"><title>{name}</title></line>'
    return f"{band}{line}{label}"


def _line(line: Line, number: int, chart: Chart, scale: _Scale) -> str:
    runs: list[list[str]] = [[]]
    for window, value in enumerate(line.values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append(f"{scale.x((window + 0.5) * chart.window_s):.1f},{scale.y(value):.1f}")
    drawn = []
    for run in runs:
        if len(run) == 1:
            x, y = run[0].split(",")
            drawn.append(f'<circle class="{line_class(number)}" cx="{x}" cy="{y}" r="1.6"/>')
        elif run:
            drawn.append(f'<polyline class="{line_class(number)}" points="{" ".join(run)}"/>')
    return "".join(drawn)
