"""A run's journal as the checker reads it: a sound one passes, and what is wrong in it is named."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lab.history.history import Part
from lab.history.journal import Journal
from lab.history.verdict import anomalies
from raylog.model.clock import SystemClock

PART = Part("orders", 0)


def _send(journal: Journal, number: int, *, offset: int | None) -> None:
    journal.write("send", producer="p", number=number, topic="orders", part=0, value=f"p-{number}", idempotent=True)
    if offset is not None:
        journal.acknowledge("p", number, PART, offset, 0.0)


def _sound(journal: Journal) -> None:
    for number in range(3):
        _send(journal, number, offset=number)
    journal.poll("reader", "", PART, 0, [(0, "p-0", 1), (1, "p-1", 1)])
    journal.poll("member.1", "group", PART, 0, [(0, "p-0", 1), (1, "p-1", 1)])
    journal.write("commit", number="member-1", group="group", topic="orders", part=0, offset=2)
    journal.write("commit-ack", number="member-1", topic="orders", part=0)
    _read_committed(journal, 2)


def _read_committed(journal: Journal, offset: int) -> None:
    after = journal.now() + 1
    journal.write("committed", group="group", topic="orders", part=0, offset=offset, asked=after, answered=after)


def _log(journal: Journal, *values: str) -> None:
    found = [(offset, value, 1) for offset, value in enumerate(values)]
    journal.write("log", topic="orders", part=0, found=found)


def _lost(journal: Journal) -> None:
    _log(journal, "p-0", "p-1")


def _doubled(journal: Journal) -> None:
    _log(journal, "p-0", "p-1", "p-2", "p-2")


def _skipped(journal: Journal) -> None:
    journal.poll("reader", "", PART, 3, [(3, "p-3", 1)])
    _send(journal, 3, offset=None)
    _log(journal, "p-0", "p-1", "p-2", "p-3")


def _commit_forgotten(journal: Journal) -> None:
    _read_committed(journal, -1)
    _log(journal, "p-0", "p-1", "p-2")


def _told_odd_things(journal: Journal) -> None:
    journal.oddity("fatal error")
    _log(journal, "p-0", "p-1", "p-2")


def test_a_sound_journal_has_no_anomaly(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal", SystemClock()) as journal:
        _sound(journal)
        _log(journal, "p-0", "p-1", "p-2")
    assert anomalies(journal.path) == []


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (_lost, "lost write"),
        (_doubled, "duplicate"),
        (_skipped, "skipped poll"),
        (_commit_forgotten, "committed offset goes back"),
        (_told_odd_things, "fatal error"),
    ],
)
def test_each_anomaly_is_named(tmp_path: Path, spoil: Callable[[Journal], None], word: str) -> None:
    with Journal(tmp_path / "journal", SystemClock()) as journal:
        _sound(journal)
        spoil(journal)
    assert any(word in anomaly for anomaly in anomalies(journal.path))


def test_progress_tells_those_who_wait(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal", SystemClock()) as journal:
        _sound(journal)
        progress = journal.progress(PART)
    assert (progress.acknowledged, progress.read, progress.read_by_group) == (2, 1, 1)
