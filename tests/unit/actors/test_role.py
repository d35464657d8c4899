"""What a role's process sets up: a log that does not grow without bound, and gauges of living processes only."""

import os
from pathlib import Path

import pytest

from actors import role
from raylog.model.config import ClusterConfig


def test_a_roles_log_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(role, "_LOG_BYTES_MAX", 1000)
    handler = role._log_file(ClusterConfig(run_dir=str(tmp_path)), "leader", {"leader": 3})
    record = role.role_logger("x").logger.makeRecord("x", 30, "f", 1, "a line " * 20, (), None)
    for _ in range(100):
        handler.handle(record)
    handler.close()
    files = sorted((tmp_path / "logs").iterdir())
    assert [file.name for file in files] == ["leader-3.log", "leader-3.log.1", "leader-3.log.2"]
    assert sum(file.stat().st_size for file in files) < 4000


def test_gauges_of_ended_processes_are_forgotten_and_their_counters_kept(tmp_path: Path) -> None:
    dead = 2**22 + 7  # above Linux's highest process id
    kept = {f"gauge_livesum_{os.getpid()}.db", f"counter_{dead}.db"}
    for name in (*kept, f"gauge_livesum_{dead}.db", f"gauge_livemostrecent_{dead}.db"):
        (tmp_path / name).touch()
    role._forget_gauges_of_the_dead(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept
