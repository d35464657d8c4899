"""Compaction jobs as Ray tasks, on whatever node Ray likes: a job talks to the bucket alone. The work is in raylog/leader/.

Nothing is retried by Ray: the leader plans anew. Brokers come first: the job runs on a thread, and on threads that this one
starts, with a lower priority than theirs, and its requests to the bucket queue behind all others of its process.
"""

import asyncio
import os
import threading
from concurrent.futures import Future
from typing import Any

import ray

from actors.calls import Outcome
from actors.role import set_up_role
from actors.settings import TASK_OPTIONS
from actors.this_node import this_node
from raylog.leader.compactor import CompactionJob, StoreCompactor
from raylog.model.config import ClusterConfig
from raylog.model.errors import RaylogError, RetryError
from raylog.model.ids import LeaderId
from raylog.storage.slot_events import Swap

_NICENESS = 10
"""Above that of the roles' processes. On Linux a thread has its own, and the worker's next task is as nice as it was before."""


class RayCompactor:
    """The compactor port of one leader. See ``raylog.leader.compactor``."""

    def __init__(self, config: ClusterConfig, leader_id: LeaderId) -> None:
        self._config = config
        self._leader_id = leader_id

    async def compact(self, job: CompactionJob) -> Swap:
        try:
            # Submitting sends the job's rows and, the first time, the function to the GCS, which may be away: off the loop.
            ref = await asyncio.to_thread(self._submit, job)
            outcome: Outcome = await asyncio.wrap_future(ref.future())
        except ray.exceptions.RayError as error:
            raise RetryError(f"The task that compacts was lost: {type(error).__name__}.") from error
        swap = outcome.unwrap()
        assert isinstance(swap, Swap)
        return swap

    def _submit(self, job: CompactionJob) -> Any:
        task: Any = ray.remote(compact_in_task)
        return task.options(**TASK_OPTIONS).remote(self._config, self._leader_id, job)


def compact_in_task(config: ClusterConfig, leader_id: LeaderId, job: CompactionJob) -> Outcome:
    """The task: one job, with its error as a value."""
    done: Future[Outcome] = Future()
    threading.Thread(target=_run_nicely, args=(config, leader_id, job, done), name="compaction", daemon=True).start()
    return done.result()


def _run_nicely(config: ClusterConfig, leader_id: LeaderId, job: CompactionJob, done: "Future[Outcome]") -> None:
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + _NICENESS)
        done.set_result(Outcome(value=asyncio.run(_compact(config, leader_id, job))))
    except RaylogError as error:
        done.set_result(Outcome.of_error(error))
    except BaseException as error:  # noqa: BLE001  (whoever waits for it gets it)
        done.set_exception(error)


async def _compact(config: ClusterConfig, leader_id: LeaderId, job: CompactionJob) -> Swap:
    setup = set_up_role(config, "compaction", this_node().name, leader=leader_id)
    store = await setup.open_store()
    try:
        return await StoreCompactor(store, setup.limits).compact(job)
    finally:
        await store.close()
