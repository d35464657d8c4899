"""Fetch: the tail from memory by reference, read plans for what is in the bucket, and the waiting for bytes to come.

- What is in no slot and has left the tail cache is read where it is; a fetch waits while it is read back from the WAL.
- What a gateway can send from a file of a local bucket is planned, also while it is in the tail cache.
- The first batch of the first partition that has any is returned whole, whatever the limits say (KIP-74); after that the
  request's ``max_bytes`` and each partition's are kept.
- An answer waits until ``min_bytes`` are there, an error is to be told, or ``max_wait`` is over.
- ``max_bytes`` 0 is the gateways' wait: answered under the same conditions, with offsets and without records.
- Nothing at or above the high watermark (read_committed: the last stable offset) is ever returned.
"""

import asyncio
from typing import Any, Final

from kio.schema.errors import ErrorCode

from raylog.leader.batch_reader import object_key
from raylog.leader.call import Call
from raylog.leader.hosted import HostedPartition, HostedPartitions
from raylog.leader.messages import known_fields, make, response_types
from raylog.leader.metrics import LeaderMetrics
from raylog.leader.unflushed_reader import Found, UnflushedReader
from raylog.model.clock import Clock
from raylog.model.limits import LeaderLimits
from raylog.partition.fetch_waits import FetchWaits
from raylog.partition.offset_index import UPLOAD
from raylog.partition.outcomes import NO_EPOCH, FetchBounds, FetchDiverging, FetchStart, OffsetRejected
from raylog.protocol.file_range import FILE_BYTES_MIN
from raylog.protocol.gather import RecordsParts
from raylog.protocol.wire import NO_THROTTLE, to_ms
from raylog.storage.read_plan import ObjectRange, encode_read_plan

IS_PLAN: Final = -2
"""In ``preferred_read_replica``: the records are a read plan."""

_KEY: Final = 1
_FIRST_VERSION_WITH_TOPIC_IDS: Final = 13
_READ_COMMITTED: Final = 1
_PLAN_RANGES_MAX: Final = 4096
"""Of a plan, however small they are: to write or to read so many takes some milliseconds, for which all else waits."""


class Fetch:
    """One request under way."""

    __slots__ = (
        "call",
        "is_unreadable",
        "max_bytes",
        "max_wait_s",
        "min_bytes",
        "read_committed",
        "targets",
        "types",
        "wants_records",
    )

    def __init__(self, call: Call, partitions: HostedPartitions, limits: LeaderLimits) -> None:
        request = call.request
        self.call = call
        self.is_unreadable = False
        """The WAL could not be read back for it."""
        self.types = response_types(call.head)
        self.wants_records = request.max_bytes > 0
        self.max_bytes = min(request.max_bytes, limits.fetch_bytes_max)
        self.min_bytes: int = min(request.min_bytes, self.max_bytes) if self.wants_records else request.min_bytes
        self.max_wait_s = min(to_ms(request.max_wait), limits.fetch_wait_ms_max) / 1000
        self.read_committed = request.isolation_level == _READ_COMMITTED
        by_id = call.head.api_version >= _FIRST_VERSION_WITH_TOPIC_IDS
        self.targets: list[tuple[Any, Any, HostedPartition | None]] = [
            (topic, part, partitions.find(topic.topic_id if by_id else topic.topic, part.partition))
            for topic in request.topics
            for part in topic.partitions
        ]


class _Collected:
    """An answer as it is put together."""

    __slots__ = ("has_plan", "must_answer", "reading", "size_bytes", "topics")

    def __init__(self) -> None:
        self.reading: asyncio.Task[None] | None = None
        """After which it has to be put together again."""
        self.must_answer = False
        """Whatever ``min_bytes`` says: there is an error to tell, or batches that have left memory (as Kafka does for
        older segments)."""
        self.has_plan = False
        self.size_bytes = 0
        self.topics: dict[int, tuple[Any, list[Any]]] = {}


class Fetcher:
    def __init__(
        self,
        partitions: HostedPartitions,
        unflushed: UnflushedReader,
        clock: Clock,
        limits: LeaderLimits,
        metrics: LeaderMetrics,
        *,
        prefers_files: bool,
    ) -> None:
        """``prefers_files``: what the bucket has in its files goes to consumers from there, past this process."""
        self._prefers_files = prefers_files
        self._partitions = partitions
        self._unflushed = unflushed
        self._clock = clock
        self._limits = limits
        self._metrics = metrics
        self._waits: FetchWaits[Fetch] = FetchWaits(limits.fetch_waits_max)
        self._ready: list[Fetch] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._is_stopped = False

    @property
    def waiting(self) -> int:
        """Fetches that wait for bytes."""
        return len(self._waits)

    def serve(self, call: Call) -> None:
        """Answer now, or once there is enough or the time is over."""
        fetch = Fetch(call, self._partitions, self._limits)
        found = self._collect(fetch)
        lacking = fetch.min_bytes - found.size_bytes
        if lacking <= 0 or found.must_answer or fetch.max_wait_s <= 0 or not fetch.targets or not self._waits.has_room:
            self._answer(fetch, found)
            return
        deadline = self._clock.monotonic() + fetch.max_wait_s
        self._waits.add(
            fetch,
            [hosted.partition for _, _, hosted in fetch.targets if hosted is not None],
            lacking_bytes=lacking,
            deadline=deadline,
            read_committed=fetch.read_committed,
        )
        self._set_timer()

    def advanced(self, hosted: HostedPartition, size_bytes: int, stable_bytes: int) -> None:
        """The partition's high watermark has moved: who waited enough is answered by ``answer_ready``."""
        self._ready += self._waits.gained(hosted.partition, size_bytes, stable_bytes)

    def failed(self, hosted: HostedPartition) -> None:
        """The partition has an answer of its own now: it is not led any more, or begins elsewhere."""
        self._ready += self._waits.failed(hosted.partition)
        self.answer_ready()

    def answer_ready(self) -> None:
        """Answer those that need not wait any longer, once all high watermarks have moved."""
        if self._ready:
            ready, self._ready = self._ready, []
            for fetch in ready:
                self._answer(fetch, self._collect(fetch))

    def stop(self) -> None:
        """Forget all that wait; their connections are dropped."""
        self._is_stopped = True
        self._waits.close()
        self._ready.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self) -> None:
        deadline = self._waits.next_deadline
        if deadline is None or (self._timer is not None and self._timer_at <= deadline):
            return
        if self._timer is not None:
            self._timer.cancel()
        delay = max(0.0, deadline - self._clock.monotonic())
        self._timer, self._timer_at = asyncio.get_running_loop().call_later(delay, self._expire), deadline

    def _expire(self) -> None:
        self._timer = None
        self._ready += self._waits.expire(self._clock.monotonic())
        self.answer_ready()
        self._set_timer()

    def _answer(self, fetch: Fetch, found: _Collected) -> None:
        if found.reading is not None:
            found.reading.add_done_callback(lambda reading: self._read_back(fetch, reading))
            return
        topic_type = fetch.types.FetchableTopicResponse
        key = "topic_id" if "topic_id" in known_fields(topic_type) else "topic"
        values = {
            "throttle_time": NO_THROTTLE,
            "error_code": ErrorCode.none,
            "session_id": 0,
            "responses": tuple(
                topic_type(**{key: getattr(topic, key), "partitions": tuple(partitions)})
                for topic, partitions in found.topics.values()
            ),
        }
        fetch.call.answer(make(fetch.types.FetchResponse, values), has_plan=found.has_plan)

    def _read_back(self, fetch: Fetch, reading: "asyncio.Task[None]") -> None:
        if self._is_stopped or reading.cancelled():
            return
        fetch.is_unreadable = reading.exception() is not None
        self._answer(fetch, self._collect(fetch))

    def _collect(self, fetch: Fetch) -> _Collected:
        found = _Collected()
        partition_type = fetch.types.PartitionData
        for topic, part, hosted in fetch.targets:
            answer = make(partition_type, self._partition(fetch, part, hosted, found))
            found.topics.setdefault(id(topic), (topic, []))[1].append(answer)
        return found

    def _partition(
        self, fetch: Fetch, part: Any, hosted: HostedPartition | None, found: _Collected
    ) -> dict[str, object]:
        if hosted is None or not hosted.is_serving:
            return self._error(found, part, ErrorCode.not_leader_or_follower)
        hosted.work.requests += 1
        start: FetchStart = hosted.core.fetch_start(
            part.fetch_offset,
            current_leader_epoch=getattr(part, "current_leader_epoch", NO_EPOCH),
            last_fetched_epoch=getattr(part, "last_fetched_epoch", NO_EPOCH),
            read_committed=fetch.read_committed,
        )
        if isinstance(start, OffsetRejected):
            return self._error(found, part, start.error_code, hosted)
        values: dict[str, object] = {
            "partition_index": part.partition,
            "error_code": ErrorCode.none,
            "high_watermark": hosted.core.high_watermark,
            "last_stable_offset": hosted.core.last_stable_offset,
            "log_start_offset": hosted.core.log_start_offset,
            "aborted_transactions": () if fetch.read_committed else None,
            "records": b"",
        }
        if isinstance(start, FetchDiverging):
            found.must_answer = True
            values["diverging_epoch"] = fetch.types.EpochEndOffset(epoch=start.epoch, end_offset=start.end_offset)
        elif start.offset < start.end_offset:
            self._read(fetch, part, hosted, start, found, values)
        return values

    def _read(
        self,
        fetch: Fetch,
        part: Any,
        hosted: HostedPartition,
        bounds: FetchBounds,
        found: _Collected,
        values: dict[str, object],
    ) -> None:
        tail = hosted.tail
        if not fetch.wants_records:
            if bounds.offset < tail.start_offset:
                found.must_answer = True
            else:
                lacking = fetch.min_bytes - found.size_bytes
                found.size_bytes += tail.available_bytes(bounds.offset, bounds.end_offset, lacking)
            return
        is_first = not found.size_bytes
        max_bytes = min(part.partition_max_bytes, fetch.max_bytes - found.size_bytes)
        if max_bytes <= 0 and not is_first:
            return
        if bounds.offset >= tail.start_offset and not self._is_in_file(hosted, bounds):
            parts, size, end_offset = tail.read(bounds.offset, bounds.end_offset, max_bytes, is_first)
            values["records"] = RecordsParts(parts)
            hosted.work.bytes_out += size
            self._metrics.tail_hits.add(1)
        elif bounds.offset >= hosted.core.flushed_end_offset:
            size, end_offset = self._read_unflushed(fetch, hosted, bounds, max_bytes, found, values)
        else:
            ahead = max_bytes + self._limits.plan_ahead_bytes
            rows = hosted.core.index.plan(bounds.offset, bounds.end_offset, ahead)[:_PLAN_RANGES_MAX]
            size = max(rows[0].size_bytes, min(max_bytes, sum(row.size_bytes for row in rows)))
            end_offset = rows[-1].last_offset + 1
            values["records"] = encode_read_plan(
                [
                    ObjectRange(
                        object_key(row),
                        row.position,
                        row.size_bytes,
                        row.first_offset,
                        row.last_offset,
                        row.leader_epoch if row.source == UPLOAD else -1,
                    )
                    for row in rows
                ]
            )
            values["preferred_read_replica"] = IS_PLAN
            found.has_plan = found.must_answer = True
            self._metrics.tail_misses.add(1)
        found.size_bytes += size
        if fetch.read_committed and size:
            values["aborted_transactions"] = tuple(
                fetch.types.AbortedTransaction(producer_id=aborted.producer_id, first_offset=aborted.first_offset)
                for aborted in hosted.core.aborted_transactions(bounds.offset, end_offset)
            )

    def _is_in_file(self, hosted: HostedPartition, bounds: FetchBounds) -> bool:
        """Whether a gateway can send what is asked for from a file, without reading it: a run from its start on."""
        core = hosted.core
        if not self._prefers_files or bounds.offset >= core.flushed_end_offset:
            return False
        row = core.index[core.index.row_of(bounds.offset)]
        return row.first_offset == bounds.offset and row.size_bytes >= FILE_BYTES_MIN

    def _read_unflushed(
        self,
        fetch: Fetch,
        hosted: HostedPartition,
        bounds: FetchBounds,
        max_bytes: int,
        found: _Collected,
        values: dict[str, object],
    ) -> tuple[int, int]:
        """Bytes, and the offset after them."""
        found.must_answer = True
        self._metrics.tail_misses.add(1)
        if fetch.is_unreadable:
            values["error_code"] = ErrorCode.kafka_storage_error
            self._metrics.error(_KEY, ErrorCode.kafka_storage_error.name)
            return 0, bounds.offset
        # Once there is something to give nothing more is read back for it: that comes first in one of the client's next fetches.
        is_first = not found.size_bytes and found.reading is None
        unflushed = self._unflushed.find(
            hosted.partition, bounds.offset, bounds.end_offset, max_bytes, is_first=is_first
        )
        if not isinstance(unflushed, Found):
            found.reading = unflushed
            return 0, bounds.offset
        values["records"] = RecordsParts([unflushed.records])
        return len(unflushed.records), unflushed.end_offset

    def _error(
        self, found: _Collected, part: Any, code: ErrorCode, hosted: HostedPartition | None = None
    ) -> dict[str, object]:
        found.must_answer = True
        self._metrics.error(_KEY, code.name)
        return {
            "partition_index": part.partition,
            "error_code": code,
            "high_watermark": -1 if hosted is None else hosted.core.high_watermark,
            "last_stable_offset": -1 if hosted is None else hosted.core.last_stable_offset,
            "log_start_offset": -1 if hosted is None else hosted.core.log_start_offset,
            "aborted_transactions": None,
            "records": b"",
        }
