"""The shell of one group coordinator: it loads the coordinator from its partition, runs its effects and keeps its time.

One owner: everything here runs on the leader's event loop, and ``GroupCoordinator.handle`` is only called between two awaits.
``run`` lives as long as the partition is led; whatever ends it early ends the coordinator, and with it the leader.

- Requests are handled in the order in which they are asked. While too much is appended and not yet durable, or the leader has
  no room, they wait in line (invariant 8).
- An append that fails means that the partition is not led any more: the coordinator is dropped with all that it had not told
  anybody, and those who wait are told to look for the next one.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from raylog.coordination.coordinator import Appended, Event, ExpireOffsets, GroupCoordinator, TimerFired
from raylog.coordination.effects import Append, CancelTimer, Effect, Reply, SetTimer, TimerKey, TrimLog
from raylog.coordination.messages import Answer
from raylog.coordination.settings import GroupSettings
from raylog.leader.timers import Timers
from raylog.model.buffers import Buffer
from raylog.model.clock import Clock
from raylog.model.errors import CorruptError, FencedError, NewerFormatError, RetryError, StaleRouteError, reading
from raylog.model.ids import TopicId, TopicPartition
from raylog.model.logs import RoleLogger, fields
from raylog.model.routing import GroupsTopic
from raylog.protocol.batch import Record, decode_records, encode_batch, headers

APPEND_BYTES_MAX = 4 * 1024 * 1024
"""Bytes appended and not yet durable, above which requests wait."""
LOAD_READ_BYTES = 1024 * 1024
LOAD_RECORDS = 500
"""Replayed in one go while loading, or a batch; other work of the leader comes between two of them."""
RETRY_S = 1.0
TOPICS_MARGIN_MS = 60_000
"""Offsets committed so shortly before the cluster's topics were asked for are not held against them: clocks differ."""

ExistingTopics = Callable[[], Awaitable[Mapping[str, TopicId]]]
MakeEvent = Callable[[asyncio.Future[Answer]], Event]


class InternalLog(Protocol):
    """The leader's own appends to and reads from a partition that it leads, past the request path.

    Any call may raise StaleRouteError when the partition is not led (any more), FencedError when the leader is fenced.
    """

    @property
    def has_room(self) -> bool:
        """Whether the leader has memory for more appends; False while the bucket takes too little of what the WAL has."""
        ...

    def append_internal(self, partition: TopicPartition, batch: Buffer) -> asyncio.Future[int]:
        """Append one record batch (v2, offsets and leader epoch unset) and never wait: the order of calls is that of offsets.

        The future gives the batch's base offset once it and all before it is durable. The caller bounds the bytes under
        way.
        """
        ...

    async def read_internal(self, partition: TopicPartition, offset: int, max_bytes: int) -> Buffer:
        """Whole batches from the one that holds ``offset`` on, below the high watermark, as appended; from memory or
        bucket.

        At least one batch unless ``offset`` is the high watermark (then empty). At most about ``max_bytes``.
        """
        ...

    def bounds_internal(self, partition: TopicPartition) -> tuple[int, int]:
        """Log start offset and high watermark."""
        ...

    async def delete_records_internal(self, partition: TopicPartition, before_offset: int) -> None:
        """Move the log start offset up to ``before_offset``; returns when that is durable."""
        ...


class CoordinatorShell:
    def __init__(
        self,
        *,
        partition: TopicPartition,
        log: InternalLog,
        settings: GroupSettings,
        clock: Clock,
        existing_topics: ExistingTopics,
        logger: RoleLogger,
    ) -> None:
        self._partition = partition
        self._log = log
        self._settings = settings
        self._clock = clock
        self._existing_topics = existing_topics
        self._logger = logger
        self._core: GroupCoordinator | None = None
        self._timers: Timers[TimerKey] = Timers(clock, lambda key: self._handle(TimerFired(key)))
        self._asked: dict[asyncio.Future[Answer], None] = {}
        """Requests without an answer yet; a dict for its order."""
        self._line: deque[tuple[MakeEvent, asyncio.Future[Answer]]] = deque()
        """Requests that wait for room."""
        self._appends: deque[tuple[int, int, asyncio.Future[int]]] = deque()
        """Appends under way: ref, bytes, base offset to come."""
        self._append_bytes = 0
        self._trim_before = -1
        self._trim_asked = asyncio.Event()
        self._closed = asyncio.Event()
        self._failure: BaseException | None = None
        """Why it had to close; None when the partition is not led any more."""

    @property
    def is_loaded(self) -> bool:
        return self._core is not None

    def configure(self, settings: GroupSettings) -> None:
        """Other settings, for all that is done from now on; timers that run keep their time."""
        self._settings = settings
        if self._core is not None:
            self._core.configure(settings)

    def ask(self, make_event: MakeEvent) -> asyncio.Future[Answer]:
        """The answer to a request. ``make_event`` puts the future into it as its token.

        Raises RetryError while the coordinator loads; this, or the future, StaleRouteError when it is gone.
        """
        if self._closed.is_set():
            raise _not_led(self._partition)
        if self._core is None:
            raise RetryError(f"The coordinator of __consumer_offsets-{self._partition.partition} is loading.")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asked[answer] = None
        answer.add_done_callback(lambda done: self._asked.pop(done, None))
        if self._line or not self._has_room:
            self._line.append((make_event, answer))
        else:
            self._handle(make_event(answer))
        return answer

    def retry(self) -> None:
        """There may be room again for requests that wait in line."""
        while self._line and self._has_room:
            make_event, answer = self._line.popleft()
            if not answer.done():
                self._handle(make_event(answer))

    @property
    def _has_room(self) -> bool:
        return self._append_bytes <= APPEND_BYTES_MAX and self._log.has_room

    def close(self, error: BaseException | None = None) -> None:
        """End the coordinator: who waits is told that it is gone. Idempotent."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._failure = error
        self._core = None
        self._line.clear()
        self._timers.clear()
        for answer in list(self._asked):
            if not answer.done():
                answer.set_exception(_not_led(self._partition))
                # Whoever asked may have gone away.
                answer.exception()

    async def run(self) -> None:
        """Load, then serve until ``close``. Raises what should not be: a broken invariant, records that cannot be read."""
        living, closed = asyncio.ensure_future(self._live()), asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait((living, closed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.close()
            living.cancel()
            closed.cancel()
            (ended, _) = await asyncio.gather(living, closed, return_exceptions=True)
        failure = self._failure or (ended if isinstance(ended, Exception) else None)
        if failure is not None and not isinstance(failure, StaleRouteError | FencedError):
            raise failure

    async def _live(self) -> None:
        await self._load()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._timers.run())
            tasks.create_task(self._expire_now_and_then())
            tasks.create_task(self._trim_when_asked())

    # Loading

    async def _load(self) -> None:
        failures = 0
        while True:
            try:
                core = await self._read_log()
            except RetryError as error:
                failures += 1
                if failures == 3:
                    self._logger.warning("a group coordinator cannot load yet", extra=fields(error=error))
                await self._clock.sleep(RETRY_S)
            else:
                break
        core.configure(self._settings)  # which may have changed meanwhile
        self._core = core
        self._run_effects(core.loaded(self._clock.wall_ms()))

    async def _read_log(self) -> GroupCoordinator:
        core = GroupCoordinator(self._settings)
        offset, end = self._log.bounds_internal(self._partition)
        replayed = 0
        while offset < end:
            batches = await self._log.read_internal(self._partition, offset, LOAD_READ_BYTES)
            read_to = offset
            for header in headers(batches):
                if header.last_offset >= offset and not header.control:
                    self._replay(
                        core, [record for record in decode_records(batches, header) if record.offset >= offset]
                    )
                    replayed += header.record_count
                read_to = max(read_to, header.last_offset + 1)
                if replayed >= LOAD_RECORDS:
                    await self._clock.sleep(0)
                    replayed = 0
            assert read_to > offset, f"offset {offset} of __consumer_offsets is below the end {end}, but has no batch"
            offset = read_to
        return core

    def _replay(self, core: GroupCoordinator, records: list[Record]) -> None:
        for record in records:
            try:
                if record.key is not None:
                    with reading(f"The record at offset {record.offset} of {GroupsTopic}-{self._partition.partition}"):
                        core.replay(record.key, record.value)
            except NewerFormatError:
                raise  # a group's offsets would be lost without a word
            except CorruptError as error:
                # The batch's own checksum is good: no coordinator has written this, so it is none of ours.
                self._logger.error(
                    "a record of __consumer_offsets is not a coordinator's and left out",
                    extra=fields(partition=self._partition.partition, offset=record.offset, error=error),
                )

    # Events and effects

    def _handle(self, event: Event) -> None:
        core = self._core
        if core is None:
            return
        try:
            self._run_effects(core.handle(event, self._clock.wall_ms()))
        except (StaleRouteError, FencedError):
            self.close()
        except Exception as error:  # noqa: BLE001 (a breach ends the coordinator, and with it the leader, by ``run``)
            self.close(error)

    def _run_effects(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Reply():
                    token = effect.token
                    if isinstance(token, asyncio.Future) and not token.done():
                        token.set_result(effect.answer)
                case Append():
                    self._append(effect)
                case SetTimer():
                    self._timers.set(effect.key, effect.delay_ms)
                case CancelTimer():
                    self._timers.cancel(effect.key)
                case TrimLog():
                    self._trim_before = effect.before_offset
                    self._trim_asked.set()

    def _append(self, append: Append) -> None:
        now_ms = self._clock.wall_ms()
        batch = encode_batch([Record(key=key, value=value, timestamp_ms=now_ms) for key, value in append.records])
        durable = self._log.append_internal(self._partition, batch)
        self._appends.append((append.ref, len(batch), durable))
        self._append_bytes += len(batch)
        durable.add_done_callback(self._appended)

    def _appended(self, _: asyncio.Future[int]) -> None:
        """Some append has ended: pass on what is durable, in order."""
        while self._appends and self._appends[0][2].done():
            ref, size_bytes, durable = self._appends.popleft()
            self._append_bytes -= size_bytes
            if durable.cancelled() or durable.exception() is not None:
                self.close(None if durable.cancelled() else _unexpected(durable.exception()))
                continue
            self._handle(Appended(ref, durable.result()))
        self.retry()

    # What is done on the side

    async def _expire_now_and_then(self) -> None:
        while True:
            await self._clock.sleep(self._settings.offsets_retention_check_interval_ms / 1000)
            as_of_ms = self._clock.wall_ms() - TOPICS_MARGIN_MS
            try:
                existing = await self._existing_topics()
            except RetryError:
                # The controller is away: offsets of deleted topics stay a while longer.
                existing = None
            self._handle(ExpireOffsets(existing, as_of_ms))

    async def _trim_when_asked(self) -> None:
        while True:
            await self._trim_asked.wait()
            self._trim_asked.clear()
            try:
                await self._log.delete_records_internal(self._partition, self._trim_before)
            except RetryError:
                await self._clock.sleep(RETRY_S)
                self._trim_asked.set()
            except (StaleRouteError, FencedError):
                self.close()


def _not_led(partition: TopicPartition) -> StaleRouteError:
    return StaleRouteError(f"__consumer_offsets-{partition.partition} is not led here.")


def _unexpected(error: BaseException | None) -> BaseException | None:
    return None if isinstance(error, StaleRouteError | FencedError) else error
