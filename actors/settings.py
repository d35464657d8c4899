"""Ray's settings for a data plane, in one place: names of the actors, and the environment that Ray reads when it is imported.

Why each: workers would run at nice 15; the GCS grows with every actor call while task events are on; health checks would see a
dead node only after 13 to 65 s; a raylet would end after a minute without a GCS, and its node's roles with it; a role starts
sooner in a worker that has imported everything (actors/warm.py); and freed blocks are kept by malloc, because touching fresh
pages costs more than copying.
"""

import secrets
import sys
from collections.abc import Iterable, MutableMapping
from typing import Any

NAMESPACE = "raylog"
CONTROLLER_NAME = "raylog-controller"
LEADER_PREFIX = "raylog-leader-"
GATEWAY_PREFIX = "raylog-gateway-"

CALL_DELAY_S = 0.5
"""What a call to a leader's or a gateway's actor may wait, as its main thread sleeps (actors/main_thread.py)."""

WORK_DELAY_S = 0.1
"""And what a worker's first work may wait."""

TASK_OPTIONS: dict[str, Any] = {
    "num_cpus": 0,
    "max_retries": 0,
    "runtime_env": {"env_vars": {"RAYLOG_WORKER": "task"}},
}
"""Of batch work. Its environment is another than the roles' so that Ray gives it workers of its own, and leaves the spare ones
(actors/spares.py) to leaders that start again."""


def leader_name(leader_id: int, incarnation: int) -> str:
    """The actor of one incarnation of a leader: a successor is started beside its hung predecessor (docs/decisions/0003)."""
    return f"{LEADER_PREFIX}{leader_id:06d}.{incarnation}"


def leader_incarnations(names: Iterable[str], leader_id: int) -> list[int]:
    """Which incarnations of a leader are among these actors' names, oldest first."""
    stem = leader_name(leader_id, 0).removesuffix("0")
    return sorted(int(name.removeprefix(stem)) for name in names if name.startswith(stem))


def newest_incarnation(names: Iterable[str], leader_id: int) -> int:
    """0 if the leader has none."""
    return max(leader_incarnations(names, leader_id), default=0)


def gateway_name(node_id: str, index: int) -> str:
    return f"{GATEWAY_PREFIX}{node_id}-{index}"


PRELOAD_VARIABLE = "RAY_preload_python_modules"
WARM_MODULE = "actors.warm"
_S3_MODULE = "raylog.storage.s3_store"

_RAY_ENVIRONMENT = {
    PRELOAD_VARIABLE: WARM_MODULE,
    "RAY_worker_niceness": "0",
    "RAY_task_events_report_interval_ms": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "3600",
    "RAY_DEDUP_LOGS": "0",
    "RAY_event_stats": "0",
    "RAY_memory_monitor_refresh_ms": "0",
}
_MALLOC_ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(256 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(512 << 20),
    "MALLOC_ARENA_MAX": "2",
}


def prepare_environment(environ: MutableMapping[str, str], *, on_s3: bool = True) -> None:
    """Set what the user has not set. To be called before ``ray`` is imported, as Ray reads its settings then.

    ``on_s3`` says that the bucket is, or may be, on S3: its client is half a second of imports.
    """
    if on_s3:
        environ.setdefault(PRELOAD_VARIABLE, f"{WARM_MODULE},{_S3_MODULE}")
    for name, value in (_RAY_ENVIRONMENT | _MALLOC_ENVIRONMENT).items():
        environ.setdefault(name, value)


def keep_others_out(environ: MutableMapping[str, str]) -> None:
    """Give an embedded cluster a token of its own, so that other users of the machine cannot drive it."""
    environ.setdefault("RAY_AUTH_MODE", "token")
    if environ["RAY_AUTH_MODE"] == "token" and not ("RAY_AUTH_TOKEN" in environ or "RAY_AUTH_TOKEN_PATH" in environ):
        environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _print_exports() -> None:
    """For ``ray start`` in a shell: ``eval "$(python -m actors.settings)"``."""
    environment: dict[str, str] = {}
    prepare_environment(environment)
    for name, value in environment.items():
        sys.stdout.write(f"export {name}={value}\n")


if __name__ == "__main__":
    _print_exports()
