"""``raylog serve`` asked to stop before it serves: one sentence, the signal's exit code, and nothing left behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize(
    ("stop", "code", "line"),
    [
        (signal.SIGTERM, 143, b"checking the bucket"),
        (signal.SIGTERM, 143, b"starting the controller"),
        (signal.SIGINT, 130, b"starting Ray"),
    ],
)
def test_interrupted_start_ends_cleanly(
    tmp_path: Path, free_ports: list[int], stop: signal.Signals, code: int, line: bytes
) -> None:
    kafka, metrics = free_ports
    mark = f"interrupted-{kafka}"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "raylog.cli.main", "serve", "--store", str(tmp_path / "bucket")),
            *("--listen", f"127.0.0.1:{kafka}", "--metrics", f"127.0.0.1:{metrics}"),
        ],
        stderr=subprocess.PIPE,
        env={**os.environ, "RAYLOG_TEST_MARK": mark},
        start_new_session=True,
    )
    assert process.stderr is not None
    with process.stderr:
        said = b""
        for text in process.stderr:
            said += text
            if line in text:
                process.send_signal(stop)
    assert process.wait(60) == code
    assert b"Traceback" not in said
    assert b"stopped before it served" in said
    _, left = psutil.wait_procs(_started_with(mark), timeout=15)
    assert left == []


def _started_with(mark: str) -> list[psutil.Process]:
    """The processes whose environment has the mark: all that the command has started, and they."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("RAYLOG_TEST_MARK") == mark:
                found.append(process)
        except psutil.Error:
            continue
    return found
