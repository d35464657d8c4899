"""Copying a bucket, while a cluster writes to it or not: what the copy has is the bucket at one moment, the cut.

Everything that has come to be up to the cut is copied and nothing later, whatever the order of the requests: a slot, a
handover or a swap is only ever written after what it builds on is durable, so by the store's own times a cut never has an effect
without its cause. An opener of the copy finds what it would find if all processes had died at the cut (docs/operations.md says
what a file WAL holds beside it; docs/decisions/0014 what was rejected).

- The listing begins only when the cut has settled: S3 tells times in seconds, and a clock may be wrong by some.
- Objects are immutable, or have one meaning for ever (checkpoints, handovers), so one that the target has is not copied again.
- The controller's log goes last: a copy that was broken off shows no topics, rather than some without their records.
- An object that is deleted between listing and reading makes the cut incomplete; the caller tries a later one.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from raylog.model.errors import InvalidError, NotFoundError
from raylog.storage.fenced_log import MAX_IN_FLIGHT
from raylog.storage.keys import METADATA_PREFIX, ObjectKind, object_name, slot_key
from raylog.storage.object_store import ObjectMeta, ObjectStore, Priority
from raylog.storage.slot_format import RECORD_BYTES

SETTLE_S = 2.0
"""From a cut until the listing: one second of S3's coarse times, and one for clocks."""

_WORKERS = 8
_BIG_BYTES = 32 << 20
"""Objects from this size on are in memory one at a time."""

Step = Callable[[str, int, int | None], None]
"""Told what is being done, how much of it is done, and of how much (None: nobody knows)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What one round has done."""

    objects: int
    size_bytes: int
    present: int
    """Objects of the cut that the target had already."""
    gone: tuple[str, ...]
    """Keys that were deleted before they were read."""


async def copy_bucket(source: ObjectStore, target: ObjectStore, *, cut_ms: int, step: Step) -> Copied:
    """Copy what the source has that is not younger than ``cut_ms``. To be called ``SETTLE_S`` after the cut.

    Raises InvalidError when a cluster has written to the target, when that has objects of a later cut, or when the source no
    longer has what it had at the cut; RetryError.
    """
    listing = await _list(source, step)
    there = await _list(target, step)
    await _check_target(source, target, listing, there, cut_ms)
    chosen = [found for found in listing.values() if found.modified_ms <= cut_ms]
    _check_whole(source, chosen)
    missing = [found for found in chosen if found.key not in there]
    copier = _Copier(source, target, len(missing), step)
    await copier.run([found for found in missing if not found.key.startswith(METADATA_PREFIX)])
    if not copier.gone:
        await copier.run([found for found in missing if found.key.startswith(METADATA_PREFIX)])
    return Copied(
        objects=copier.objects,
        size_bytes=copier.size_bytes,
        present=len(chosen) - len(missing),
        gone=tuple(sorted(copier.gone)),
    )


async def _list(store: ObjectStore, step: Step) -> dict[str, ObjectMeta]:
    """Raylog's own objects, but for what self-tests leave."""
    found: dict[str, ObjectMeta] = {}
    async for listed in store.list(""):
        step(f"listing {store.url}", len(found), None)
        if object_name(listed.key).kind not in (ObjectKind.UNKNOWN, ObjectKind.SELF_TEST):
            found[listed.key] = listed
    return found


async def _check_target(
    source: ObjectStore,
    target: ObjectStore,
    listing: Mapping[str, ObjectMeta],
    there: Mapping[str, ObjectMeta],
    cut_ms: int,
) -> None:
    """Raises InvalidError unless the target is empty or an earlier copy of this source that nobody has written to."""
    younger = [key for key in there if key in listing and listing[key].modified_ms > cut_ms]
    if younger:
        raise InvalidError(
            f"{target.url} has {younger[0]}, which is younger than the copy is to be: copy to an empty place, or take a later "
            "time."
        )
    for prefix, newest in _newest_slots(there).items():
        own = _newest_slots(listing).get(prefix)
        is_ahead = own is None or object_name(newest).number > object_name(own).number
        # A slot that the source has trimmed meanwhile cannot be compared, and lies below its checkpoint.
        if is_ahead or (newest in listing and await _header(source, newest) != await _header(target, newest)):
            raise InvalidError(
                f"A cluster has written to {target.url} ({newest} is not the source's): a copy that has been opened is a "
                "cluster of its own. Copy to an empty place."
            )


def _check_whole(source: ObjectStore, chosen: Sequence[ObjectMeta]) -> None:
    """Raises InvalidError when a log's slots do not follow on its newest checkpoint, but for what a writer has under way."""
    slots: dict[str, set[int]] = defaultdict(set)
    checkpoints: dict[str, int] = defaultdict(int)
    for found in chosen:
        name = object_name(found.key)
        if name.kind is ObjectKind.SLOT:
            slots[name.log].add(name.number)
        elif name.kind is ObjectKind.CHECKPOINT:
            checkpoints[name.log] = max(name.number, checkpoints[name.log])
    for prefix, numbers in slots.items():
        end = checkpoints[prefix] + 1
        while end in numbers:
            end += 1
        if max(numbers) >= end + MAX_IN_FLIGHT:
            raise InvalidError(
                f"{source.url} does not have all that it had at that time: {slot_key(prefix, end)} is missing. Take a time at "
                "which it was whole, or bring back what was deleted."
            )


def _newest_slots(listing: Mapping[str, ObjectMeta]) -> dict[str, str]:
    """By log, the key of its highest slot."""
    newest: dict[str, str] = {}
    numbers: dict[str, int] = defaultdict(int)
    for key in listing:
        name = object_name(key)
        if name.kind is ObjectKind.SLOT and name.number > numbers[name.log]:
            numbers[name.log] = name.number
            newest[name.log] = key
    return newest


async def _header(store: ObjectStore, key: str) -> bytes:
    """The first bytes of a slot, which say who wrote it."""
    return await store.get(key, length=RECORD_BYTES, priority=Priority.BACKGROUND)


class _Copier:
    """Copies several objects at a time; counts over all runs."""

    def __init__(self, source: ObjectStore, target: ObjectStore, total: int, step: Step) -> None:
        self._source = source
        self._target = target
        self._total = total
        self._step = step
        self._big = asyncio.Lock()
        self.objects = 0
        self.size_bytes = 0
        self.gone: list[str] = []

    async def run(self, wanted: list[ObjectMeta]) -> None:
        """Raises what the first failing request raised; the others are then given up."""
        waiting = iter(wanted)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(_WORKERS, len(wanted))):
                group.create_task(self._work(waiting))

    async def _work(self, waiting: Iterator[ObjectMeta]) -> None:
        for found in waiting:
            if found.size < _BIG_BYTES:
                await self._copy(found)
            else:
                async with self._big:
                    await self._copy(found)

    async def _copy(self, found: ObjectMeta) -> None:
        try:
            content = await self._source.get(found.key, priority=Priority.BACKGROUND)
        except NotFoundError:
            self.gone.append(found.key)
            return
        await self._target.put(found.key, [content], priority=Priority.BACKGROUND)
        self.objects += 1
        self.size_bytes += len(content)
        self._step("copying", self.objects, self._total)
