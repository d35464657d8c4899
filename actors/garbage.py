"""Garbage collection as a Ray task, on whatever node Ray likes: it talks to the bucket alone. The work is in raylog/leader/.

Nothing is retried by Ray: the next round does what this one has not.
"""

import asyncio
from typing import Any

import ray

from actors.calls import Outcome
from actors.role import set_up_role
from actors.settings import TASK_OPTIONS
from actors.this_node import this_node
from raylog.model.config import ClusterConfig
from raylog.model.errors import RaylogError, RetryError
from raylog.model.ids import TopicPartition


class RayCollection:
    """Collects in a task of its own, one at a time."""

    def __init__(self, config: ClusterConfig) -> None:
        self._config = config

    async def collect(self, led: frozenset[TopicPartition]) -> None:
        """One round. Raises what ``raylog.leader.garbage.collect_garbage`` does; RetryError also when the task was lost."""
        outcome = await asyncio.to_thread(self._run, led)
        outcome.unwrap()

    def _run(self, led: frozenset[TopicPartition]) -> Outcome:
        task: Any = ray.remote(collect_in_task)
        try:
            outcome = ray.get(task.options(**TASK_OPTIONS).remote(self._config, led))
        except ray.exceptions.RayError as error:
            raise RetryError(f"The task that collects garbage was lost: {type(error).__name__}.") from error
        assert isinstance(outcome, Outcome)
        return outcome


def collect_in_task(config: ClusterConfig, led: frozenset[TopicPartition]) -> Outcome:
    """The task: one round, with its error as a value."""
    try:
        return Outcome(value=asyncio.run(_collect(config, led)))
    except RaylogError as error:
        return Outcome.of_error(error)


async def _collect(config: ClusterConfig, led: frozenset[TopicPartition]) -> int:
    setup = set_up_role(config, "garbage", this_node().name)
    from raylog.leader.garbage import collect_garbage

    store = await setup.open_store()
    try:
        collected = await collect_garbage(
            store, led=led, clock=setup.clock, rng=setup.rng, limits=setup.limits, logger=setup.log
        )
    finally:
        await store.close()
    return collected.deleted
