"""Keeps spare workers on a node: processes of its raylet that have imported everything (actors/warm.py) and wait for work.

Ray gives the next actor or task that it starts to a worker that has never had any: so a leader, or any other role, that ends
starts again in a spare, and needs nobody's help for that. All that is done here is to see how many spares there are, and to
ask the raylet for one more when there are too few (docs/decisions/0010).

- One starts at a time, and only when no other process has come or gone for a while: a start costs a second and a half of
  processor time, which roles that are starting again need more.
- Spares sleep (actors/main_thread.py). When another worker of the raylet ends they are woken, as its role may be about to start
  again in one of them.
- Nothing depends on spares: without them a role starts in a new process. What goes wrong here is logged, and tried again.
"""

import asyncio
import os
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import ray

from actors.main_thread import wake_main_thread
from actors.settings import PRELOAD_VARIABLE, WARM_MODULE
from raylog.model.clock import Clock
from raylog.model.errors import RetryError
from raylog.model.logs import RoleLogger, fields

SPARE_TITLE = "raylog::spare"
"""The title of a spare's process, from the end of its imports until Ray gives it work."""

_LOOK_EVERY_S = 2.0
_CALM_S = 4.0
_UNREST_S_MAX = 30.0
"""Nobody waits longer for calm: workers of tasks may come and go all the time."""
_PATIENCE_S = 30.0
_PATIENCE_S_MAX = 3600.0
_KEPT_S = 24 * 3600
"""Ray ends a worker that has waited so long while others need its processors; it is replaced then."""
_ASK_TIMEOUT_S = 5.0


class SparePool:
    """When to start a spare. Times are of the monotonic clock."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._others: frozenset[int] = frozenset()
        self._changed_at_s = float("-inf")
        self._complete_at_s: float | None = None
        """When it was last so, or the first look."""
        self._spares: frozenset[int] = frozenset()
        self._awaited_until_s = float("-inf")
        """A spare that was asked for should be there by then."""
        self._patience_s = _PATIENCE_S

    def look(self, now_s: float, titles: Mapping[int, str]) -> bool:
        """Whether to start a spare now, given the titles of the raylet's processes by process id."""
        spares = frozenset(pid for pid, title in titles.items() if title == SPARE_TITLE)
        others = frozenset(titles) - spares
        if spares - self._spares:
            self._awaited_until_s = float("-inf")
            self._patience_s = _PATIENCE_S
        if others != self._others:
            self._changed_at_s = now_s
        self._spares, self._others = spares, others
        if self._complete_at_s is None or len(spares) >= self._wanted:
            self._complete_at_s = now_s
        is_calm = now_s - self._changed_at_s >= _CALM_S or now_s - self._complete_at_s >= _UNREST_S_MAX
        return len(spares) < self._wanted and is_calm and now_s >= self._awaited_until_s

    def asked(self, now_s: float) -> None:
        """One was asked for, with success or without. If none comes, the next is asked for ever later."""
        self._awaited_until_s = now_s + self._patience_s
        self._patience_s = min(2 * self._patience_s, _PATIENCE_S_MAX)


class SpareWaker:
    """Wakes the spares when one of the other processes ends. Used from one event loop only."""

    def __init__(self) -> None:
        self._spares: list[int] = []
        self._others: dict[int, int] = {}
        """A file descriptor of each, by process id."""

    def follow(self, titles: Mapping[int, str]) -> None:
        """The raylet's processes as of now. On a system that cannot tell of their end nobody is woken."""
        self._spares = [pid for pid, title in titles.items() if title == SPARE_TITLE]
        others = titles.keys() - self._spares
        for pid in self._others.keys() - others:
            self._forget(pid)
        for pid in others - self._others.keys():
            with suppress(OSError):
                self._others[pid] = os.pidfd_open(pid)
                asyncio.get_running_loop().add_reader(self._others[pid], self._ended, pid)

    def close(self) -> None:
        for pid in list(self._others):
            self._forget(pid)

    def _ended(self, pid: int) -> None:
        self._forget(pid)
        for spare in self._spares:
            wake_main_thread(spare)

    def _forget(self, pid: int) -> None:
        file = self._others.pop(pid)
        asyncio.get_running_loop().remove_reader(file)
        os.close(file)


async def keep_spares(wanted: int, clock: Clock, log: RoleLogger) -> None:
    """Keep ``wanted`` spares beside this process, which is itself a worker of the raylet, until cancelled."""
    if wanted and WARM_MODULE not in os.environ.get(PRELOAD_VARIABLE, "").split(","):
        log.warning("Ray was started without Raylog's settings (python -m actors.settings): there are no spare workers")
        return
    pool = SparePool(wanted)
    raylet = os.getppid()
    with closing(SpareWaker()) as waker:
        while wanted:
            try:
                titles = await asyncio.to_thread(titles_of_children, raylet)
                waker.follow(titles)
                if pool.look(clock.monotonic(), titles):
                    pool.asked(clock.monotonic())
                    await asyncio.to_thread(_start_spare)
            except RetryError as error:
                log.warning("a spare worker cannot be started now, trying again", extra=fields(error=error))
            except Exception:  # no gateway ends for want of spares; a system without /proc comes here, too
                log.exception("there are no spare workers from now on")
                return
            await clock.sleep(_LOOK_EVERY_S)


def titles_of_children(parent: int) -> dict[int, str]:
    """The titles of a process's children by process id, those that end meanwhile left out. Raises OSError where none are told."""
    titles: dict[int, str] = {}
    for thread in Path(f"/proc/{parent}/task").iterdir():
        for pid in (thread / "children").read_text().split():
            try:
                title = Path(f"/proc/{pid}/cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            titles[int(pid)] = title.split(b"\0", 1)[0].decode(errors="replace")
    return titles


def _start_spare() -> None:
    """Ask this node's raylet for one more worker. Returns before it is there. Raises RetryError.

    Ray has no public call for it: this is the message that its own libraries send.
    """
    import grpc
    from ray._private.grpc_utils import init_grpc_channel
    from ray.core.generated import node_manager_pb2, node_manager_pb2_grpc

    messages: Any = node_manager_pb2  # protobuf makes its classes when it is imported
    try:
        with init_grpc_channel(_raylet_address()) as channel:
            raylet = node_manager_pb2_grpc.NodeManagerServiceStub(channel)
            request = messages.PrestartWorkersRequest(num_workers=1, keep_alive_duration_secs=_KEPT_S)
            raylet.PrestartWorkers(request, timeout=_ASK_TIMEOUT_S)
    except (grpc.RpcError, ray.exceptions.RayError) as error:
        raise RetryError(f"The raylet did not start a worker: {error}") from error


def _raylet_address() -> str:
    here = ray.get_runtime_context().get_node_id()
    for node in ray.nodes():
        if node["NodeID"] == here:
            return f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}"
    raise RetryError("Ray does not know this node yet.")
