"""The wheel, installed into an empty virtual environment, serves from there. ``make test-package`` runs this."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import venv
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(900)

_ROOT = Path(__file__).parents[2]


def _run(*command: str | Path, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_wheel_serves_from_an_empty_environment(tmp_path: Path) -> None:
    pip = ("-m", "pip", "--disable-pip-version-check", "--quiet")
    _run(sys.executable, *pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, _ROOT, cwd=tmp_path)
    (wheel,) = tmp_path.glob("raylog-*.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    binaries = tmp_path / "venv" / "bin"
    _run(binaries / "python", *pip, "install", "--constraint", _ROOT / "constraints.txt", wheel, cwd=tmp_path)

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with subprocess.Popen(
        [binaries / "raylog", "serve", "--store", tmp_path / "bucket", "--listen", address, "--metrics", ""],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as server:
        try:
            assert server.stderr is not None
            assert any("serves Kafka on" in line for line in server.stderr), "raylog serve ended before it served"
            _run(binaries / "raylog", "topics", "create", "packed", "-b", address, cwd=tmp_path)
            assert "packed" in _run(binaries / "raylog", "topics", "list", "-b", address, cwd=tmp_path)
            assert "kill-a-node" in _run(binaries / "raylog", "lab", "list", cwd=tmp_path)
            server.send_signal(signal.SIGINT)
            assert server.wait(60) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
