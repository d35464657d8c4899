"""Events happen, and what came of them is in the journal."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.experiment import Event, Kind
from lab.history.journal import Journal
from lab.history.verdict import events_of
from lab.striking import Striking
from raylog.model.clock import SystemClock
from raylog.model.errors import RetryError


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal", SystemClock()) as opened:
        yield opened


def _struck(journal: Journal) -> list[dict[str, Any]]:
    journal.__exit__(None, None, None)
    return [line for line in events_of(journal.path) if line["event"] == "struck"]


def test_an_event_is_done_and_noted_with_its_label(journal: Journal) -> None:
    done: list[Event] = []
    said: list[str] = []
    event = Event(at_s=0, kind=Kind.KILL, node="b")
    begun = threading.Event()

    def strike(one: Event, blow: Callable[[], None]) -> None:
        blow()
        done.append(one)
        begun.set()

    with Striking([event], strike, journal, said.append):
        assert begun.wait(60)
    assert done == [event]
    assert said == ["kill b"]
    [line] = _struck(journal)
    assert (line["label"], line["kind"], line["failure"]) == ("kill b", "kill", "")
    [blow] = line["blows"]
    assert line["ended"] >= blow >= line["at"] >= 0


def test_why_an_event_could_not_be_done_is_noted(journal: Journal) -> None:
    begun = threading.Event()

    def fail(_event: Event, _blow: Callable[[], None]) -> None:
        begun.set()
        raise RetryError("Nobody was there.")

    with Striking([Event(at_s=0, kind=Kind.KILL, node="b")], fail, journal, lambda _: None):
        assert begun.wait(60)
    [line] = _struck(journal)
    assert (line["failure"], line["blows"]) == ("Nobody was there.", [])


def test_what_has_not_begun_when_the_load_ends_is_left_out(journal: Journal) -> None:
    done: list[Event] = []
    late = Event(at_s=3600, kind=Kind.ADD, node="c")
    with Striking([late], lambda event, _: done.append(event), journal, lambda _: None):
        pass
    assert done == []
    assert _struck(journal) == []
