"""Handovers as those read them who take over: when they adopt, and again in each replay of the adoption."""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from raylog.leader.backoff import backoff
from raylog.leader.checkpoint_format import decode_checkpoint_state
from raylog.leader.log_state import LedSnapshot
from raylog.model.changes import Changes
from raylog.model.clock import Clock, Random
from raylog.model.errors import CorruptError, NotFoundError, RetryError, reading
from raylog.model.ids import LeaderId, TopicPartition
from raylog.model.logs import RoleLogger, fields
from raylog.partition.changes import with_changes
from raylog.partition.flushed_state import PartitionSnapshot
from raylog.storage.checkpoint import list_checkpoints
from raylog.storage.handover import read_handover
from raylog.storage.keys import handover_key
from raylog.storage.object_store import ObjectStore
from raylog.storage.slot_events import TakeOver

Partitions = dict[TopicPartition, PartitionSnapshot]


class Source(NamedTuple):
    """How a partition goes on: by which leader's handover, and what changed after that was written."""

    partition: TopicPartition
    leader_id: LeaderId
    handover: int
    changes: Changes | None


def source_of(event: TakeOver) -> Source:
    return Source(event.partition, LeaderId(event.from_leader), event.handover, event.changes)


def as_released(handed: PartitionSnapshot, source: Source) -> PartitionSnapshot:
    """What a partition begins with, given what the handover says of it. Raises CorruptError."""
    if source.changes is None:
        return handed
    try:
        return with_changes(handed, source.changes)
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptError(
            f"What changed in partition {source.partition.partition} of topic {source.partition.topic_id} after the handover "
            f"{source.handover} of leader {source.leader_id} cannot be understood: {error!r}"
        ) from error


class HandoverReader:
    """Reads each object once, however many partitions come with it."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._found: dict[tuple[LeaderId, int], dict[TopicPartition, LedSnapshot]] = {}

    async def read(self, leader_id: LeaderId, number: int) -> dict[TopicPartition, LedSnapshot]:
        """All that a leader released with one handover. Raises NotFoundError, CorruptError, RetryError."""
        found = self._found.get((leader_id, number))
        if found is None:
            data = await read_handover(self._store, leader_id, number)
            with reading(f"'{handover_key(leader_id, number)}'"):
                state = await asyncio.get_running_loop().run_in_executor(None, decode_checkpoint_state, data)
            found = {led.partition: led for led in state.partitions}
            self._found[leader_id, number] = found
        return found

    async def states(self, wanted: Iterable[Source]) -> Partitions:
        """What partitions begin with, each with its own source. Raises CorruptError, RetryError; NotFoundError when an object is
        gone."""
        states: Partitions = {}
        for source in wanted:
            found = await self.read(source.leader_id, source.handover)
            partition = source.partition
            if partition not in found:
                raise CorruptError(
                    f"The handover {source.handover} of leader {source.leader_id} does not have partition "
                    f"{partition.partition} of topic {partition.topic_id}."
                )
            states[partition] = as_released(found[partition].state, source)
        return states

    async def patiently(self, wanted: Sequence[Source], clock: Clock, rng: Random, logger: RoleLogger) -> Partitions:
        """The same, for one who leads the partitions and waits while the bucket is away. Raises CorruptError alone."""
        for pause in backoff(rng):
            try:
                return await self.states(wanted)
            except RetryError as error:
                logger.warning("a handover cannot be read now, trying again", extra=fields(error=error))
                await clock.sleep(pause)
            except NotFoundError as error:
                raise CorruptError(f"What an earlier leader handed over is not there: {error}") from error
        raise AssertionError("pauses never end")

    async def handed_to(self, prefix: str, slot: int, events: Collection[TakeOver]) -> Partitions:
        """The same for a replay's events, which a slot of the log under ``prefix`` has.

        A handover may be deleted once a checkpoint at or above the slot has what it said: if there is one, this replay began too
        low, and the RetryError says to begin again. Raises CorruptError when there is none.
        """
        try:
            return await self.states(map(source_of, events))
        except NotFoundError as error:
            async for checkpoint, _ in list_checkpoints(self._store, prefix):
                if checkpoint >= slot:
                    raise RetryError(
                        f"The log '{prefix}' was checkpointed past slot {slot} while it was read."
                    ) from error
            raise CorruptError(
                f"Slot {slot} of '{prefix}' takes over by a handover that is not there: {error}"
            ) from error
