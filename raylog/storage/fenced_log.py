"""The fenced log: a sequence of immutable slots in the bucket with one writer at a time. The metadata log and every leader log.

The module's rules are in docs/format.md.
"""

import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from raylog.model.buffers import Buffer
from raylog.model.clock import Clock
from raylog.model.ids import LogEpoch
from raylog.storage.checkpoint import Checkpoint
from raylog.storage.object_store import ObjectStore
from raylog.storage.slot_format import Slot

MAX_IN_FLIGHT = 16
"""Slots of one writer under way at once. Part of the format: openers count on where a fenced writer's slots can lie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLimits:
    replay_prefetch: int = 32
    """Slots whose tails are read at once during a replay."""
    tail_bytes: int = 64 * 1024
    """How much of a slot's end the first read of a replay asks for."""
    trim_grace_s: float = 3600.0
    """The same for every process of a cluster: see ``FencedLog.trim``."""
    retry_delay_s_min: float = 0.05
    retry_delay_s_max: float = 5.0


class FencedLog:
    """One attempt to be the log's writer: open it once, append until closed or fenced.

    ``writer_id``: 16 bytes, drawn anew for every instance.
    """

    def __init__(
        self,
        store: ObjectStore,
        prefix: str,
        *,
        writer_id: bytes,
        clock: Clock,
        rng: random.Random,
        limits: LogLimits | None = None,
    ) -> None:
        raise NotImplementedError

    @property
    def epoch(self) -> LogEpoch:
        """The epoch this writer holds. Known once ``open`` is exhausted."""
        raise NotImplementedError

    @property
    def open_slot(self) -> int:
        """The number of this writer's open slot: the state after the replay is the state after this slot."""
        raise NotImplementedError

    @property
    def acknowledged_slot(self) -> int:
        """The highest slot that is proven to be this writer's, with everything below."""
        raise NotImplementedError

    def open(self, checkpoint: Checkpoint | None) -> AsyncIterator[Slot]:
        """Replay what lies after the newest checkpoint (None: there is none), then take the log over.

        Yields the slots of every epoch in log order (kind OPEN too, its meta empty; fenced writers' orphans not). When it is
        exhausted this writer's open slot is durable and every earlier writer is fenced. Store errors are tried again for ever;
        raises CorruptError, and RetryError when the log was trimmed past the checkpoint meanwhile: then begin again with a
        new instance and ``latest_checkpoint``.
        """
        raise NotImplementedError

    async def append(self, body: Sequence[Buffer], meta: bytes) -> int:
        """Write the next slot; returns its number once it and every slot before it is durable and this writer's.

        The order of calls is the order of slots; at most MAX_IN_FLIGHT are under way, later ones wait. The buffers must not
        change until it returns. Store errors are tried again for ever. Raises FencedError for ever after a fence, and whatever
        else ended the log. Cancelling the call does not take the slot back.
        """
        raise NotImplementedError

    async def write_checkpoint(self, slot: int, state: bytes) -> None:
        """Keep ``state`` as the state after ``slot``: the open slot or an acknowledged one. Raises FencedError, RetryError."""
        raise NotImplementedError

    async def trim(self, below: int) -> int:
        """Delete slots below ``below`` as far as the grace rule allows, and checkpoints no longer needed. Returns the slots deleted.

        Never reaches past the newest checkpoint that is older than the grace, so it may be called with any number.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Wait for the slots under way, then refuse further appends. Idempotent."""
        raise NotImplementedError
