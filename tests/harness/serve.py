"""A real ``raylog serve`` in a process tree of its own, for tests that kill it or parts of it."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil

from lab.ports import free_port

_READY_S = 150.0


class ServeProcess:
    """One ``raylog serve`` on loopback, with the processes it has started."""

    def __init__(
        self,
        store: str,
        folder: Path,
        extra: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
        working_folder: Path | None = None,
    ) -> None:
        """``folder`` gets the output; the command runs in ``working_folder``, or where the caller does."""
        self.store = store
        self.port = free_port()
        self.metrics_port = free_port()
        self.output = folder / f"serve-{self.port}.log"
        self._extra = extra
        self._env = {**os.environ, **(env or {})}
        self._working_folder = working_folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns once it says that it serves."""
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "raylog.cli.main", "serve", "--store", self.store),
                    *("--listen", self.bootstrap, "--metrics", f"127.0.0.1:{self.metrics_port}", *self._extra),
                ],
                stdout=output,
                stderr=subprocess.PIPE,
                env=self._env,
                cwd=self._working_folder,
                start_new_session=True,
            )
        ready = threading.Event()
        self._reader = threading.Thread(target=self._follow, args=(self._process, ready), daemon=True)
        self._reader.start()
        if not ready.wait(_READY_S) or self._process.poll() is not None:
            self.kill()
            raise AssertionError(f"raylog serve was not ready:\n{self.output.read_text()}")

    def _follow(self, process: subprocess.Popen[bytes], ready: threading.Event) -> None:
        assert process.stderr is not None
        with self.output.open("ab", buffering=0) as output, process.stderr:
            for line in process.stderr:
                output.write(line)
                if b"serves Kafka on" in line:
                    ready.set()
        ready.set()

    def processes(self, name: str = "") -> list[psutil.Process]:
        """The command and all that it has started, whose command line contains ``name``."""
        if self._process is None:
            return []
        try:
            parent = psutil.Process(self._process.pid)
            family = [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []
        found = []
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if name in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def kill(self) -> None:
        """SIGKILL to every process at once; what was only in memory is gone."""
        family = self.processes()
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=30)
        if self._process is not None:
            self._process.wait(30)
        self._process = None

    def wait_for_end(self, seconds: float) -> int:
        """The exit code of a command that ends by itself; its output is complete then."""
        assert self._process is not None
        code = self._process.wait(seconds)
        self._process = None
        self._reader.join(seconds)
        return code

    @property
    def has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def stop(self) -> int:
        """Ctrl-C, and the exit code."""
        assert self._process is not None
        family = self.processes()
        self._process.send_signal(signal.SIGINT)
        code = self._process.wait(60)
        _, left = psutil.wait_procs(family, timeout=30)
        for process in left:
            process.kill()
        self._process = None
        return code
