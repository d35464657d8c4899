"""The configuration of a cluster: one frozen value that the command line makes and every role gets.

Sources, later ones winning: the defaults here, a TOML file (``--config``), the command line. Unknown names are refused with one
sentence. Durations and sizes have their units in their names.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from raylog.model.errors import InvalidError

DEFAULT_LISTEN = "127.0.0.1:9092"
DEFAULT_METRICS = "127.0.0.1:9404"
DEFAULT_STORE = "./raylog-data"

_CPUS_PER_LEADER = 2
_CPUS_PER_GATEWAY = 4
_SPARES_MAX = 4
"""So many at most unless asked for: each takes 65 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPort:
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "HostPort":
        """``host:port``, ``[v6]:port`` or ``:port`` (all interfaces). Raises InvalidError."""
        host, separator, port = text.rpartition(":")
        if not separator or not port.isdigit() or not 0 <= int(port) <= 65535:
            raise InvalidError(f"'{text}' is not an address: write it as host:port, such as {DEFAULT_LISTEN}.")
        return cls(host=host.strip("[]") or "0.0.0.0", port=int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """All that a role needs to start, wherever Ray puts it; plain values, so that it travels in an actor's arguments."""

    store: str = DEFAULT_STORE
    """The bucket: ``s3://bucket/prefix``, ``file:///folder`` or a folder's path."""
    wal: dict[str, str] = field(default_factory=dict)
    """WAL classes by name: ``object:``, ``file:///mount``, with options as a query."""
    default_wal: str = ""
    """The class of topics that do not name one; empty: ``file`` beside a local folder, else ``object``."""
    listen: str = DEFAULT_LISTEN
    advertise: str = ""
    """What clients are told to connect to; empty: the listen address, or this host's name when that is a wildcard."""
    rack: str = ""
    metrics: str = DEFAULT_METRICS
    """Where the node serves ``/metrics``; empty: nowhere."""
    leaders: int = 0
    """Leaders per node and WAL class; 0: one per two CPUs of the node, at least one."""
    gateways: int = 0
    """Gateways per node; 0: one per four CPUs, at least one."""
    spares: int = -1
    """Workers per node that wait for a role to start again in them; -1: one per leader of a WAL class, at most four."""
    run_dir: str = ""
    """Unix sockets, metrics files and logs of this run; empty: a fresh folder under the system's temporary one."""
    log_level: str = "WARNING"
    broker: dict[str, str] = field(default_factory=dict)
    """Kafka broker settings by Kafka's names (``num.partitions`` …)."""
    limits: dict[str, Any] = field(default_factory=dict)
    """Overrides of raylog.model.limits.Limits: a table per group."""

    def leaders_on(self, cpus: int) -> int:
        """Leaders of a WAL class on a node with so many CPUs."""
        return self.leaders or max(1, cpus // _CPUS_PER_LEADER)

    def gateways_on(self, cpus: int) -> int:
        return self.gateways or max(1, cpus // _CPUS_PER_GATEWAY)

    def spares_on(self, cpus: int) -> int:
        return min(self.leaders_on(cpus), _SPARES_MAX) if self.spares < 0 else self.spares

    def with_values(self, values: Mapping[str, Any], origin: str) -> "ClusterConfig":
        """This configuration with some values replaced; tables (wal, broker, limits) are merged. Raises InvalidError."""
        known = {f.name: f for f in fields(self)}
        changed: dict[str, Any] = {}
        for name, value in values.items():
            if name not in known:
                raise InvalidError(
                    f"{origin}: there is no setting '{name}'; the settings are {', '.join(sorted(known))}."
                )
            current = getattr(self, name)
            if isinstance(current, dict) != isinstance(value, dict) or isinstance(current, int) != isinstance(
                value, int
            ):
                raise InvalidError(f"{origin}: '{name}' wants a value like {current!r}, not {value!r}.")
            if name in ("wal", "broker"):
                value = {str(k): _text(v) for k, v in value.items()}
            changed[name] = {**current, **value} if isinstance(current, dict) else value
        return replace(self, **changed)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def load_config_file(path: Path, base: ClusterConfig) -> ClusterConfig:
    """``base`` with the settings of a TOML file. Raises InvalidError with one sentence."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidError(f"The configuration file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidError(f"The configuration file {path} is not valid TOML: {error}.") from error
    return base.with_values(values, str(path))
