"""The processes of an embedded Ray: has one ended, and how to end the rest when one has.

A raylet that has ended starts no role again, and a GCS without an outside store cannot be started again with what it knew.
Neither holds what the bucket and the WAL do not hold, so the way back is a new start of everything: seconds, and the path of a
power cut.
"""

from collections.abc import Callable
from typing import Any

from raylog.model.errors import RetryError

_NEEDED = {"raylet": "raylet", "gcs_server": "GCS"}
"""Ray's names for what it cannot do without, and how they are called in its documentation."""


def check_processes() -> None:
    """Raises RetryError, for a person, when one of them has ended. Does nothing on a Ray cluster that is not embedded."""
    for kind, title in _NEEDED.items():
        for info in _processes(kind):
            code = info.process.poll()
            if code is not None:
                raise RetryError(
                    f"Ray's {title} has ended ({_how(code)}), and no role would be started again without it, so this server ends "
                    "too. Start it again: the bucket and the WAL have everything that was acknowledged."
                )


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _processes(kind: str) -> list[Any]:
    import ray

    node: Any = ray._private.worker._global_node
    return [] if node is None else node.all_processes.get(kind, [])


def end_processes(is_free: Callable[[], bool], pause: Callable[[], None], pauses_max: int) -> None:
    """SIGKILL to all of them, then wait until the roles have ended (actors/parent.py) and their port ``is_free``.

    Ray's own agents, which serve no client, may look for the GCS for a minute before they end.
    """
    import ray

    node: Any = ray._private.worker._global_node
    if node is not None:
        node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)
    for _ in range(pauses_max):
        if is_free():
            return
        pause()
