"""Servers under test: each a process tree of its own on free ports, in a folder that is removed, always stopped."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from lab.ports import free_port

_READY_S_MAX = 180.0
_STOP_S_MAX = 30.0
_LOG_LINES_SHOWN = 25


class ServerError(Exception):
    """The server did not come up, or went away; the message ends with its last lines of log."""


@dataclass(kw_only=True)
class Server(ABC):
    """A Kafka-speaking server. A subclass says how to start it and which settings its topics need."""

    name: str
    title: str
    topic_config: dict[str, str] = field(default_factory=dict)
    folder: Path = field(init=False)
    port: int = field(init=False)
    started_in_s: float = field(init=False, default=0.0)
    _process: subprocess.Popen[bytes] | None = field(init=False, default=None)

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Make what it needs under ``folder``, and return what to run."""

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix=f"bench-{self.name}-"))
        self.port = free_port()
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    def restart(self) -> None:
        """Stop it as a person would, and start it again on what it has left in its folder."""
        self._end()
        self._start()

    def _start(self) -> None:
        begun = time.perf_counter()
        try:
            with (self.folder / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    self.command(),
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
            self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        self.started_in_s = time.perf_counter() - begun

    def resident_bytes(self) -> int:
        """Memory of the process tree, shared pages counted once."""
        return sum(process.memory_full_info().pss for process in self._tree())

    def cpu_seconds(self) -> float:
        """CPU time of the process tree so far."""
        return sum(sum(process.cpu_times()[:2]) for process in self._tree())

    def drop_page_cache(self) -> None:
        """Take from the system's memory what it has there of the server's files, as far as the disk has it, too.

        Each measurement begins with that much room: the files of a topic that is deleted may stay for an hour, and what is
        written next is given up before what has been read.
        """
        for folder, _, names in os.walk(self.folder):  # which passes over folders that go while it looks
            for name in names:
                with contextlib.suppress(OSError):  # it may be gone, or be a socket
                    fd = os.open(os.path.join(folder, name), os.O_RDONLY | os.O_NONBLOCK)
                    try:
                        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                    finally:
                        os.close(fd)

    def check_alive(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            raise ServerError(f"{self.title} has stopped with status {self._process.returncode}:\n{self._log_end()}")

    def _wait_until_ready(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        deadline = time.perf_counter() + _READY_S_MAX
        while time.perf_counter() < deadline:
            self.check_alive()
            try:
                if admin.list_topics(timeout=1.0).brokers:
                    return
            except KafkaException:
                time.sleep(0.2)
        raise ServerError(f"{self.title} did not answer within {_READY_S_MAX:.0f} s:\n{self._log_end()}")

    def _tree(self) -> list[psutil.Process]:
        if self._process is None or self._process.poll() is not None:
            return []
        root = psutil.Process(self._process.pid)
        return [root, *root.children(recursive=True)]

    def _stop(self) -> None:
        self._end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self) -> None:
        """Ask first; then end whatever of the tree is left. A daemon that has left the tree is asked through its parent."""
        tree = self._tree()
        if tree:
            tree[0].send_signal(signal.SIGINT)
            _, alive = psutil.wait_procs(tree, timeout=_STOP_S_MAX)
            for process in alive:
                process.kill()
            psutil.wait_procs(alive, timeout=5)
        if self._process is not None:
            self._process.wait()
            self._process = None

    def _log_end(self) -> str:
        lines = (self.folder / "log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-_LOG_LINES_SHOWN:])


@dataclass(kw_only=True)
class RaylogServer(Server):
    """``raylog serve`` with a local folder as its bucket."""

    wal: str
    """The class that all topics use."""
    wal_query: str = ""
    store_query: str = ""
    options: tuple[str, ...] = ()
    """Further ones of ``raylog serve``."""

    def command(self) -> Sequence[str]:
        store = self.folder / "bucket"
        wal_folder = self.folder / "wal"
        wal_folder.mkdir(exist_ok=True)
        url = f"file://{wal_folder}" if self.wal == "file" else "object:"
        return [
            str(Path(sys.executable).with_name("raylog")),
            "serve",
            f"--listen={self.bootstrap}",
            f"--store=file://{store}{self.store_query}",
            f"--wal={self.wal}={url}{self.wal_query}",
            f"--default-wal={self.wal}",
            f"--metrics=127.0.0.1:{free_port()}",
            *self.options,
        ]
