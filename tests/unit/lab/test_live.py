"""What a person sees of a run: a drawn table on a terminal, plain lines elsewhere."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from lab.history.history import Part
from lab.history.journal import Journal
from lab.live import Display
from lab.prices import STANDARD
from lab.watch import Seen, Watch
from tests.harness.manual_clock import ManualClock

SEEN = Seen(brokers=2, leaders=2, led={"a": 4, "b": 2}, moving=1)


@pytest.fixture
def shown(tmp_path: Path) -> Callable[..., str]:
    """All that is written of a run in which 100 records are acknowledged after 20 ms."""

    def show(*, terminal: bool, seen: Seen | None = SEEN) -> str:
        clock, written = ManualClock(), io.StringIO()
        console = Console(file=written, force_terminal=terminal, width=100, color_system=None)
        display = Display("a run", console, clock, lambda _: None, STANDARD)
        with display, Journal(tmp_path / "journal", clock, display.acknowledged) as journal:
            watch = Watch(journal, "", lambda _: SEEN, dict, display.refresh)
            watch.seen, watch.counts = seen, {"put": 1000.0}
            display.watch(watch, journal)
            display.begin(journal.now(), 60)
            clock.now_s += 30
            for number in range(100):
                journal.acknowledge("p", number, Part("t", 0), number, journal.now() - 0.02)
            display.say("kill b")
            display.refresh()
        return written.getvalue()

    return show


@pytest.mark.parametrize("terminal", [True, False])
def test_figures_and_events_are_shown(shown: Callable[..., str], terminal: bool) -> None:
    text = shown(terminal=terminal)
    for said in ("a run", "kill b", "20.0", "a 4  b 2", "put 1,000", "0.00500"):
        assert said in text


def test_a_terminal_has_a_bar(shown: Callable[..., str]) -> None:
    assert "30 of 60 s" in shown(terminal=True)


def test_a_cluster_that_does_not_answer_is_said_so(shown: Callable[..., str]) -> None:
    assert "does not answer" in shown(terminal=False, seen=None)
