"""``raylog lab run`` on real Ray: a node is killed and another joins under load, and the report says what came of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.report.stored import outcome_of

pytestmark = pytest.mark.timeout(480)

EXPERIMENT = """\
title: For a test
seconds: 25
cluster:
  nodes: 2
topics:
  - {name: orders, partitions: 4, wal: file}
  - {name: logs, count: 2, wal: object}
load:
  - {topic: orders, shape: spike, rate: 50, peak: 100, from: 5, for: 5, members: 2}
  - {topic: logs, shape: skewed, rate: 20, members: 1}
events:
  - {at: 3, do: slow-bucket, ms: 100, for: 4}
  - {at: 8, do: kill, node: b}
  - {at: 10, do: add, node: c}
"""


def test_an_experiment_runs_from_its_file_to_its_report(tmp_path: Path) -> None:
    file, report, kept = tmp_path / "mine.yaml", tmp_path / "mine.html", tmp_path / "kept"
    file.write_text(EXPERIMENT)
    done = subprocess.run(
        [sys.executable, "-m", "raylog.cli.main", "lab", "run", file, "--report", report, "--keep", kept],
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=450,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    outcome = outcome_of(report)
    assert outcome.is_sound
    assert outcome.counts["acknowledged"] == outcome.counts["sent"] > 500
    assert outcome.counts["read"] >= outcome.counts["sent"], "a group whose coordinator has moved may read some again"
    assert [mark.label for mark in outcome.marks] == ["bucket +100 ms for 4 s", "kill b", "add c"]
    assert "kill b" in {absence.cause for absence in outcome.absences}, "somebody was without a leader"
    assert outcome.request_totals["put_if_absent"] > 0
    assert outcome.dollars > 0
    assert {"a", "b"} <= outcome.led.keys()
    # Nothing is left that runs for it.
    assert not [pid for pid in os.listdir("/proc") if pid.isdigit() and str(kept).encode() in _command_line(pid)]


def _command_line(pid: str) -> bytes:
    try:
        return Path("/proc", pid, "cmdline").read_bytes()
    except OSError:
        return b""
