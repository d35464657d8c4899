"""A spare worker's rehearsal: what it does, and that nothing of it stays."""

import logging
import os
import tempfile
import threading
from pathlib import Path

import pytest

from actors import rehearsal
from raylog.leader.leader import Leader
from raylog.storage.wal_disk import PosixDisk


def test_a_rehearsal_recovers_what_its_first_life_left_and_leaves_nothing_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    recovered = []
    compose = Leader._compose
    monkeypatch.setattr(
        Leader,
        "_compose",
        lambda self, found: recovered.append((found.log.epoch, len(found.tail))) or compose(self, found),
    )
    threads, files = set(threading.enumerate()), len(os.listdir("/proc/self/fd"))
    rehearsal.rehearse()
    assert recovered == [(1, 0), (2, 1)]
    assert list(tmp_path.iterdir()) == []
    assert set(threading.enumerate()) <= threads
    assert len(os.listdir("/proc/self/fd")) <= files
    assert logging.root.manager.disable == logging.NOTSET


def test_a_rehearsal_that_fails_leaves_nothing_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> object:
        raise OSError("no room")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(PosixDisk, "write_fence", fail)
    monkeypatch.setattr(rehearsal, "_SECONDS_MAX", 0.2)
    with pytest.raises(TimeoutError):  # a leader waits for its WAL
        rehearsal.rehearse()
    assert list(tmp_path.iterdir()) == []
    assert logging.root.manager.disable == logging.NOTSET
