"""Raylog on several Ray nodes of this machine, for one experiment: everything is in one folder, and ends with it."""

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil

from lab import counters, slowing
from lab.autoscaling_ray import AutoscalingRay
from lab.experiment import HEAD, Event, Kind, LocalCluster
from lab.ray_cluster import RayCluster, RayNode
from raylog.model.errors import InvalidError, RetryError

_ROLES: Final = {"leader": "LeaderActor", "gateway": "GatewayActor", "controller": "ControllerActor"}
_DRAIN_S_MAX: Final = 120
_AUTOSCALER: Final = 2
"""Its version."""
_IDLE_S: Final = 6.0
"""After which the autoscaler takes a node away, on which nothing runs."""

Say = Callable[[str], None]


class LocalLab:
    """Enter it to have it up; leaving it ends every process."""

    def __init__(self, spec: LocalCluster, folder: Path, say: Say) -> None:
        self._spec = spec
        self._folder = folder
        self._say = say
        self._ray = AutoscalingRay(folder) if spec.autoscaled else RayCluster(folder)
        self._nodes: dict[str, RayNode] = {}
        self._adding = threading.Lock()
        self._ended = threading.Event()
        self._brake = folder / "brake"

    @property
    def bootstrap(self) -> str:
        """The nodes of the start, the one that stays first."""
        return ",".join(self._nodes[name].bootstrap for name in self._spec.nodes)

    def __enter__(self) -> Self:
        try:
            self._start_nodes()
            config = self._folder / "raylog.toml"
            config.write_text(config_text(self._spec, self._folder, self._brake), encoding="utf-8")
            (self._folder / "wal").mkdir()
            self._say("starting Raylog")
            self._ray.raylog("start", "--address", self._ray.address, "--config", str(config))
        except BaseException:
            self._ray.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.cut_short()
        self._ray.close()

    def cut_short(self) -> None:
        """What lasts for a while ends now, as the run does."""
        self._ended.set()

    def counts(self) -> counters.Counts:
        return counters.from_folder(self._folder / "run" / "metrics")

    def strike(self, event: Event, blow: Callable[[], None]) -> None:
        """Returns when it has been done, and undone where it lasts for a while; ``blow`` is called when leaders stop by it.

        Raises RaylogError when it cannot be done.
        """
        match event.kind:
            case Kind.ADD:
                self._add(event.node)
            case Kind.DRAIN:
                where = ("--address", self._ray.address, "--timeout", str(_DRAIN_S_MAX))
                self._ray.raylog("drain", event.node, *where)
            case Kind.PREEMPT:
                self._ray.give_notice(self._nodes[event.node])
                if not self._ended.wait(event.notice_s):
                    blow()
                    self._nodes[event.node].kill()
            case Kind.KILL:
                self._kill(event, blow)
            case Kind.PAUSE:
                processes = self._processes(event)
                blow()
                slowing.pause(processes, event.for_s, self._ended)
            case Kind.SLOW_NODE:
                slowing.slow_down(self._nodes[event.node].family, event.factor, event.for_s, self._ended)
            case Kind.SLOW_BUCKET:
                self._brake.write_text(f"{event.extra_ms:g}", encoding="ascii")
                self._ended.wait(event.for_s)
                self._brake.unlink()
            case Kind.GCS_AWAY:
                start_again = self._ray.kill_gcs()
                self._ended.wait(event.for_s)
                start_again()

    def _start_nodes(self) -> None:
        for name in self._spec.nodes:
            self._say(f"starting node {name}")
            if isinstance(self._ray, AutoscalingRay):
                further = self._spec.autoscaled
                self._nodes[name] = self._ray.start(name, further, version=_AUTOSCALER, idle_s=_IDLE_S)
            else:
                self._add(name)

    def _add(self, name: str) -> None:
        with self._adding:  # the newest raylet is the one that was just started
            self._nodes[name] = self._ray.add_node(name, is_head=name == HEAD)

    def _kill(self, event: Event, blow: Callable[[], None]) -> None:
        processes = self._processes(event)
        blow()
        if not event.role:
            self._nodes[event.node].kill()
            return
        for process in processes:
            process.kill()

    def _processes(self, event: Event) -> list[psutil.Process]:
        """A whole node's, or one of the role's. Raises RetryError when there is none."""
        nodes = [self._nodes[event.node]] if event.node else list(self._nodes.values())
        if not event.role:
            found = nodes[0].family()
        else:
            found = [psutil.Process(pid) for node in nodes for pid in node.roles(_ROLES[event.role])][:1]
        if not found:
            raise RetryError(f"No process was there to {event.label}.")
        return found


def config_text(spec: LocalCluster, folder: Path, brake: Path) -> str:
    """Raylog's configuration file (TOML) for a cluster whose bucket, WAL and logs are in a folder."""
    latency = f"&latency={spec.latency}" if spec.latency else ""
    top: dict[str, object] = {
        "store": f"{(folder / 'bucket').as_uri()}?brake={brake}{latency}",
        "listen": "127.0.0.1:9092",
        "metrics": "",
        "run_dir": str(folder / "run"),
        **spec.options,
    }
    tables: dict[str, Mapping[str, object]] = {
        "wal": {"file": (folder / "wal").as_uri(), "object": "object:"},
        "broker": spec.broker,
        **{f"limits.{group}": values for group, values in spec.limits.items()},
    }
    lines = [f"{key} = {_toml(value)}" for key, value in top.items()]
    for name, values in tables.items():
        lines += [f"[{name}]", *(f'"{key}" = {_toml(value)}' for key, value in values.items())]
    return "\n".join((*lines, ""))


def _toml(value: object) -> str:
    """A text or number: JSON's way to write these is TOML's, too."""
    if not isinstance(value, str | int | float):
        raise InvalidError(f"{value!r} is neither a text nor a number.")
    return json.dumps(value, ensure_ascii=False)
