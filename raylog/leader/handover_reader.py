"""Handovers as those read them who take over: when they adopt, and again in each replay of the adoption."""

import asyncio
from collections.abc import Collection, Iterable

from raylog.leader.checkpoint_format import decode_checkpoint_state
from raylog.model.errors import CorruptError, NotFoundError, RetryError, reading
from raylog.model.ids import LeaderId, TopicPartition
from raylog.partition.flushed_state import PartitionSnapshot
from raylog.storage.checkpoint import list_checkpoints
from raylog.storage.handover import read_handover
from raylog.storage.keys import handover_key
from raylog.storage.object_store import ObjectStore
from raylog.storage.slot_events import TakeOver

Partitions = dict[TopicPartition, PartitionSnapshot]


class HandoverReader:
    """Reads each object once, however many partitions come with it."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._found: dict[tuple[LeaderId, int], Partitions] = {}

    async def read(self, leader_id: LeaderId, number: int) -> Partitions:
        """All that a leader released with one handover. Raises NotFoundError, CorruptError, RetryError."""
        found = self._found.get((leader_id, number))
        if found is None:
            data = await read_handover(self._store, leader_id, number)
            with reading(f"'{handover_key(leader_id, number)}'"):
                state = await asyncio.get_running_loop().run_in_executor(None, decode_checkpoint_state, data)
            found = {led.partition: led.state for led in state.partitions}
            self._found[leader_id, number] = found
        return found

    async def states(self, wanted: Iterable[tuple[TopicPartition, LeaderId, int]]) -> Partitions:
        """What handovers say of partitions, each named with its own. Raises CorruptError, RetryError; NotFoundError when an
        object is gone."""
        states: Partitions = {}
        for partition, leader_id, number in wanted:
            found = await self.read(leader_id, number)
            if partition not in found:
                raise CorruptError(
                    f"The handover {number} of leader {leader_id} does not have partition {partition.partition} of topic "
                    f"{partition.topic_id}."
                )
            states[partition] = found[partition]
        return states

    async def handed_to(self, prefix: str, slot: int, events: Collection[TakeOver]) -> Partitions:
        """The same for a replay's events, which a slot of the log under ``prefix`` has.

        A handover may be deleted once a checkpoint at or above the slot has what it said: if there is one, this replay began too
        low, and the RetryError says to begin again. Raises CorruptError when there is none.
        """
        try:
            return await self.states((e.partition, LeaderId(e.from_leader), e.handover) for e in events)
        except NotFoundError as error:
            async for checkpoint, _ in list_checkpoints(self._store, prefix):
                if checkpoint >= slot:
                    raise RetryError(
                        f"The log '{prefix}' was checkpointed past slot {slot} while it was read."
                    ) from error
            raise CorruptError(
                f"Slot {slot} of '{prefix}' takes over by a handover that is not there: {error}"
            ) from error
