"""What every object of a bucket is, what is missing, and (on demand) whether every byte is as its checksum says. Read-only.

Each log is read as its next opener would read it: from its newest checkpoint to the first free number. What its index then points
into is data; the rest of what lies below the checkpoint is needed by nobody, and garbage collection takes it after a grace.
A log that cannot be read is a problem of its own, and nothing that may be its is called loose.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from controller.journal import checkpoint_records, slot_records
from controller.state import MetadataState
from raylog.cli.object_check import verify_object
from raylog.leader.batch_reader import object_key
from raylog.leader.handover_reader import HandoverReader, Source
from raylog.leader.log_mark import mark_leader_log
from raylog.model.clock import Clock, Random
from raylog.model.errors import CorruptError, NotFoundError, RetryError
from raylog.model.limits import Limits
from raylog.partition.offset_index import OffsetIndex
from raylog.storage.checkpoint import latest_checkpoint
from raylog.storage.garbage import LogMark
from raylog.storage.keys import METADATA_PREFIX, ObjectKind, ObjectName, handover_key, object_name
from raylog.storage.log_replay import LogReplay
from raylog.storage.log_store import LogStore
from raylog.storage.object_store import ObjectMeta, ObjectStore

Step = Callable[[str, int, int | None], None]
"""Told what is being done, how much of it is done, and of how much (None: nobody knows)."""


class State(StrEnum):
    DATA = "data"
    """Live index rows point into it, or it is a handover that a partition still begins with."""
    LOG = "log"
    """A slot from its log's newest checkpoint on, or that checkpoint: the log is read from these. Or a segment that the log
    has announced since, and may name at any time."""
    LOOSE = "loose"
    """Nothing needs it any more; it stays for garbage collection's grace."""
    BEYOND = "beyond the end"
    """A slot above its log's first free number: still under way, or a fenced writer's; the log does not have it."""
    UNREAD = "unread"
    """Its log cannot be read, so nobody knows whether it is needed."""
    FOREIGN = "foreign"
    """Not Raylog's: nothing here has such a key. It stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One object."""

    key: str
    kind: ObjectKind
    log: str
    state: State
    size_bytes: int
    modified_ms: int
    since_ms: int | None = None
    """Of a loose one: since when at least, by the checkpoint that first did without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something missing, or broken."""

    key: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    url: str
    verified: bool
    objects: list[Found]
    problems: list[Problem] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Log:
    """A log as far as it could be read."""

    mark: LogMark
    next_slot: int


async def check_bucket(
    store: ObjectStore, *, verify: bool, clock: Clock, rng: Random, step: Step, limits: Limits | None = None
) -> Report:
    """Look at everything. Raises RetryError and InvalidError of the store; all else is in the report."""
    limits = limits or Limits()
    listing: list[ObjectMeta] = []
    async for found in store.list(""):
        listing.append(found)
        step("listing", len(listing), None)
    problems: list[Problem] = []
    names = {found.key: object_name(found.key) for found in listing}
    logs: dict[str, _Log] = {}
    prefixes = {name.log: name for name in names.values() if name.log}
    for done, (prefix, name) in enumerate(prefixes.items()):
        step(f"reading {prefix}", done, len(prefixes))
        try:
            logs[prefix] = await _read_log(store, name, clock, rng, limits)
        except CorruptError as error:
            problems.append(Problem(key=prefix, message=str(error)))
    references = {key for log in logs.values() for key in log.mark.references}
    problems += await _missing(store, references - names.keys())
    is_whole = len(logs) == len(prefixes)
    checkpoints = _checkpoints(listing)
    objects = [
        _found(found, names[found.key], logs, found.key in references, checkpoints, is_whole) for found in listing
    ]
    if verify:
        for done, found in enumerate(listing):
            step("verifying", done, len(listing))
            try:
                await verify_object(store, found)
            except CorruptError as error:
                problems.append(Problem(key=found.key, message=str(error)))
            except NotFoundError:
                continue  # deleted meanwhile: what is needed and not there was found above
    return Report(url=store.url, verified=verify, objects=objects, problems=problems)


async def _read_log(store: ObjectStore, name: ObjectName, clock: Clock, rng: Random, limits: Limits) -> _Log:
    if name.leader_id is not None:
        marked = await mark_leader_log(store, name.leader_id, clock=clock, rng=rng, limits=limits.log)
        return _Log(mark=marked.mark, next_slot=marked.next_slot)
    assert name.log == METADATA_PREFIX, name
    checkpoint = await latest_checkpoint(store, METADATA_PREFIX)
    state = MetadataState()
    for record in checkpoint_records(checkpoint):
        state.apply(record)
    replay = LogReplay(LogStore(store, METADATA_PREFIX, clock, rng, limits.log), checkpoint)
    try:
        async for slot in replay.slots():
            for record in slot_records(slot):
                state.apply(record)
    except RetryError as error:
        raise CorruptError(f"The log '{METADATA_PREFIX}' changes while it is read: check again.") from error
    references = await _pending(store, state)
    mark = LogMark(checkpoint_slot=checkpoint.slot if checkpoint else 0, references=references)
    return _Log(mark=mark, next_slot=replay.next_slot)


async def _pending(store: ObjectStore, state: MetadataState) -> frozenset[str]:
    """What partitions need that are on their way from one leader to the next: their handovers, and what the rows of these point
    into. No leader's log names that any more, or yet. Raises CorruptError."""
    keys: set[str] = set()
    reader = HandoverReader(store)
    for partition, source in state.pending():
        keys.add(handover_key(source.leader_id, source.handover))
        try:
            begins = Source(partition, source.leader_id, source.handover, source.changes)
            states = await reader.states([begins])
        except NotFoundError:
            continue  # what is missing is told of by its key
        keys |= {object_key(row) for row in OffsetIndex(states[partition].index)}
    return frozenset(keys)


async def _missing(store: ObjectStore, keys: set[str]) -> list[Problem]:
    """Those that really are not there: a slot may have been written after the listing."""
    problems = []
    for key in sorted(keys):
        try:
            await store.head(key)
        except NotFoundError:
            problems.append(
                Problem(key=key, message="missing: a partition's index points into it, or its log begins with it.")
            )
    return problems


def _checkpoints(listing: list[ObjectMeta]) -> dict[str, list[tuple[int, int]]]:
    """Number and time of each log's checkpoints, in the order of numbers."""
    found: dict[str, list[tuple[int, int]]] = {}
    for listed in listing:
        name = object_name(listed.key)
        if name.kind is ObjectKind.CHECKPOINT:
            found.setdefault(name.log, []).append((name.number, listed.modified_ms))
    return found


def _found(
    found: ObjectMeta,
    name: ObjectName,
    logs: dict[str, _Log],
    is_referenced: bool,
    checkpoints: dict[str, list[tuple[int, int]]],
    is_whole: bool,
) -> Found:
    state, since_ms = State.LOG, None
    log = logs.get(name.log)
    if is_referenced:
        state = State.DATA
    elif name.kind is ObjectKind.UNKNOWN:
        state = State.FOREIGN
    elif name.kind is ObjectKind.SELF_TEST:
        state, since_ms = State.LOOSE, found.modified_ms
    elif name.kind in (ObjectKind.SEGMENT, ObjectKind.UPLOAD):
        if not is_whole:
            state = State.UNREAD
        elif not any(found.key in log.mark.announced for log in logs.values()):
            state, since_ms = State.LOOSE, found.modified_ms
    elif log is None:
        state = State.UNREAD
    elif name.kind is ObjectKind.HANDOVER:
        state, since_ms = (State.LOOSE, found.modified_ms) if is_whole else (State.UNREAD, None)
    elif name.number < log.mark.checkpoint_slot:
        state = State.LOOSE if is_whole or name.leader_id is None else State.UNREAD
        later = [time for number, time in checkpoints[name.log] if number > name.number]
        since_ms = later[0] if state is State.LOOSE and later else None
    elif name.kind is ObjectKind.SLOT and name.number >= log.next_slot:
        state = State.BEYOND
    return Found(
        key=found.key,
        kind=name.kind,
        log=name.log,
        state=state,
        size_bytes=found.size,
        modified_ms=found.modified_ms,
        since_ms=since_ms,
    )
