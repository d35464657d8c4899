"""Guards of the production code that can be switched off one by one: the simulation must notice each.

A mutation replaces a method for as long as its context lasts. It does what somebody who forgot the rule would have written.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from raylog.leader import garbage
from raylog.leader.acks import Acks
from raylog.leader.append import Appender
from raylog.leader.assignments import AssignmentFollower
from raylog.leader.flusher import Flusher
from raylog.leader.log_state import LogState
from raylog.leader.settling import Settling
from raylog.partition.flushed_state import FlushedState
from raylog.partition.offset_index import SEGMENT, IndexEntry
from raylog.partition.partition import Partition
from raylog.storage.fenced_log import FencedLog
from raylog.storage.file_wal import FileWal
from raylog.storage.garbage import plan_sweep
from raylog.storage.log_replay import LogReplay
from raylog.storage.log_store import LogStore
from raylog.storage.retrying_store import RetryingStore
from raylog.storage.slot_events import Adopt
from raylog.storage.slot_format import SlotKind, SlotRecord
from raylog.storage.wal_segments import SegmentLog

MUTATIONS: dict[str, Callable[[], Any]] = {}
"""By name: makes the context in which the guard is off."""


def mutation(make: Callable[[], Iterator[None]]) -> Callable[[], Any]:
    switched_off = contextmanager(make)
    MUTATIONS[make.__name__] = switched_off
    return switched_off


@mutation
def epoch_check_at_replay() -> Iterator[None]:
    """A fenced writer's orphans are replayed like everything else."""

    def belongs(self: LogReplay, record: SlotRecord, key: str) -> bool:
        if record.kind is SlotKind.OPEN and record.epoch > self.epoch:
            self.epoch, self.writer_id = record.epoch, record.writer_id
        return True

    with patch.object(LogReplay, "_belongs", belongs):
        yield


@mutation
def epoch_check_of_the_writer() -> Iterator[None]:
    """A writer steps over whatever has its number, its successor's slots included."""

    async def take_number(self: FencedLog, append: Any) -> None:
        while True:
            record = self._record(SlotKind.APPEND, append.slot, self._epoch, append.body, append.meta)
            append.sent_at_s = self._clock.boottime()
            if await self._store.claim(record, append.body, append.meta) == record:
                return
            append.slot += 1
            self._next_slot = max(self._next_slot, append.slot + 1)

    with patch.object(FencedLog, "_take_number", take_number):
        yield


@mutation
def fence_check_after_sync() -> Iterator[None]:
    """A WAL's writer acknowledges what it has synced without a look at the fence."""

    def write_only(self: FileWal, writes: Any) -> float:
        started = self._clock.monotonic()
        for write in writes:
            write.run()
        return self._clock.monotonic() - started

    with patch.object(FileWal, "_write_and_look", write_only):
        yield


@mutation
def fence_check_before_sync() -> Iterator[None]:
    """The fence is looked at before the sync rather than after it."""
    right = FileWal._write_and_look

    def look_and_write(self: FileWal, writes: Any) -> float:
        seconds = right(self, [])
        for write in writes:
            write.run()
        return seconds

    with patch.object(FileWal, "_write_and_look", look_and_write):
        yield


@mutation
def fence_look_after_the_reading() -> Iterator[None]:
    """A taker shows what it has read of the WAL without a look at whether a later taker has read that as well."""
    right = FileWal.recover

    async def recover(self: FileWal) -> AsyncGenerator[Any, None]:
        with patch.object(self, "_check_not_above", lambda *_: None):
            async for entry in right(self):
                yield entry

    with patch.object(FileWal, "recover", recover):
        yield


@mutation
def segments_behind_one_that_is_gone() -> Iterator[None]:
    """A taker reads nothing behind a segment that the earlier writer, which does not know that it is fenced, has given up."""
    right = FileWal._read_segment

    def read(self: FileWal, *where: Any) -> Any:
        return right(self, *where) or []

    with patch.object(FileWal, "_read_segment", read):
        yield


@mutation
def cuts_of_fenced_epochs() -> Iterator[None]:
    """A WAL's segments do not say up to where older epochs were recovered."""
    right = SegmentLog.__init__

    def init(self: SegmentLog, **values: Any) -> None:
        right(self, **{**values, "cuts": dict.fromkeys(values["cuts"], 1 << 40)})

    with patch.object(SegmentLog, "__init__", init):
        yield


@mutation
def in_order_acknowledgement() -> Iterator[None]:
    """A slot's entries are acknowledged when it is durable, whatever has become of the slots before it."""
    right_done = Flusher._slot_done

    async def put(self: FencedLog, append: Any) -> None:
        await self._take_number(append)
        if not append.done.done():
            append.done.set_result(append.slot)
        append.durable = True
        append.done = asyncio.get_running_loop().create_future()
        await self._acknowledge()

    def slot_done(self: Flusher, done: "asyncio.Task[int]") -> None:
        settling = self._on_flushed.__self__  # type: ignore[attr-defined]
        for task, cut in self._slots:
            if task.done() and not task.cancelled() and task.exception() is None and not self._is_stopped:
                settling._wal.flushed(cut.last_lsn)
        right_done(self, done)

    with patch.object(FencedLog, "_put", put), patch.object(Flusher, "_slot_done", slot_done):
        yield


@mutation
def writer_id_check() -> Iterator[None]:
    """Whoever finds a slot of its own epoch takes it for its own."""
    right = LogStore.claim

    async def claim(self: LogStore, record: SlotRecord, body: Any, meta: bytes, *priority: Any) -> SlotRecord | None:
        holder = await right(self, record, body, meta, *priority)
        return record if holder is not None and holder.epoch == record.epoch else holder

    with patch.object(LogStore, "claim", claim):
        yield


@mutation
def answer_lost_check() -> Iterator[None]:
    """A writer whose put finds the number taken believes that it was its own earlier attempt."""

    async def is_ours(self: RetryingStore, key: str, body: Any, priority: Any) -> bool:
        return True

    with patch.object(RetryingStore, "_is_ours", is_ours):
        yield


@mutation
def orphan_rule_of_the_writer() -> Iterator[None]:
    """A new writer sends many slots at once from the start, though orphans may lie in their way."""
    right = FencedLog.open

    async def open_log(self: FencedLog, checkpoint: Any) -> AsyncGenerator[Any, None]:
        async for slot in right(self, checkpoint):
            yield slot
        self._serial_until = self._open_slot

    with patch.object(FencedLog, "open", open_log):
        yield


@mutation
def orphan_rule_of_the_opener() -> Iterator[None]:
    """An opener writes its open slot behind everything that lies there, past holes."""
    right = LogReplay.slots

    async def slots(self: LogReplay) -> AsyncGenerator[Any, None]:
        async for slot in right(self):
            yield slot
        highest = self.next_slot - 1
        async for number, _ in self._store.list_slots(highest):
            highest = number
        self.next_slot = highest + 1

    with patch.object(LogReplay, "slots", slots):
        yield


@mutation
def proof_after_a_long_pause() -> Iterator[None]:
    """A writer that has slept trusts a free number, though the log may have been trimmed past it."""

    async def prove(self: FencedLog, slot: int) -> None:
        self._proven_at_s = self._clock.boottime()

    with patch.object(FencedLog, "_prove", prove):
        yield


@mutation
def idempotence_window_on_recovery() -> Iterator[None]:
    """A recovered partition has forgotten its producers."""
    right = LogState.apply

    def apply(self: LogState, slot: int, meta: Any, *handed: Any) -> None:
        right(self, slot, replace(meta, producers=type(meta.producers)()), *handed)

    with patch.object(LogState, "apply", apply):
        yield


@mutation
def adoption_settles_with_its_slot() -> Iterator[None]:
    """An adoption takes effect when its waiter goes on, some turns of the loop after its slot has settled."""
    right, right_begin = Settling._apply, AssignmentFollower._begin
    held: list[Any] = []

    def apply(self: Settling, event: Any) -> None:
        if isinstance(event, Adopt):
            held.append((self._adoptions, event))
        else:
            right(self, event)

    def begin(self: AssignmentFollower, a: Any) -> "asyncio.Future[None]":
        async def later() -> None:
            await right_begin(self, a)
            for adoptions, adopted in [pair for pair in held if pair[0] is self._adoptions]:
                held.remove((adoptions, adopted))
                adoptions.adopted(adopted)

        return asyncio.ensure_future(later())

    with patch.object(Settling, "_apply", apply), patch.object(AssignmentFollower, "_begin", begin):
        yield


@mutation
def swap_looks_at_the_rows() -> Iterator[None]:
    """A segment's rows are put into the index whatever has become of those that it was made from."""

    def swap(self: FlushedState, segment: int, rows: Any) -> bool:
        entries = [
            IndexEntry(
                SEGMENT, segment, row.position, row.size_bytes, *row[:2], row[4], row.leader_epoch, row.record_count
            )
            for row in rows
        ]
        self.index.replace(rows[0].first_offset, rows[-1].last_offset, entries)
        return True

    with patch.object(FlushedState, "swap", swap):
        yield


@mutation
def shown_only_when_durable() -> Iterator[None]:
    """Consumers see records as soon as they are appended."""
    right = Appender.append

    def append(self: Appender, hosted: Any, *args: Any, **kwargs: Any) -> Any:
        outcome = right(self, hosted, *args, **kwargs)
        hosted.core._high_watermark = hosted.core.log_end_offset
        return outcome

    def durable(self: Partition, end_offset: int) -> None:
        self._high_watermark = max(self._high_watermark, end_offset)
        self._transactions.advance(end_offset)

    with patch.object(Appender, "append", append), patch.object(Partition, "durable", durable):
        yield


@mutation
def duplicates_wait_for_durability() -> Iterator[None]:
    """The answer to a batch that was appended before does not wait until that is durable."""
    right = Acks.answer

    def answer(self: Acks, lsn: Any, call: Any, response: Any, timeout_s: float, timed_out: Any) -> None:
        newest = self._appended[-1].at if self._appended else -1.0
        right(
            self, lsn if newest == self._clock.monotonic() else self.durable_lsn, call, response, timeout_s, timed_out
        )

    with patch.object(Acks, "answer", answer):
        yield


@mutation
def garbage_grace_time() -> Iterator[None]:
    """What nothing needs goes at once, however young it is, and whatever the clocks say."""

    def plan(listing: Any, marks: Any, *, now_ms: int, grace_ms: int) -> Any:
        return plan_sweep(listing, marks, now_ms=now_ms, grace_ms=-2_000)

    with patch.object(garbage, "plan_sweep", plan):
        yield


@mutation
def garbage_is_listed_before_it_is_marked() -> Iterator[None]:
    """What may go is listed last. The slots' numbers, which stand in for the order, are no guard either."""

    async def collect(store: Any, *, led: Any, clock: Any, rng: Any, limits: Any, logger: Any) -> garbage.Collected:
        logs = [found async for found in store.list("")]
        marks = await garbage._mark(store, logs, led, clock=clock, rng=rng, limits=limits)
        marks = {prefix: replace(mark, checkpoint_slot=1 << 62) for prefix, mark in marks.items()}
        now_ms = clock.wall_ms()
        listing = [found async for found in store.list("")]
        grace_ms = int(limits.log.trim_grace_s * 1000)
        doomed = plan_sweep(listing, marks, now_ms=now_ms, grace_ms=grace_ms)
        await garbage._sweep(store, doomed, limits.garbage.delete_keys_max)
        return garbage.Collected(objects=len(listing), deleted=len(doomed))

    with patch("tests.sim.garbage.collect_garbage", collect):
        yield


@mutation
def garbage_is_what_no_row_names() -> Iterator[None]:
    """Whatever lies below an old checkpoint goes, though rows point into it."""
    right = garbage.mark_leader_log

    async def mark_log(store: Any, leader_id: Any, **values: Any) -> Any:
        marked = await right(store, leader_id, **values)
        return replace(marked, mark=replace(marked.mark, references=frozenset()))

    with patch.object(garbage, "mark_leader_log", mark_log):
        yield
