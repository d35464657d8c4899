"""A driver for a group coordinator: virtual time, a log in memory, answers by token; every step validates the coordinator."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from raylog.coordination import messages
from raylog.coordination.coordinator import Appended, Event, ExpireOffsets, GroupCoordinator, TimerFired
from raylog.coordination.effects import Append, CancelTimer, Effect, KeyValue, Reply, SetTimer, TimerKey, TrimLog
from raylog.coordination.settings import GroupSettings

GROUP = "readers"
TOPICS = ("orders",)


def subscription(*topics: str, version: int = 1) -> bytes:
    """A member's metadata as consumers send it (ConsumerProtocolSubscription)."""
    data = version.to_bytes(2, "big") + len(topics).to_bytes(4, "big")
    for topic in topics:
        data += len(topic).to_bytes(2, "big") + topic.encode()
    return data + b"\xff\xff\xff\xff\x00\x00\x00\x00"


RANGE = (("range", subscription(*TOPICS)),)


@dataclass
class MemoryLog:
    """The partition's log: batches of records, each with its base offset; some of them not yet durable."""

    start_offset: int = 0
    end_offset: int = 0
    batches: list[tuple[int, tuple[KeyValue, ...]]] = field(default_factory=list)

    def append(self, records: tuple[KeyValue, ...]) -> int:
        base_offset = self.end_offset
        self.batches.append((base_offset, records))
        self.end_offset += len(records)
        return base_offset

    def records(self) -> Iterator[KeyValue]:
        for base_offset, records in self.batches:
            for at, record in enumerate(records):
                if base_offset + at >= self.start_offset:
                    yield record

    @property
    def size_bytes(self) -> int:
        return sum(len(key) + len(value or b"") for key, value in self.records())


class Driver:
    """Appends are durable at once unless ``holds_appends``; then ``settle`` makes them so, one by one."""

    def __init__(self, settings: GroupSettings, log: MemoryLog | None = None, now_ms: int = 1_000_000) -> None:
        self.settings = settings
        self.log = MemoryLog() if log is None else log
        self.now_ms = now_ms
        self.holds_appends = False
        self.answers: dict[int, Any] = {}
        self.timers: dict[TimerKey, int] = {}
        self.trims: list[int] = []
        self.under_way: deque[tuple[int, int]] = deque()
        self._tokens = 0
        self.core = GroupCoordinator(settings)
        for key, value in self.log.records():
            self.core.replay(key, value)
        self._run(self.core.loaded(now_ms))

    # Events

    def handle(self, event: Event) -> None:
        self._run(self.core.handle(event, self.now_ms))

    def ask(self, request_type: type[Any], **values: Any) -> int:
        """A request; its answer will be in ``answers``, or is fetched with ``answer``."""
        self._tokens += 1
        if request_type is not messages.ListGroups:
            values.setdefault("group_id", GROUP)
        self.handle(request_type(token=self._tokens, **values))
        return self._tokens

    def answer(self, token: int) -> Any:
        assert token in self.answers, "no answer yet"
        return self.answers[token]

    def call(self, request_type: type[Any], **values: Any) -> Any:
        """A request that is answered at once."""
        return self.answer(self.ask(request_type, **values))

    def advance(self, ms: int) -> None:
        """Let time pass; timers fire when they are due."""
        until = self.now_ms + ms
        while due := [(at, key) for key, at in self.timers.items() if at <= until]:
            at, key = min(due, key=lambda timer: timer[0])
            self.now_ms = max(at, self.now_ms)
            del self.timers[key]
            self.handle(TimerFired(key))
        self.now_ms = until

    def settle(self, count: int | None = None) -> None:
        """So many held appends, or all, are durable now."""
        while self.under_way and (count is None or count > 0):
            self.handle(Appended(*self.under_way.popleft()))
            count = None if count is None else count - 1

    def crash(self, settings: GroupSettings | None = None) -> "Driver":
        """The next coordinator of the partition: it has the durable part of the log, nothing else."""
        lost = {base_offset for _, base_offset in self.under_way}
        first_lost = min(lost, default=self.log.end_offset)
        kept = [batch for batch in self.log.batches if batch[0] < first_lost]
        log = MemoryLog(self.log.start_offset, first_lost, kept)
        return Driver(settings or self.settings, log, self.now_ms)

    def _run(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Reply(token, answer):
                    assert isinstance(token, int)
                    assert token not in self.answers, "answered twice"
                    self.answers[token] = answer
                case Append(ref, records):
                    self.under_way.append((ref, self.log.append(records)))
                case SetTimer(key, delay_ms):
                    self.timers[key] = self.now_ms + delay_ms
                case CancelTimer(key):
                    self.timers.pop(key, None)
                case TrimLog(before_offset):
                    self.trims.append(before_offset)
                    self.log.start_offset = before_offset
        self.core.validate()
        if not self.holds_appends:
            self.settle()

    # Shorthands

    def join(self, member_id: str = "", **values: Any) -> int:
        asked = {
            "member_id": member_id,
            "client_id": "client",
            "client_host": "/10.0.0.1",
            "session_timeout_ms": 10_000,
            "rebalance_timeout_ms": 60_000,
            "protocol_type": "consumer",
            "protocols": RANGE,
            "requires_member_id": True,
            "supports_skip_assignment": True,
            "new_member_uuid": f"uuid{self._tokens}",
        }
        return self.ask(messages.JoinGroup, **{**asked, **values})

    def new_member(self, **values: Any) -> tuple[str, int]:
        """A dynamic member that has joined with the id that it was told; its join may still wait."""
        told = self.answer(self.join(**values))
        assert told.error is ErrorCode.member_id_required
        return told.member_id, self.join(told.member_id, **values)

    def sync(self, member_id: str, generation: int, assignments: dict[str, bytes] | None = None, **values: Any) -> int:
        return self.ask(
            messages.SyncGroup,
            member_id=member_id,
            generation=generation,
            assignments=tuple((assignments or {}).items()),
            **values,
        )

    def heartbeat(self, member_id: str, generation: int, **values: Any) -> ErrorCode:
        return self.call(messages.Heartbeat, member_id=member_id, generation=generation, **values).error

    def leave(self, *members: str, **values: Any) -> tuple[ErrorCode, ...]:
        leaving = tuple(messages.LeavingMember(member_id=member) for member in members)
        return self.call(messages.LeaveGroup, members=leaving, **values).errors

    def commit(self, offset: int, *, topic: str = "orders", partition: int = 0, **values: Any) -> int:
        topic_id = values.pop("topic_id", None)
        metadata = values.pop("metadata", "")
        one = messages.OffsetToCommit(
            topic=topic, topic_id=topic_id, partition=partition, offset=offset, metadata=metadata
        )
        return self.ask(messages.CommitOffsets, offsets=(one,), **values)

    def commit_error(self, offset: int, **values: Any) -> ErrorCode:
        (error,) = self.answer(self.commit(offset, **values)).errors
        return error

    def committed(self, *, topic: str = "orders", partition: int = 0, topic_id: Any = None, **values: Any) -> int:
        wanted = messages.TopicPartitions(topic=topic, topic_id=topic_id, partitions=(partition,))
        result = self.call(messages.FetchOffsets, topics=(wanted,), **values)
        return result.topics[0].offsets[0].offset

    def describe(self, group_id: str = GROUP) -> Any:
        return self.call(messages.DescribeGroup, group_id=group_id)

    def state(self) -> str:
        return self.describe().state

    def expire(self, **values: Any) -> None:
        self.handle(ExpireOffsets(**values))

    def stable_group(self, size: int = 1, **values: Any) -> tuple[list[str], int]:
        """Members of a group that has come to rest, the leader first, each with its own number as assignment; and the
        generation."""
        joined = [self.new_member(**values) for _ in range(size)]
        self.advance(self.settings.initial_rebalance_delay_ms * (size + 1))
        answers = [self.answer(token) for _, token in joined]
        generation = answers[0].generation
        members = [member_id for member_id, _ in joined]
        members.sort(key=lambda member_id: member_id != answers[0].leader)
        assignments = {member_id: str(at).encode() for at, member_id in enumerate(members)}
        followers = [self.sync(member_id, generation) for member_id in members[1:]]
        tokens = [self.sync(members[0], generation, assignments), *followers]
        assert [self.answer(token).assignment for token in tokens] == list(assignments.values())
        return members, generation


@pytest.fixture
def make_driver() -> Callable[..., Driver]:
    """A coordinator with settings that differ from Kafka's as named."""

    def make(log: MemoryLog | None = None, **settings: int) -> Driver:
        return Driver(replace(GroupSettings(), **settings), log)

    return make


@pytest.fixture
def driver(make_driver: Callable[..., Driver]) -> Driver:
    return make_driver()


@pytest.fixture
def eager(make_driver: Callable[..., Driver]) -> Driver:
    """Without the delay of a new group's first rebalance."""
    return make_driver(initial_rebalance_delay_ms=0)


@pytest.fixture
def metadata_for() -> Callable[..., bytes]:
    return subscription
