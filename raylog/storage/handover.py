"""Handovers: partitions as their leader has released them, in one object for all that leave together, for those who take over.

In the slot's format, of kind HANDOVER: the header says which open of the leader wrote it, the meta is the state, in the encoding
of checkpoints. An object of its own, because the one who takes over shall not have to read the other's log; a random number,
because a writer that was fenced meanwhile must not be able to overwrite what its successor has released.
"""

from dataclasses import dataclass

from raylog.model.ids import LeaderId, LogEpoch
from raylog.storage.keys import handover_key
from raylog.storage.object_store import ObjectStore, Priority
from raylog.storage.slot_format import SlotKind
from raylog.storage.state_object import decode_state, encode_state

NUMBER_BITS = 63
"""Of a handover's number, which is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    leader_id: LeaderId
    """Who releases."""
    number: int
    epoch: LogEpoch
    """Of the releasing log, and who holds it."""
    writer_id: bytes
    state: bytes


async def write_handover(store: ObjectStore, handover: Handover, *, is_there: bool = False) -> None:
    """Write it, as quickly as a slot; or again, so that it is younger, where it ``is_there``. Raises the store's RetryError."""
    body = encode_state(
        SlotKind.HANDOVER,
        number=handover.number,
        epoch=handover.epoch,
        writer_id=handover.writer_id,
        state=handover.state,
    )
    key = handover_key(handover.leader_id, handover.number)
    if is_there:
        await store.put(key, body, priority=Priority.WAL)
    else:
        await store.put_if_absent(key, body, priority=Priority.WAL)


async def read_handover(store: ObjectStore, leader_id: LeaderId, number: int) -> bytes:
    """The state that a leader has handed over. Raises NotFoundError, CorruptError, and the store's RetryError."""
    key = handover_key(leader_id, number)
    return decode_handover(await store.get(key, priority=Priority.WAL), key)


def decode_handover(data: bytes, key: str) -> bytes:
    """The state that the object ``key`` holds. Raises CorruptError."""
    _, state = decode_state(SlotKind.HANDOVER, data, key)
    return state
