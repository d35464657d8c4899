"""What is the same for Raylog on an embedded Ray and on a running one: the bucket's check, the controller's status, the end."""

import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from actors.lasting_errors import forget_errors, raise_told_error
from actors.settings import CONTROLLER_NAME, GATEWAY_PREFIX, LEADER_PREFIX
from raylog.model.clock import Clock
from raylog.model.config import ClusterConfig
from raylog.model.errors import RetryError

CLOSE_TIMEOUT_S = 20.0
READY_TIMEOUT_S = 120.0
POLL_S = 0.05

Step = Callable[[str], None]
"""Told what is being done, for a person who waits."""
Check = Callable[[], None]
"""Called often while starting; what it raises ends the start."""


def start_controller(config: ClusterConfig, *, is_alone: bool) -> Any:
    """The actor of a new deployment's controller, which starts all other roles. ``is_alone``: this Ray has one node and never
    another."""
    from actors.controller_actor import ControllerActor
    from actors.launcher import start_actor

    forget_errors(Path(config.run_dir))
    return start_actor(ControllerActor, CONTROLLER_NAME, config, uuid.uuid4().hex, is_alone)


def first_line(error: Exception) -> str:
    """What a library said, for a sentence of ours: without the rest of its text, and its full stop."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def controller_status(controller: Any) -> dict[str, Any]:
    """What the controller says of the cluster; empty while it does not answer."""
    import ray

    try:
        outcome = ray.get(controller.call.remote("status", (), {}), timeout=5)
    except ray.exceptions.RayError:
        return {}
    return {} if outcome.error else dict(outcome.value)


def is_ready(status: dict[str, Any]) -> bool:
    """Every node has its broker, every leader that leads something is up, and leads what it must."""
    if not status or not status["leaders"] or not status["brokers"]:
        return False
    brokers = {broker["node"] for broker in status["brokers"]}
    return (
        all(node["node"] in brokers for node in status["nodes"] if not node["draining"])
        and all(leader["up"] or leader["rests"] for leader in status["leaders"] if leader["needed"])
        and not status["unadopted_partitions"]
    )


def wait_until_serving(
    controller: Any,
    clock: Clock,
    check: Check,
    are_served: Callable[[dict[str, Any]], bool],
    poll_s: float,
    run_dir: str,
    logs_say: str,
) -> dict[str, Any]:
    """The status once the cluster is ready and ``are_served``, asked with it, says that clients are.

    Raises CorruptError when a role of this node has told that it cannot be; RetryError when it takes too long, with what the logs
    in ``run_dir`` say then.
    """
    deadline = clock.monotonic() + READY_TIMEOUT_S
    while clock.monotonic() < deadline:
        check()
        raise_told_error(Path(run_dir))
        status = controller_status(controller)
        if is_ready(status) and are_served(status):
            return status
        pause(poll_s)
    raise RetryError(f"Raylog was not ready within {READY_TIMEOUT_S:.0f} s; the logs in {run_dir}/logs {logs_say}.")


def close_roles(step: Step) -> None:
    """Close gateways, then leaders (which flush to the bucket), then the controller; of all that this Ray has."""
    from ray.util import list_named_actors

    from actors.launcher import close_actors

    roles = (GATEWAY_PREFIX, LEADER_PREFIX)
    names = list_named_actors()
    step("closing the gateways")
    close_actors([name for name in names if name.startswith(GATEWAY_PREFIX)], CLOSE_TIMEOUT_S)
    step("closing the leaders: what the WAL holds goes to the bucket")
    close_actors([name for name in names if name.startswith(LEADER_PREFIX)], CLOSE_TIMEOUT_S)
    step("closing the controller")
    close_actors([CONTROLLER_NAME], CLOSE_TIMEOUT_S)
    # The controller starts what it misses until it is closed.
    close_actors([name for name in list_named_actors() if name.startswith(roles)], CLOSE_TIMEOUT_S)


def check_store(config: ClusterConfig) -> None:
    """Prove that the bucket can be reached and refuses overwrites. Raises InvalidError."""
    import asyncio

    from raylog.model.clock import SystemClock, system_random
    from raylog.model.limits import Limits
    from raylog.storage.store_selftest import self_test
    from raylog.storage.store_url import open_store

    async def check() -> None:
        store = await open_store(
            config.store,
            clock=SystemClock(),
            rng=system_random(),
            limits=Limits.from_mapping(config.limits),
            registry=None,
        )
        try:
            await self_test(store, rng=system_random())
        finally:
            await store.close()

    asyncio.run(check())


def pause(seconds: float) -> None:
    threading.Event().wait(seconds)
