"""What a person sees while an experiment runs: a table that is drawn anew each second on a terminal, plain lines elsewhere."""

import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lab import prices
from lab.history.journal import Journal
from lab.percentiles import percentile
from raylog.model.clock import Clock

if TYPE_CHECKING:
    from lab.watch import Watch

_RECENT_S: Final = 5.0
_RECENT_MAX: Final = 100_000
_LINES_SHOWN: Final = 8
_PLAIN_LINE_EVERY_S: Final = 10.0
_BAR_CELLS: Final = 40


class Display:
    """Enter it for its life. Told things by every thread of a run; draws on standard error."""

    def __init__(
        self, title: str, console: Console, clock: Clock, pause: Callable[[float], None], list_prices: prices.Prices
    ) -> None:
        """``pause`` waits so many seconds, and raises what is to end the run early."""
        self._title = title
        self._console = console
        self._clock = clock
        self.pause = pause
        self._prices = list_prices
        self._lock = threading.Lock()
        self._lines: deque[str] = deque(maxlen=_LINES_SHOWN)
        self._recent: deque[tuple[float, float]] = deque(maxlen=_RECENT_MAX)
        self._watch: Watch | None = None
        self._journal: Journal | None = None
        self._began: tuple[float, float] | None = None
        self._plain_line_at = 0.0
        self._first_s = clock.monotonic()
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        else:
            self._console.print(self._title)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def say(self, text: str) -> None:
        """Something has happened or is being done."""
        line = f"{self._clock.monotonic() - self._first_s:6.1f} s  {text}"
        with self._lock:
            self._lines.append(line)
        if self._live:
            self._live.update(self._drawn(), refresh=True)
        else:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def watch(self, watch: "Watch", journal: Journal) -> None:
        """From now on there is something to look at."""
        self._watch, self._journal = watch, journal

    def begin(self, now: float, seconds: float) -> None:
        """The measured part begins, by the journal's time."""
        self._began = now, seconds
        self.say("measuring")

    def acknowledged(self, now: float, latency_s: float) -> None:
        """Of one record; called very often."""
        self._recent.append((now, latency_s))

    def refresh(self) -> None:
        if self._live:
            self._live.update(self._drawn(), refresh=True)
        elif self._journal and self._journal.now() >= self._plain_line_at:
            self._plain_line_at = self._journal.now() + _PLAIN_LINE_EVERY_S
            self.say(", ".join(f"{name} {value}" for name, value in self._figures()))

    def _drawn(self) -> Group:
        with self._lock:
            lines = list(self._lines)
        table = Table.grid(padding=(0, 3))
        for name, value in self._figures():
            table.add_row(Text(name, style="dim"), Text(value, style="bold"))
        return Group(
            Text(self._title, style="bold green"),
            Text(self._bar()),
            table,
            *(Text(line, style="dim") for line in lines),
        )

    def _bar(self) -> str:
        if self._began is None or self._journal is None:
            return ""
        at, seconds = self._began
        passed = min(self._journal.now() - at, seconds)
        full = round(_BAR_CELLS * passed / seconds)
        return f"{'━' * full}{'╌' * (_BAR_CELLS - full)} {passed:.0f} of {seconds:.0f} s"

    def _figures(self) -> list[tuple[str, str]]:
        if self._journal is None or self._watch is None:
            return []
        since = self._journal.now() - _RECENT_S
        latencies = sorted(latency for at, latency in list(self._recent) if at >= since)
        seen, counts = self._watch.seen, self._watch.counts
        figures = [
            ("acknowledged/s", f"{len(latencies) / _RECENT_S:,.0f}"),
            ("p50 ms", _ms(latencies, 0.5)),
            ("p99 ms", _ms(latencies, 0.99)),
            ("acknowledged", f"{self._journal.acknowledged:,}"),
            ("read by groups", f"{self._journal.read_by_groups:,}"),
        ]
        if seen is None:
            figures.append(("cluster", "does not answer"))
        else:
            led = "  ".join(f"{node} {count}" for node, count in sorted(seen.led.items()))
            figures += [("nodes", str(seen.brokers)), ("partitions led", led), ("moving", str(seen.moving))]
        if counts:
            requests = "  ".join(f"{kind} {count:,.0f}" for kind, count in sorted(counts.items()))
            figures += [("bucket requests", requests), ("dollars", f"{self._prices.dollars(counts):.5f}")]
        if self._journal.odd:
            figures.append(("odd", f"{len(self._journal.odd)}: {self._journal.odd[-1]}"))
        return figures


def _ms(ordered: list[float], share: float) -> str:
    return f"{percentile(ordered, share) * 1000:.1f}" if ordered else "-"
