"""What every role's process sets up before its shell: logs, the metrics folder, the clock, the bucket.

The order matters: prometheus-client decides at import whether it counts in files that the node's ``/metrics`` can merge, and most
workers have imported it before they have a role (actors/warm.py): so it is made to decide again once the folder has a name.
"""

import os
import re
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING

from raylog.model.clock import Clock, Random, SystemClock, system_random
from raylog.model.config import ClusterConfig
from raylog.model.logs import RoleLogger, configure_logs, role_logger

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from raylog.model.limits import Limits
    from raylog.storage.object_store import ObjectStore

_LOG_BYTES_MAX = 16 << 20
_LOGS_KEPT = 2
"""Older files of a role's log; the disk that it shares with others must not fill up."""
_LIVE_GAUGE = re.compile(r"gauge_live[a-z]*_(?P<pid>[0-9]+)\.db")


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSetup:
    """The things that a role's shell is given."""

    config: ClusterConfig
    node_id: str
    clock: Clock
    rng: Random
    limits: "Limits"
    registry: "CollectorRegistry"
    log: RoleLogger

    @property
    def run_dir(self) -> Path:
        return Path(self.config.run_dir)

    async def open_store(self) -> "ObjectStore":
        from raylog.storage.store_url import open_store

        return await open_store(
            self.config.store, clock=self.clock, rng=self.rng, limits=self.limits, registry=self.registry
        )


def metrics_dir(config: ClusterConfig) -> Path:
    """Where the roles of a node leave their counters."""
    return Path(config.run_dir) / "metrics"


def set_up_role(config: ClusterConfig, role: str, node_id: str, **context: object) -> RoleSetup:
    """Prepare this process for one role; called once, first thing in the actor."""
    folder = metrics_dir(config)
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    configure_logs(config.log_level, _log_file(config, role, context))

    from prometheus_client import CollectorRegistry, values

    from raylog.model.limits import Limits

    if values.ValueClass is values.MutexValue:
        values.ValueClass = values.get_value_class()
    _forget_gauges_of_the_dead(folder)
    return RoleSetup(
        config=config,
        node_id=node_id,
        clock=SystemClock(),
        rng=system_random(),
        limits=Limits.from_mapping(config.limits),
        registry=CollectorRegistry(),
        log=role_logger(role, node=node_id, **context),
    )


def _log_file(config: ClusterConfig, role: str, context: dict[str, object]) -> RotatingFileHandler:
    name = "-".join([role, *(str(value) for value in context.values())])
    folder = Path(config.run_dir) / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    return RotatingFileHandler(
        folder / f"{name}.log", maxBytes=_LOG_BYTES_MAX, backupCount=_LOGS_KEPT, encoding="utf-8"
    )


def _forget_gauges_of_the_dead(folder: Path) -> None:
    """A gauge says what is so now: those of processes that have ended count no more. Their counters go on counting."""
    # prometheus-client's ``mark_process_dead`` fails when two that start at the same time find the same dead one.
    for path in folder.iterdir():
        found = _LIVE_GAUGE.fullmatch(path.name)
        if found is not None and not _is_alive(int(found["pid"])):
            path.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
