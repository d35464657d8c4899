"""What Ray imports into each of its worker processes before it gives it work (``RAY_preload_python_modules``).

It makes the worker ready to be a leader at once: all is imported, and has been done once (actors/rehearsal.py).

A worker that waits with all of it done is a *spare*, and its title says so: see ``actors.spares``.
"""

import importlib
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import ray

from actors.loop_thread import keep_what_is_here
from actors.main_thread import let_main_thread_sleep
from actors.parent import end_with_parent
from actors.settings import WORK_DELAY_S
from actors.spares import SPARE_TITLE
from raylog.model.logs import role_logger

_OF_RAY = ("ray._common.pydantic_compat", "ray._private.arrow_serialization", "pydantic.v1")
"""Ray imports these when an actor's arguments arrive; where a version of Ray has them elsewhere, they come then."""
_OF_LEADERS = (
    "prometheus_client.multiprocess",
    "pyarrow.ipc",
    "actors.compaction",
    "actors.controller_actor",
    "actors.leader_actor",
    "raylog.leader.leader",
    "raylog.storage.store_url",
    "raylog.storage.wal_class",
)
_FIRST_FLEXIBLE = {0: 9, 1: 12}
"""Produce and Fetch, and the first version that clients of the last years send (KIP-482)."""


def warm_up() -> None:
    """Import what a leader needs. What this process will be for nobody knows yet: nothing is set up."""
    # kio tells hypothesis, where that is installed, how to draw its types: a third of a second, for tests.
    sys.modules.setdefault("hypothesis", None)  # type: ignore[arg-type]
    _import(_OF_LEADERS)
    with suppress(ImportError):
        _import(_OF_RAY)
    from raylog.leader.registry import served_apis
    from raylog.protocol.wire import prepare

    apis = served_apis()
    for api_key, first in _FIRST_FLEXIBLE.items():
        prepare(api_key, range(first, apis[api_key].max_version + 1))
    _rehearse()
    keep_what_is_here()  # so that the leader to come has only its own to look through
    # A spare whose raylet is killed would wait for ever. A role has a watch of its own, which tells its log.
    end_with_parent(role_logger("worker"))
    let_main_thread_sleep(WORK_DELAY_S)
    raylet: Any = ray._raylet
    raylet.setproctitle(SPARE_TITLE)


def _rehearse() -> None:
    from actors.rehearsal import rehearse

    try:
        rehearse()
    except Exception:  # noqa: BLE001 (whatever it is, a role is only slower to start)
        role_logger("worker").warning("the rehearsal of a leader's start has failed", exc_info=True)


def _import(names: Iterable[str]) -> None:
    for name in names:
        importlib.import_module(name)


warm_up()
