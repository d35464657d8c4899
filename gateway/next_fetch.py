"""What a connection's next fetch will want, made ready while its client is at work on what it has got.

A consumer that catches up asks for what follows as soon as it is through with an answer, and waits for it; until then its gateway
has nothing to do for it. So once an answer has left, what the plans lead to next is looked up as if it had been asked for. Rules:

- Only what the system has in memory is made ready: nothing is read for a fetch that may never come.
- A fetch is answered from here if each of its partitions is here, at the offset and with the limits and epochs that it names, and
  the routes are those of then; else it takes its usual way, and what is here is dropped.
- What does not fit any more into an answer that is half full stays ready for the fetch after it.
- What is here was true when it was made ready, and may be as old as the plans that it comes from.
- As it keeps files open, it is dropped when nobody has asked for it in a moment.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from kio.schema.errors import ErrorCode

from gateway.context import RequestContext
from gateway.fetching import (
    Answers,
    PartitionKey,
    PlannedAnswer,
    end_offset,
    leader_of,
    request_order,
    route_of,
    topic_key,
)
from gateway.planned_reads import Bounds, look_up
from gateway.routing import RouteIndex
from raylog.protocol.gather import RecordsParts

_PARTITIONS_MAX: Final = 32
"""Of one fetch; more are not made ready, as others would wait for it."""
_UNUSED_S: Final = 1.0
"""What is ready is dropped after so long, and within twice that."""


class _Ready(NamedTuple):
    """A partition's answer."""

    answer: Any
    """As clients see it."""
    size_bytes: int
    until_s: float
    partition: Any
    """Of the request that it answers."""
    next_offset: int
    """Where the fetch after that goes on."""
    without_records: Any = None
    """The answer when there is no room for the records, once there was none."""

    @property
    def is_over_its_limit(self) -> bool:
        """It is one batch, larger than the request wants of the partition."""
        return self.size_bytes > int(self.partition.partition_max_bytes)

    def may_be_given(self, given_bytes: int, limit_bytes: int) -> bool:
        """Behind so many bytes of other partitions: what is first may be larger than its limits, as a batch (KIP-74)."""
        if self.is_over_its_limit:
            return not given_bytes
        return given_bytes + self.size_bytes <= limit_bytes


class NextFetch:
    """One connection's."""

    def __init__(self) -> None:
        self._context: RequestContext | None = None
        """Of the last fetch, with its request:"""
        self._request: Any = None
        self._index: RouteIndex | None = None
        """The routes that what is ready was made with."""
        self._expected: list[tuple[Any, Any]] = []
        """Topics and partitions as the next request will have them, but for those that are ready."""
        self._ready: dict[PartitionKey, _Ready] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_unused = False

    def take(self, context: RequestContext, request: Any) -> Answers | None:
        """The answers to all of the request's partitions, if they are ready and as much as it wants. What follows them is made
        ready in turn."""
        ready, self._ready = self._ready, {}
        if not ready or self._request.isolation_level != request.isolation_level:
            return None
        services = context.services
        if self._index is not services.routes.index:
            return None
        now = services.clock.monotonic()
        limit_bytes = min(request.max_bytes, services.limits.fetch_bytes_max)
        answers: Answers = {}
        expected = []
        left = {}
        given_bytes = 0
        for topic, partition in request_order(request):
            key = topic_key(topic), partition.partition
            found = ready.get(key)
            if found is None or found.partition != partition or now >= found.until_s:
                return None
            if found.may_be_given(given_bytes, limit_bytes):
                answers[key] = found.answer
                given_bytes += found.size_bytes
                expected.append((topic, replace(partition, fetch_offset=found.next_offset)))
            elif found.is_over_its_limit or 2 * given_bytes >= limit_bytes:
                if found.without_records is None:
                    found = found._replace(without_records=replace(found.answer, records=RecordsParts()))
                answers[key] = found.without_records
                left[key] = found
            else:
                return None
        if given_bytes < max(1, request.min_bytes):
            return None
        self._expect(context, request, expected)
        self._ready = left
        return answers

    def follow(self, context: RequestContext, request: Any, ends: Mapping[PartitionKey, int]) -> None:
        """Make ready what follows an answer, whose partitions end at ``ends``; those that are not there have got nothing."""
        if not ends or not context.services.block_cache.has_files:
            return
        if sum(len(topic.partitions) for topic in request.topics) > _PARTITIONS_MAX:
            return
        expected = []
        for topic, partition in request_order(request):
            offset = ends.get((topic_key(topic), partition.partition), partition.fetch_offset)
            expected.append((topic, replace(partition, fetch_offset=offset)))
        self._ready = {}
        self._expect(context, request, expected)

    def drop(self) -> None:
        """Nothing more is asked for; what is ready is let go."""
        self._context = self._request = self._index = None
        self._expected = []
        self._ready = {}
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expect(self, context: RequestContext, request: Any, expected: list[tuple[Any, Any]]) -> None:
        self._context, self._request, self._expected = context, request, expected
        context.client.when_sent(self._make_ready)

    def _make_ready(self) -> None:
        context, request = self._context, self._request
        expected, self._expected = self._expected, []
        if context is None:
            return
        index = context.services.routes.index
        if self._index is not index:
            self._index, self._ready = index, {}
        for topic, partition in expected:
            ready = _look_ahead(context, request, topic, partition)
            if ready is not None:
                self._ready[topic_key(topic), partition.partition] = ready
        self._is_unused = False
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_UNUSED_S, self._strike)

    def _strike(self) -> None:
        if self._is_unused:
            self.drop()
            return
        self._is_unused = True
        self._timer = asyncio.get_running_loop().call_later(_UNUSED_S, self._strike)


def _look_ahead(context: RequestContext, request: Any, topic: Any, partition: Any) -> _Ready | None:
    """What the partition will be answered, if no leader has to be asked and nothing has to be read for it."""
    error, leader_id = leader_of(context, route_of(context, topic), partition)
    if error is not ErrorCode.none:
        return None
    kept = context.services.plan_cache.follow(context, request, leader_id, topic, partition)
    if kept is None:
        return None
    answer = kept.answer
    if not isinstance(answer, PlannedAnswer):
        return _Ready(answer, 0, kept.until_s, partition, partition.fetch_offset)
    bounds = Bounds(
        partition.fetch_offset,
        end_offset(answer.answer, request),
        min(partition.partition_max_bytes, context.services.limits.fetch_bytes_max),
        has_to_give=True,
    )
    found = look_up(context, answer.plan, bounds)
    records = found.all_at_hand()
    if not records:
        return None
    return _Ready(answer.with_records(records), len(records), kept.until_s, partition, found.end_offset)
