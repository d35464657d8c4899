"""A real Ray of several nodes on this machine, to take nodes away from and to add some to. Each node is one raylet.

Its GCS keeps what it knows in a store, so it may go and come back, as with a head that is set up so.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from actors.settings import prepare_environment
from lab.command import last_line, raylog
from lab.guardian import start_guardian
from lab.marked import MARK_VARIABLE, kill_marked, marked
from lab.ports import free_port
from raylog.model.errors import RetryError

_START_S = 180
_COMMAND_S = 150

StartRaylog = Callable[..., None]
"""Takes further options of ``raylog start``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GcsStore:
    """Where Ray's GCS keeps what it knows."""

    environment: Mapping[str, str]
    head_options: tuple[str, ...] = ()
    """Of ``ray start --head``."""


def folder_store(folder: Path) -> GcsStore:
    """Ray's embedded store."""
    return GcsStore(environment={"RAY_gcs_storage": "rocksdb", "RAY_gcs_storage_path": str(folder)})


class RayCluster:
    """``close`` ends every process of it, whatever has become of those who use it; what it has stored stays."""

    def __init__(self, folder: Path, store: GcsStore | None = None) -> None:
        """Its GCS stores in the folder, too, unless another ``store`` is given."""
        self.gcs_port = free_port()
        self._folder = folder
        self._mark = f"{os.getpid()}-{self.gcs_port}"
        self._restarted: list[subprocess.Popen[bytes]] = []
        self._guardian: subprocess.Popen[bytes] | None = None
        self._env = {**os.environ, MARK_VARIABLE: self._mark}
        prepare_environment(self._env)
        self._store = store or folder_store(folder / "gcs")
        self._env |= self._store.environment

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.gcs_port}"

    def add_node(self, name: str, *, is_head: bool = False, port: int | None = None, **labels: str) -> "RayNode":
        """A node of this name, with one CPU, a port for Kafka (of its own, if none is given), and labels ``raylog.io/…``."""
        port = port or free_port()
        said = node_labels(name, port, **labels)
        if is_head:
            self._start_head(said)
        else:
            self._start_node(said, f"--address={self.address}")
        return self._newest_node(name, port)

    def give_notice(self, node: "RayNode") -> None:
        """Tell Ray that the node will be taken away, as a provider's preemption notice does."""
        self._run(
            *("ray", "drain-node", f"--address={self.address}", f"--node-id={node.ray_id}"),
            *("--reason=DRAIN_NODE_REASON_PREEMPTION", "--reason-message=test", "--deadline-remaining-seconds=600"),
        )

    def kill_gcs(self) -> Callable[[], None]:
        """Kill Ray's GCS. What is returned starts it again where it was, on what it had stored."""
        [gcs] = [process for process in self.processes("gcs/gcs_server") if process.name() == "gcs_server"]
        command, environment = gcs.cmdline(), gcs.environ()
        gcs.kill()
        psutil.wait_procs([gcs], timeout=30)

        def start_again() -> None:
            with (self._folder / "gcs.log").open("ab") as out:
                self._restarted.append(
                    subprocess.Popen(command, env=environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
                )

        return start_again

    def raylog(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a ``raylog`` command line in the cluster's environment. Raises RetryError if it fails, unless not to ``check``."""
        return raylog(*arguments, env=self._env, timeout_s=_COMMAND_S, check=check)

    def processes(self, name: str = "") -> list[psutil.Process]:
        """All that runs for the cluster, whose command line contains ``name``."""
        return [process for process in marked(self._mark) if name in _command_line(process)]

    def close(self) -> None:
        """SIGKILL to every process, until none is left."""
        kill_marked(self._mark)
        for process in self._restarted:
            process.wait()
        if self._guardian is not None:
            self._guardian.communicate()
            self._guardian = None

    def _start_head(self, labels: Mapping[str, str], *options: str) -> None:
        own = (f"--port={self.gcs_port}", "--include-dashboard=false", *self._store.head_options)
        self._start_node(labels, "--head", *own, *options)

    def _start_node(self, labels: Mapping[str, str], *options: str) -> None:
        if self._guardian is None:
            self._guardian = start_guardian(self._mark)
        text = ",".join(f"{key}={value}" for key, value in labels.items())
        self._run(
            *("ray", "start", *options, "--node-ip-address=127.0.0.1", "--num-cpus=1", "--disable-usage-stats"),
            # It would be no child of the raylet, so that it would outlive its node and go through the logs of all others.
            *("--include-log-monitor=false", "--object-store-memory=80000000", f"--labels={text}"),
        )

    def _run(self, program: str, *arguments: str) -> None:
        # Not stopped by a pipe that the processes which it leaves behind keep open.
        output = self._folder / "ray.log"
        with output.open("ab") as out:
            done = subprocess.run(
                [str(Path(sys.executable).with_name(program)), *arguments],
                env=self._env,
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                timeout=_START_S,
                check=False,
            )
        if done.returncode != 0:
            said = output.read_text(errors="replace")
            raise RetryError(f"'{program} {arguments[0]}' failed; {output} says why, last: {last_line(said)}")

    def _newest_node(self, name: str, port: int) -> "RayNode":
        raylet = max(self.processes("raylet/raylet"), key=lambda process: process.create_time())
        return RayNode(name, port, raylet, _ray_id(raylet))


class RayNode:
    """One of its nodes."""

    def __init__(self, name: str, port: int, raylet: psutil.Process, ray_id: str) -> None:
        self.name = name
        self.port = port
        self.ray_id = ray_id
        self._raylet = raylet

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def roles(self, title: str = "Actor") -> list[int]:
        """Process ids of the node's actors of that kind."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return [child.pid for child in self._raylet.children() if title in _command_line(child)]
        return []

    def family(self) -> list[psutil.Process]:
        """The raylet and all of its workers; none when they have ended."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return [self._raylet, *self._raylet.children(recursive=True)]
        return []

    def kill(self) -> None:
        """As if the machine lost its power: the raylet and all of its workers at once."""
        family = self.family()
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=30)


def _ray_id(raylet: psutil.Process) -> str:
    [option] = [text for text in raylet.cmdline() if text.startswith(("--node_id=", "--node-id="))]
    return str(option.partition("=")[2])


def node_labels(name: str, port: int, **others: str) -> dict[str, str]:
    """What tells Raylog of a node, by Ray's labels."""
    return {f"raylog.io/{key}": value for key, value in {"node": name, "port": str(port), **others}.items()}


def _command_line(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""
