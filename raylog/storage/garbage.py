"""Which objects of the bucket nothing needs any more: a listing and what the logs name, in; keys to delete, out. Pure.

In doubt an object stays. What may go, and only once it is older than the grace:

- a slot below a checkpoint of its log, that is at least as old as the grace (the rule of ``FencedLog.trim``: slots are the
  log's fences, and an opener may still hold an older checkpoint), into which no live index row points;
- a checkpoint below one that old;
- a segment that no live index row points into, and that no log has announced since its newest checkpoint;
- an upload that no live index row points into;
- a handover that no log names: those who took over have it in their checkpoints, or nobody ever released anything by it;
- what a self-test left.

The listing must be older than the marks: a slot that appears between the two is then not in the listing, and one that is in it
was seen by the marks. See docs/decisions/0006.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from raylog.storage.keys import ObjectKind, object_name
from raylog.storage.object_store import ObjectMeta


@dataclass(frozen=True, slots=True, kw_only=True)
class LogMark:
    """What a fenced log, read after the listing, needs."""

    checkpoint_slot: int
    """Of the checkpoint that the log was read from; 0: there is none, so that nothing of the log may go."""
    references: frozenset[str] = frozenset()
    """Keys of the objects, of any log, that its live index rows point into, and of the handovers that it names."""
    announced: frozenset[str] = frozenset()
    """Keys of the segments that it may name from now on."""


class Reason(StrEnum):
    """Why an object may go."""

    UNREFERENCED_SLOT = "unreferenced slot"
    OLD_CHECKPOINT = "old checkpoint"
    UNREFERENCED_SEGMENT = "unreferenced segment"
    UNREFERENCED_UPLOAD = "unreferenced upload"
    UNNAMED_HANDOVER = "unnamed handover"
    SELF_TEST = "left by a self-test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Doomed:
    """An object to delete."""

    key: str
    size_bytes: int
    reason: Reason


def plan_sweep(
    listing: Collection[ObjectMeta], marks: Mapping[str, LogMark], *, now_ms: int, grace_ms: int
) -> list[Doomed]:
    """What may be deleted. ``marks`` by log prefix: a log that is not among them keeps everything.

    ``now_ms`` is the time of the listing. Every log that may hold references must be among the marks.
    """
    aged_before_ms = now_ms - grace_ms
    references: set[str] = set()
    for mark in marks.values():
        references |= mark.references | mark.announced
    floors = covered_slots(listing, aged_before_ms=aged_before_ms)
    doomed = []
    for found in listing:
        if found.modified_ms > aged_before_ms or found.key in references:
            continue
        name = object_name(found.key)
        log_mark = marks.get(name.log)
        floor = 0 if log_mark is None else min(floors.get(name.log, 0), log_mark.checkpoint_slot)
        match name.kind:
            case ObjectKind.SLOT if name.number < floor:
                reason = Reason.UNREFERENCED_SLOT
            case ObjectKind.CHECKPOINT if name.number < floor:
                reason = Reason.OLD_CHECKPOINT
            case ObjectKind.SEGMENT:
                reason = Reason.UNREFERENCED_SEGMENT
            case ObjectKind.UPLOAD:
                reason = Reason.UNREFERENCED_UPLOAD
            case ObjectKind.HANDOVER if log_mark is not None:
                reason = Reason.UNNAMED_HANDOVER
            case ObjectKind.SELF_TEST:
                reason = Reason.SELF_TEST
            case _:
                continue
        doomed.append(Doomed(key=found.key, size_bytes=found.size, reason=reason))
    return doomed


def covered_slots(listing: Iterable[ObjectMeta], *, aged_before_ms: int) -> dict[str, int]:
    """By log prefix: the number of its newest checkpoint that is at least as old as that."""
    newest: dict[str, int] = {}
    for found in listing:
        name = object_name(found.key)
        if name.kind is ObjectKind.CHECKPOINT and found.modified_ms <= aged_before_ms:
            newest[name.log] = max(name.number, newest.get(name.log, 0))
    return newest
