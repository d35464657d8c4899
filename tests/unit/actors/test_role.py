"""What a role's process sets up: a log that does not grow without bound, and gauges of living processes only."""

import os
import re
import subprocess
import sys
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


def test_roles_that_start_together_forget_the_same_gauges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = 2**22 + 7
    for kind in ("livesum", "livemostrecent"):
        (tmp_path / f"gauge_{kind}_{dead}.db").touch()
    unlink = Path.unlink

    def unlink_late(path: Path, missing_ok: bool = False) -> None:
        unlink(path)  # the other one was quicker
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink_late)
    role._forget_gauges_of_the_dead(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_process_counts_in_files_even_if_it_had_imported_prometheus_before_it_had_a_role(tmp_path: Path) -> None:
    program = f"""
import prometheus_client
from actors.role import metrics_dir, set_up_role
from raylog.model.config import ClusterConfig
config = ClusterConfig(run_dir={str(tmp_path)!r})
for role in ("compaction", "garbage"):
    setup = set_up_role(config, role, "node")
    prometheus_client.Counter(f"{{role}}_runs", "Runs.", registry=setup.registry).inc()
print(*(path.name for path in metrics_dir(config).iterdir()))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"counter_[0-9]+\.db", ended.stdout.strip())
