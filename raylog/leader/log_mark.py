"""What a leader's log says right now, read without taking it over: for garbage collection and for checks of a bucket."""

from contextlib import aclosing
from dataclasses import dataclass, replace

from raylog.leader.batch_reader import object_key
from raylog.leader.handover_reader import HandoverReader
from raylog.leader.recovery import state_at
from raylog.model.clock import Clock, Random
from raylog.model.errors import RetryError, reading
from raylog.model.ids import LeaderId, TopicPartition
from raylog.model.limits import LogLimits
from raylog.storage.checkpoint import latest_checkpoint
from raylog.storage.data_object import decode_meta
from raylog.storage.garbage import LogMark
from raylog.storage.keys import handover_key, leader_prefix, segment_key
from raylog.storage.log_replay import LogReplay
from raylog.storage.log_store import LogStore
from raylog.storage.object_store import ObjectStore
from raylog.storage.slot_events import TakeOver
from raylog.storage.slot_format import SlotKind

_ATTEMPTS = 5
"""Each began at a checkpoint past which the log was trimmed meanwhile, which takes an hour: once is rare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderMark:
    mark: LogMark
    partitions: frozenset[TopicPartition]
    """That the log leads."""
    next_slot: int
    """The first free number: what lies above is not part of the log."""


async def mark_leader_log(
    store: ObjectStore, leader_id: LeaderId, *, clock: Clock, rng: Random, limits: LogLimits
) -> LeaderMark:
    """Read the log from its newest checkpoint to its end. Raises CorruptError, RetryError."""
    prefix = leader_prefix(leader_id)
    log_store = LogStore(store, prefix, clock, rng, replace(limits, hedges=0))  # nobody is waiting to lead
    for _ in range(_ATTEMPTS):
        checkpoint = await latest_checkpoint(store, prefix)
        replay = LogReplay(log_store, checkpoint)
        try:
            with reading(f"The log '{prefix}'"):
                state = state_at(leader_id, checkpoint)
                reader = HandoverReader(store)
                handovers: set[str] = set()
                async with aclosing(replay.slots()) as slots:
                    async for slot in slots:
                        if slot.kind is SlotKind.APPEND:
                            with reading(f"'{slot.key}'"):
                                meta = decode_meta(slot.meta)
                            # Whoever opens this log from the same checkpoint needs them all.
                            handovers |= {_taken(e) for e in meta.events if isinstance(e, TakeOver)}
                            handed = await reader.handed_to(prefix, slot.number, state.taken_over(meta))
                            state.apply(slot.number, meta, handed)
        except RetryError:
            continue
        # A replay ends at the first number without an object. That is the log's end unless trimming made the hole,
        # and slots are only ever deleted below a checkpoint.
        if await log_store.newest_checkpoint_slot() >= replay.next_slot:
            continue
        return LeaderMark(
            mark=LogMark(
                checkpoint_slot=checkpoint.slot if checkpoint else 0,
                references=frozenset(
                    (
                        *handovers,
                        *(handover_key(leader_id, untold.handover) for untold in state.releases.untold.values()),
                        *(object_key(row) for led in state.partitions.values() for row in led.core.index),
                    )
                ),
                announced=frozenset(map(segment_key, state.announced)),
            ),
            partitions=frozenset(state.partitions),
            next_slot=replay.next_slot,
        )
    raise RetryError(f"The log '{prefix}' was trimmed each time while it was read.")


def _taken(event: TakeOver) -> str:
    return handover_key(LeaderId(event.from_leader), event.handover)
