"""Garbage collection of the bucket: list, mark, sweep. Idempotent, and safe to end anywhere: a deletion is only ever due or done.

**The order is list, then mark, then delete.** The listing says what may go at all, the marks what must not. A leader that writes
a slot between the two writes one that is not in the listing; a slot that is in the listing was there when its log was read.
The other way round an object written after its log was read would be listed and unknown to the marks. Beside the order stand
two more guards: no slot goes at or above the checkpoint that its log was read from, so one beyond a hole, whose predecessor is
still under way, stays; and the grace, for objects that are put before what names them.

All logs are read, as a row may point into another leader's slot. If one cannot be read, or a partition that the controller knows
to be led is led in none of them, nothing is deleted. A crash leaves objects for the next round, never a reference to one
that is gone.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from raylog.leader.log_mark import mark_leader_log
from raylog.model.clock import Clock, Random
from raylog.model.errors import RetryError
from raylog.model.ids import TopicPartition
from raylog.model.limits import Limits
from raylog.model.logs import RoleLogger, fields
from raylog.storage.checkpoint import latest_checkpoint
from raylog.storage.garbage import Doomed, LogMark, Reason, plan_sweep
from raylog.storage.keys import METADATA_PREFIX, object_name
from raylog.storage.object_store import ObjectMeta, ObjectStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What a round has found and done."""

    objects: int = 0
    """In the bucket, when it was listed."""
    deleted: int = 0
    deleted_bytes: int = 0
    reasons: dict[Reason, int] = field(default_factory=dict)
    """Objects deleted, by why."""


async def collect_garbage(
    store: ObjectStore,
    *,
    led: Collection[TopicPartition],
    clock: Clock,
    rng: Random,
    limits: Limits,
    logger: RoleLogger,
) -> Collected:
    """One round. ``led``: the partitions whose adoptions the controller knew to be durable before it asked for this.

    Raises RetryError (the bucket is away, or the logs do not lead all of ``led``) and CorruptError; then nothing, or not all
    that is due, has been deleted.
    """
    now_ms = clock.wall_ms()
    listing = [found async for found in store.list("")]
    marks = await _mark(store, listing, led, clock=clock, rng=rng, limits=limits)
    # The grace of trimming is about fences: a shorter one for objects would not make it shorter.
    grace_s = max(limits.garbage.grace_s, limits.log.trim_grace_s)
    doomed = plan_sweep(listing, marks, now_ms=now_ms, grace_ms=int(grace_s * 1000))
    await _sweep(store, doomed, limits.garbage.delete_keys_max)
    collected = Collected(
        objects=len(listing),
        deleted=len(doomed),
        deleted_bytes=sum(one.size_bytes for one in doomed),
        reasons=dict(Counter(one.reason for one in doomed)),
    )
    logger.info(
        "garbage collected",
        extra=fields(
            objects=collected.objects,
            deleted=collected.deleted,
            bytes=collected.deleted_bytes,
            **{reason.name.lower(): count for reason, count in collected.reasons.items()},
        ),
    )
    return collected


async def _mark(
    store: ObjectStore,
    listing: Collection[ObjectMeta],
    led: Collection[TopicPartition],
    *,
    clock: Clock,
    rng: Random,
    limits: Limits,
) -> dict[str, LogMark]:
    """What each log of the listing needs, by its prefix."""
    metadata = await latest_checkpoint(store, METADATA_PREFIX)
    marks = {METADATA_PREFIX: LogMark(checkpoint_slot=metadata.slot if metadata else 0)}
    missing = set(led)
    leaders = {name.leader_id: name.log for found in listing if (name := object_name(found.key)).leader_id is not None}
    for leader_id, prefix in leaders.items():
        assert leader_id is not None
        marked = await mark_leader_log(store, leader_id, clock=clock, rng=rng, limits=limits.log)
        marks[prefix] = marked.mark
        missing -= marked.partitions
    if missing:
        raise RetryError(
            f"No leader's log leads {len(missing)} partitions (such as {min(missing)}): they are being moved or deleted, so "
            "nothing is collected now."
        )
    return marks


async def _sweep(store: ObjectStore, doomed: list[Doomed], batch_max: int) -> None:
    """Slots from the lowest number up, so that what a crash leaves of a log is one run."""
    for first in range(0, len(doomed), batch_max):
        await store.delete([one.key for one in doomed[first : first + batch_max]])
