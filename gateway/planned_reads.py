"""Executes the read plans in a Fetch answer: the batches are read from the bucket, past the leader, and put in their place.

- A partition gets whole batches from the one that holds the fetch offset on, within its own limit and what is left of the
  request's; the first batch of the first partition that has one is given however large it is (KIP-74).
- When the memory for answers is used up, by clients that do not take theirs, a small part of what is planned is read.
- Batches of an upload have no offsets and leader epoch yet: they are written in here, into a copy.
- What a plan names beyond the high watermark, or the last stable offset for read_committed, is not given.
- An object that is gone was replaced (compaction, retention): the leader is asked once more. When that does not help, or the
  bucket does not answer, the partition gets KAFKA_STORAGE_ERROR, and the client tries again.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any, Final

from kio.schema.errors import ErrorCode

from gateway.budget import Budget
from gateway.context import RequestContext
from gateway.fetching import Answers, answer_bytes, ask, failed_partition, request_order, topic_key
from raylog.model.buffers import Buffer
from raylog.model.errors import CorruptError, NotFoundError, RetryError
from raylog.model.ids import TopicId
from raylog.model.logs import fields
from raylog.protocol.batch import assigned, headers
from raylog.protocol.gather import RecordsParts
from raylog.storage.read_plan import ObjectRange, decode_read_plan, is_read_plan

_READ_COMMITTED: Final = 1


async def fill_in(context: RequestContext, request: Any, answers: Answers) -> Answers:
    """``answers`` with records in place of plans, within the request's ``max_bytes``, counted in the request's order.

    Records that several leaders gave beyond it, as each must give a batch however small the limit is, are taken out again.
    """
    limits, memory = context.services.limits, context.services.answers
    limit_bytes = min(request.max_bytes, limits.fetch_bytes_max)
    given_bytes = planned_bytes = 0
    reads: dict[Any, Coroutine[Any, Any, Any]] = {}
    for topic, partition in request_order(request):
        key = topic_key(topic), partition.partition
        answer = answers.get(key)
        if answer is None:
            continue
        has_to_give = given_bytes == 0
        left_bytes = max(0, min(partition.partition_max_bytes, limit_bytes - given_bytes))
        if is_read_plan(answer.records):
            if memory.is_over:
                left_bytes = min(left_bytes, max(0, limits.answer_bytes_max - planned_bytes))
            reads[key] = _read(context, request, topic, partition, answer, left_bytes, has_to_give)
            planned_bytes += min(left_bytes, answer_bytes(answer))
            given_bytes += min(left_bytes, answer_bytes(answer))
        elif has_to_give or given_bytes + answer_bytes(answer) <= limit_bytes:
            given_bytes += answer_bytes(answer)
        else:
            answers = {**answers, key: replace(answer, records=b"")}
    return {**answers, **await _run(memory, planned_bytes, reads)} if reads else answers


async def _run(memory: Budget, planned_bytes: int, reads: dict[Any, Coroutine[Any, Any, Any]]) -> dict[Any, Any]:
    """The reads' results, all read at once; their bytes are counted meanwhile."""
    memory.take(planned_bytes)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = {key: group.create_task(read) for key, read in reads.items()}
    finally:
        memory.give_back(planned_bytes)
    return {key: task.result() for key, task in tasks.items()}


async def _read(
    context: RequestContext, request: Any, topic: Any, partition: Any, answer: Any, limit_bytes: int, has_to_give: bool
) -> Any:
    for may_ask_again in (True, False):
        if not is_read_plan(answer.records):
            return answer
        try:
            end_offset = (
                answer.last_stable_offset if request.isolation_level == _READ_COMMITTED else answer.high_watermark
            )
            records = await read_planned(
                context,
                decode_read_plan(answer.records),
                fetch_offset=partition.fetch_offset,
                end_offset=end_offset,
                limit_bytes=limit_bytes,
                has_to_give=has_to_give,
            )
        except NotFoundError as error:
            if not may_ask_again:
                return _unreadable(context, topic, partition, error)
            answer = await _ask_again(context, request, topic, partition)
        except (RetryError, CorruptError) as error:
            return _unreadable(context, topic, partition, error)
        else:
            return _with_records(answer, records)
    return answer


async def read_planned(
    context: RequestContext,
    plan: Sequence[ObjectRange],
    *,
    fetch_offset: int,
    end_offset: int,
    limit_bytes: int,
    has_to_give: bool,
) -> RecordsParts:
    """Whole batches of ``plan`` with offsets in [``fetch_offset``, ``end_offset``), the first one from its start.

    At most ``limit_bytes``, except that with ``has_to_give`` the first batch is given whatever its size.
    """
    wanted = _wanted(plan, fetch_offset, end_offset, limit_bytes, has_to_give)
    cache = context.services.block_cache
    found = await asyncio.gather(*(cache.read(at.key, at.position, at.size_bytes) for at in wanted))
    records = RecordsParts()
    for at, views in zip(wanted, found, strict=True):
        left_bytes = limit_bytes - len(records)
        if at.missing_epoch >= 0:
            views = [memoryview(assigned(_joined(views), at.first_offset, at.missing_epoch))]
        if at.first_offset >= fetch_offset and at.last_offset < end_offset and at.size_bytes <= left_bytes:
            records.extend(views)
            continue
        part, is_cut_short = _cut(
            _joined(views), fetch_offset, end_offset, left_bytes, has_to_give and not len(records)
        )
        records.extend(part)
        if is_cut_short:
            break  # what follows, however small, would leave a gap
    return records


def _joined(views: Sequence[memoryview]) -> Buffer:
    return views[0] if len(views) == 1 else b"".join(views)


def _wanted(
    plan: Sequence[ObjectRange], fetch_offset: int, end_offset: int, limit_bytes: int, has_to_give: bool
) -> list[ObjectRange]:
    """The ranges to read: those that fit whole, so that none is read twice and the next fetch goes on where read-ahead
    expects it; but at least one, of which a part may have to do."""
    wanted: list[ObjectRange] = []
    planned_bytes = 0
    for at in plan:
        if at.last_offset < fetch_offset:
            continue
        fits = planned_bytes + at.size_bytes <= limit_bytes if wanted else limit_bytes > 0 or has_to_give
        if at.first_offset >= end_offset or not fits:
            break
        wanted.append(at)
        if at.first_offset >= fetch_offset:  # else some of it is passed over, nobody knows how much
            planned_bytes += at.size_bytes
    return wanted


def _cut(
    run: Buffer, fetch_offset: int, end_offset: int, limit_bytes: int, has_to_give: bool
) -> tuple[list[Buffer], bool]:
    """The part of a run of batches that is to be given, as one view at most, and whether there is more that is not."""
    start = end = None
    is_cut_short = False
    for header in headers(run):
        if header.last_offset < fetch_offset:
            continue
        if start is None:
            start = end = header.position
        is_too_much = header.end - start > limit_bytes and not (has_to_give and header.position == start)
        if header.base_offset >= end_offset or is_too_much:
            is_cut_short = True
            break
        end = header.end
    if start is None or end is None or start == end:
        return [], is_cut_short
    part = memoryview(run)[start:end]
    # A view keeps all of the run in memory until the client has taken it: see the block cache.
    return [part if 2 * len(part) >= len(run) else bytes(part)], is_cut_short


async def _ask_again(context: RequestContext, request: Any, topic: Any, partition: Any) -> Any:
    """The partition's answer from its leader as of now."""
    by_id = hasattr(topic, "topic_id")
    route = context.router.topic_by_id(TopicId(topic.topic_id)) if by_id else context.router.topic(topic.topic)
    if route is None:
        code = ErrorCode.unknown_topic_id if by_id else ErrorCode.unknown_topic_or_partition
        return failed_partition(context, partition, code)
    error, leader_id = context.router.leader_of(route, partition.partition)
    if error is not ErrorCode.none:
        return failed_partition(context, partition, error)
    answers = await ask(
        context, request, leader_id, [(topic, partition)], max_wait_ms=0, min_bytes=0, max_bytes=request.max_bytes
    )
    answer = answers.get((topic_key(topic), partition.partition))
    return answer if answer is not None else failed_partition(context, partition, ErrorCode.not_leader_or_follower)


def _with_records(answer: Any, records: RecordsParts) -> Any:
    if hasattr(answer, "preferred_read_replica"):
        return replace(answer, records=records, preferred_read_replica=-1)
    return replace(answer, records=records)


def _unreadable(context: RequestContext, topic: Any, partition: Any, error: Exception) -> Any:
    context.services.log.warning(
        "records could not be read from the bucket",
        extra=fields(
            topic=topic_key(topic),
            partition=partition.partition,
            offset=partition.fetch_offset,
            client_id=context.client_id,
            correlation_id=context.head.correlation_id,
            error=error,
        ),
    )
    return failed_partition(context, partition, ErrorCode.kafka_storage_error)
