"""Checkpoints of a fenced log: the whole state after a slot, kept beside the log so that replay starts there.

A checkpoint is an object in the slot's format, of kind CHECKPOINT: its header carries the epoch and writer that held the log at
that slot, its meta is the state. The newest one is also the log's proven start: slots are only ever deleted below one.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from raylog.model.errors import NotFoundError
from raylog.model.ids import LogEpoch
from raylog.storage.keys import checkpoint_key, checkpoint_prefix, number_of
from raylog.storage.object_store import ObjectMeta, ObjectStore, Priority
from raylog.storage.slot_format import SlotKind
from raylog.storage.state_object import decode_state, encode_state


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The state after slot ``slot``, in the encoding of the log's owner."""

    slot: int
    epoch: LogEpoch
    """The log's epoch at that slot, and who held it."""
    writer_id: bytes
    state: bytes


async def list_checkpoints(store: ObjectStore, prefix: str) -> AsyncIterator[tuple[int, ObjectMeta]]:
    """The checkpoints of the log kept under ``prefix``, by slot number, oldest first."""
    async for meta in store.list(checkpoint_prefix(prefix)):
        yield number_of(meta.key), meta


async def latest_checkpoint(store: ObjectStore, prefix: str) -> Checkpoint | None:
    """The newest checkpoint of the log kept under ``prefix``. Raises CorruptError, and the store's RetryError."""
    while True:
        newest: ObjectMeta | None = None
        async for _, meta in list_checkpoints(store, prefix):
            newest = meta
        if newest is None:
            return None
        try:
            data = await store.get(newest.key)
        except NotFoundError:
            continue  # trimmed after the listing, so there is a newer one
        return decode_checkpoint(data, newest.key)


async def write_checkpoint(store: ObjectStore, prefix: str, checkpoint: Checkpoint) -> None:
    """Write (or write again, with the same meaning) a checkpoint of the log kept under ``prefix``."""
    body = encode_state(
        SlotKind.CHECKPOINT,
        number=checkpoint.slot,
        epoch=checkpoint.epoch,
        writer_id=checkpoint.writer_id,
        state=checkpoint.state,
    )
    await store.put(checkpoint_key(prefix, checkpoint.slot), body, priority=Priority.BACKGROUND)


def decode_checkpoint(data: bytes, key: str) -> Checkpoint:
    """The checkpoint that the object ``key`` holds. Raises CorruptError."""
    record, state = decode_state(SlotKind.CHECKPOINT, data, key)
    return Checkpoint(slot=record.slot, epoch=record.epoch, writer_id=record.writer_id, state=state)
