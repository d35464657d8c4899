"""Executes the read plans in a Fetch answer: the batches are read from the bucket, past the leader, and put in their place.

- A partition gets whole batches from the one that holds the fetch offset on, within its own limit and what is left of the
  request's; the first batch of the first partition that has one is given however large it is (KIP-74).
- An answer that is half full without a wait goes as it is: what would have to be read, or cut, comes with the next fetch.
- When the memory for answers is used up, by clients that do not take theirs, a small part of what is planned is read.
- Of a range of which only a part may be given, that part is found by its batches' headers where the system has it in memory, and
  goes as a file as well. Else the range is read, and cut.
- Batches of an upload have no offsets and leader epoch yet: they are written in here, into a copy.
- What a plan names beyond the high watermark, or the last stable offset for read_committed, is not given.
- An object that is gone was replaced (compaction, retention): the leader is asked once more. When that does not help, or the
  bucket does not answer, the partition gets KAFKA_STORAGE_ERROR, and the client tries again.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from kio.schema.errors import ErrorCode

from gateway.context import RequestContext
from gateway.fetching import (
    Answers,
    FetchParts,
    PartitionKey,
    PlannedAnswer,
    answer_bytes,
    ask,
    end_offset,
    failed_partition,
    leader_of,
    request_order,
    route_of,
    topic_key,
    unreadable,
)
from raylog.model.buffers import Buffer
from raylog.model.errors import CorruptError, NotFoundError, RetryError
from raylog.protocol.batch import HEADER_BYTES, BatchHeader, assigned, headers
from raylog.protocol.batch_header import read_bare_header
from raylog.protocol.file_range import FileRange, Part
from raylog.protocol.gather import RecordsParts
from raylog.storage.block_cache import BlockCache
from raylog.storage.read_plan import ObjectRange, ReadPlan

_HEADERS_MAX: Final = 64
"""Of batches in a file that are looked at, with a system call each. A range with more of them is read instead."""


class Bounds(NamedTuple):
    """What of a partition may be given: whole batches with offsets in [``fetch_offset``, ``end_offset``)."""

    fetch_offset: int
    end_offset: int
    limit_bytes: int
    """At most, but for ``has_to_give``."""
    has_to_give: bool
    """The first batch, whatever its size."""


class _Given(NamedTuple):
    """Batches of a run: their bytes' positions in it, and their offsets."""

    start: int
    end: int
    first_offset: int
    last_offset: int
    """Inclusive."""


class _ManyBatchesError(Exception):
    """A run has more than are looked at one by one."""


class Ranges(NamedTuple):
    """What of a plan is to be given, and where it is."""

    wanted: list[ObjectRange]
    at_hand: list[Part | None]
    """Each as the system has it in memory; None: it has to be read."""

    def all_at_hand(self) -> RecordsParts | None:
        """All of it, if none of it has to be read."""
        parts = [part for part in self.at_hand if part is not None]
        return RecordsParts(parts) if len(parts) == len(self.at_hand) else None

    @property
    def end_offset(self) -> int:
        """One above the last one of what is to be given, which is something."""
        return self.wanted[-1].last_offset + 1


class Filled(NamedTuple):
    """Answers as clients see them."""

    answers: Answers
    ends: dict[PartitionKey, int]
    """Where the records end of those partitions for which nothing had to be read."""


class _Read(NamedTuple):
    """A partition of the answer of which something has to be read."""

    topic: Any
    partition: Any
    """Both of the request."""
    answer: PlannedAnswer
    bounds: Bounds
    found: Ranges
    planned_bytes: int
    """At most so many are read."""


async def fill_in(context: RequestContext, request: Any, answers: Answers) -> Filled:
    """``answers`` with records in place of plans, within the request's ``max_bytes``, counted in the request's order.

    Records that several leaders gave beyond it, as each must give a batch however small the limit is, are taken out again.
    """
    filled, reads = _fill_at_hand(context, request, answers)
    if reads:
        filled.answers.update(await _read_all(context, request, reads))
    return filled


def fill_at_hand(context: RequestContext, request: Any, answers: Answers) -> Filled | None:
    """What ``fill_in`` gives, if nothing has to be read for it."""
    filled, reads = _fill_at_hand(context, request, answers)
    return None if reads else filled


def _fill_at_hand(context: RequestContext, request: Any, answers: Answers) -> tuple[Filled, dict[PartitionKey, _Read]]:
    """The answers as far as nothing has to be read, and what has to be."""
    limits, memory = context.services.limits, context.services.answers
    limit_bytes = min(request.max_bytes, limits.fetch_bytes_max)
    given_bytes = planned_bytes = 0
    filled = Filled(dict(answers), {})
    reads: dict[PartitionKey, _Read] = {}
    for topic, partition in request_order(request):
        key = topic_key(topic), partition.partition
        answer = answers.get(key)
        if answer is None:
            continue
        has_to_give = given_bytes == 0
        left_bytes = max(0, min(partition.partition_max_bytes, limit_bytes - given_bytes))
        size_bytes = answer_bytes(answer)
        if isinstance(answer, PlannedAnswer):
            if memory.is_over:
                left_bytes = min(left_bytes, max(0, limits.answer_bytes_max - planned_bytes))
            bounds = Bounds(partition.fetch_offset, end_offset(answer.answer, request), left_bytes, has_to_give)
            found = look_up(context, answer.plan, bounds)
            records = found.all_at_hand()
            if records is None and not reads and 2 * given_bytes >= limit_bytes:
                records = RecordsParts()  # the answer goes without it rather than wait for the last bit of it
            if records is not None:
                filled.answers[key] = answer.with_records(records)
                size_bytes = len(records)
                if size_bytes:
                    filled.ends[key] = found.end_offset
            else:
                size_bytes = min(left_bytes, size_bytes)
                planned_bytes += size_bytes
                reads[key] = _Read(topic, partition, answer, bounds, found, size_bytes)
        elif not has_to_give and given_bytes + size_bytes > limit_bytes:
            size_bytes = 0
            filled.answers[key] = replace(answer, records=b"")
        given_bytes += size_bytes
    return filled, reads


async def _read_all(context: RequestContext, request: Any, reads: dict[PartitionKey, _Read]) -> Answers:
    """The reads' results, all read at once; their bytes are counted meanwhile."""
    memory = context.services.answers
    planned_bytes = sum(read.planned_bytes for read in reads.values())
    memory.take(planned_bytes)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = {key: group.create_task(_read(context, request, read)) for key, read in reads.items()}
    finally:
        memory.give_back(planned_bytes)
    return {key: task.result() for key, task in tasks.items()}


async def _read(context: RequestContext, request: Any, read: _Read) -> Any:
    topic, partition, answer, bounds, found, _ = read
    for may_ask_again in (True, False):
        try:
            records = await read_planned(context, found, bounds)
        except NotFoundError as error:
            if not may_ask_again:
                return unreadable(context, topic, partition.partition, error)
            answer = await _ask_again(context, request, topic, partition)
            if not isinstance(answer, PlannedAnswer):
                return answer
            found = look_up(context, answer.plan, bounds)
        except (RetryError, CorruptError) as error:
            return unreadable(context, topic, partition.partition, error)
        else:
            if answer.is_onward:
                context.services.block_cache.read_on(_after(answer.plan, bounds, records))
            return answer.with_records(records)
    return answer


def look_up(context: RequestContext, plan: ReadPlan, bounds: Bounds) -> Ranges:
    cache = context.services.block_cache
    wanted = _wanted(plan, bounds)
    if wanted and not _may_go_whole(wanted[0], bounds):
        narrowed = _narrowed(cache, wanted, bounds)
        if narrowed is not None:
            wanted = narrowed
            # The first one is what may be given of it: more than the limit if that is a batch that has to be.
            bounds = bounds._replace(limit_bytes=max([bounds.limit_bytes, *(at.size_bytes for at in wanted[:1])]))
    return Ranges(wanted, [_at_hand(cache, at, bounds) for at in wanted])


async def read_planned(context: RequestContext, found: Ranges, bounds: Bounds) -> RecordsParts:
    """Whole batches of a plan within ``bounds``, the first one from its start."""
    wanted, at_hand = found
    cache = context.services.block_cache
    reads = (
        cache.read(at.key, at.position, at.size_bytes) for at, part in zip(wanted, at_hand, strict=True) if part is None
    )
    read = iter(await asyncio.gather(*reads))
    records = RecordsParts()
    for at, part in zip(wanted, at_hand, strict=True):
        left_bytes = bounds.limit_bytes - len(records)
        if part is not None:
            if len(part) > left_bytes and len(records):
                break  # the first one was found to be given, even beyond the limit: a batch that has to be
            records.extend((part,))
            continue
        views = next(read)
        if at.missing_epoch >= 0:
            views = [memoryview(assigned(_joined(views), at.first_offset, at.missing_epoch))]
        if _is_whole(at, bounds) and at.size_bytes <= left_bytes:
            records.extend(views)
            continue
        has_to_give = bounds.has_to_give and not len(records)
        run = _joined(views)
        given, is_cut_short = _cut(headers(run), bounds._replace(limit_bytes=left_bytes, has_to_give=has_to_give))
        if given is not None:
            records.extend((_part(run, given),))
        if is_cut_short:
            break  # what follows, however small, would leave a gap
    return records


def _is_whole(at: ObjectRange, bounds: Bounds) -> bool:
    """Whether none of its batches lies outside the offsets."""
    return bounds.fetch_offset <= at.first_offset and at.last_offset < bounds.end_offset


def _may_go_whole(at: ObjectRange, bounds: Bounds) -> bool:
    return at.size_bytes <= bounds.limit_bytes and _is_whole(at, bounds)


def _at_hand(cache: BlockCache, at: ObjectRange, bounds: Bounds) -> Part | None:
    """The range as the system has it in memory, if it may be given as it is."""
    may_be = at.missing_epoch < 0 and _may_go_whole(at, bounds)
    return cache.at_hand(at.key, at.position, at.size_bytes) if may_be else None


def _narrowed(cache: BlockCache, wanted: list[ObjectRange], bounds: Bounds) -> list[ObjectRange] | None:
    """``wanted`` with that part of its first range that may be given, which may be none of it, and what may follow. None where
    the range has to be read to know."""
    at, *others = wanted
    file = None if at.missing_epoch >= 0 else cache.file_at_hand(at.key, at.position, at.size_bytes)
    if file is None:
        return None
    try:
        given, is_cut_short = _cut(_headers_in(file), bounds)
    except (OSError, CorruptError, _ManyBatchesError):
        return None  # reading finds out what is wrong
    narrowed = []
    left_bytes = bounds.limit_bytes
    if given is not None:
        size_bytes = given.end - given.start
        narrowed.append(
            ObjectRange(at.key, at.position + given.start, size_bytes, given.first_offset, given.last_offset)
        )
        left_bytes -= size_bytes
    for other in () if is_cut_short else others:
        left_bytes -= other.size_bytes
        if left_bytes < 0:
            break
        narrowed.append(other)
    return narrowed


def _headers_in(file: FileRange) -> Iterator[BatchHeader]:
    """The headers of the batches that a part of a file consists of. Raises OSError, CorruptError, _ManyBatchesError."""
    position = 0
    for _ in range(_HEADERS_MAX):
        header = read_bare_header(file.peek(position, HEADER_BYTES), 0)
        if position + header.size_bytes > len(file):
            raise CorruptError("A batch ends beyond its range.")
        yield header._replace(position=position)
        position += header.size_bytes
        if position == len(file):
            return
    raise _ManyBatchesError


def _after(plan: ReadPlan, bounds: Bounds, records: RecordsParts) -> Iterator[tuple[str, int, int]]:
    """Key, position and size of the ranges that lie behind so many records, not counting what is passed over of the first."""
    given_bytes = len(records)
    for at in plan.ranges:
        if at.last_offset < bounds.fetch_offset:
            continue
        if given_bytes <= 0:
            yield at.key, at.position, at.size_bytes
        given_bytes -= at.size_bytes


def _joined(views: Sequence[memoryview]) -> Buffer:
    return views[0] if len(views) == 1 else b"".join(views)


def _wanted(plan: ReadPlan, bounds: Bounds) -> list[ObjectRange]:
    """The ranges to read: those that fit whole, so that none is read twice and the next fetch goes on where read-ahead
    expects it; but at least one, of which a part may have to do. What is given whole and lies together is one range."""
    fetch_offset, end_offset, limit_bytes, has_to_give = bounds
    wanted: list[ObjectRange] = []
    planned_bytes = 0
    is_after_whole = False
    for at in plan.ranges:
        if at.last_offset < fetch_offset:
            continue
        fits = planned_bytes + at.size_bytes <= limit_bytes if wanted else limit_bytes > 0 or has_to_give
        if at.first_offset >= end_offset or not fits:
            break
        if at.first_offset >= fetch_offset:  # else some of it is passed over, nobody knows how much
            planned_bytes += at.size_bytes
        is_whole = _is_whole(at, bounds)
        both = wanted[-1].joined(at) if is_whole and is_after_whole else None
        if both is None:
            wanted.append(at)
        else:
            wanted[-1] = both
        is_after_whole = is_whole
    return wanted


def _cut(run: Iterable[BatchHeader], bounds: Bounds) -> tuple[_Given | None, bool]:
    """Of a run's batches those that are to be given, if any, and whether there is more that is not."""
    start = end = first_offset = last_offset = -1
    is_cut_short = False
    for header in run:
        if header.last_offset < bounds.fetch_offset:
            continue
        if start < 0:
            start = end = header.position
            first_offset = header.base_offset
        is_too_much = header.end - start > bounds.limit_bytes and not (bounds.has_to_give and header.position == start)
        if header.base_offset >= bounds.end_offset or is_too_much:
            is_cut_short = True
            break
        end, last_offset = header.end, header.last_offset
    return (None if start == end else _Given(start, end, first_offset, last_offset)), is_cut_short


def _part(run: Buffer, given: _Given) -> Buffer:
    part = memoryview(run)[given.start : given.end]
    # A view keeps all of the run in memory until the client has taken it: see the block cache.
    return part if 2 * len(part) >= len(run) else bytes(part)


async def _ask_again(context: RequestContext, request: Any, topic: Any, partition: Any) -> Any:
    """The partition's answer from its leader as of now."""
    error, leader_id = leader_of(context, route_of(context, topic), partition)
    if error is not ErrorCode.none:
        return failed_partition(context, partition.partition, error)
    parts = FetchParts(by_leader={leader_id: [(topic, partition)]})
    answers = await ask(
        context, request, leader_id, [(topic, partition)], max_wait_ms=0, min_bytes=0, max_bytes=request.max_bytes
    )
    context.services.plan_cache.keep(context, request, parts, answers)
    answer = answers.get((topic_key(topic), partition.partition))
    if answer is None:
        return failed_partition(context, partition.partition, ErrorCode.not_leader_or_follower)
    return answer
