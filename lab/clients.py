"""The clients of a run: producers, a consumer of everything, and a group that commits. Each has a thread; all are
confluent-kafka."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from lab.history.history import UNKNOWN_OFFSET, Part
from lab.history.journal import Journal
from lab.shapes import Arrival

_FLUSH_S = 180.0
_JOIN_S = 240.0
_COMMIT_EVERY_S = 0.5
_QUEUED_MAX = 1_000_000
_LOOK_EVERY_S = 0.1
_IMPATIENT = {
    "log_level": 0,
    "reconnect.backoff.max.ms": 500,
    "retry.backoff.max.ms": 200,
    "socket.timeout.ms": 10_000,
    "socket.connection.setup.timeout.ms": 5_000,
}
"""So that what is measured is the server's return, and not the client's patience."""


class Client(ABC):
    """Enter it to start its thread; leaving it stops the thread and waits for its end. An exception in it is an oddity."""

    def __init__(self, name: str, bootstrap: str, journal: Journal) -> None:
        self.name = name
        self.journal = journal
        self.settings: dict[str, Any] = {"bootstrap.servers": bootstrap, "client.id": name, **_IMPATIENT}
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self._guarded, name=name, daemon=True)

    @abstractmethod
    def run(self) -> None:
        """Until ``stopping``, and then to an orderly end."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._thread.join(_JOIN_S)
        if self._thread.is_alive():
            self.journal.oddity(f"{self.name} does not end")

    def _guarded(self) -> None:
        try:
            self.run()
        except Exception as error:  # noqa: BLE001  (told in the verdict)
            self.journal.oddity(f"{self.name} failed: {error!r}")


class NumberedProducer(Client):
    """Sends numbered records when they are due, whatever the server does (an open loop): those that come due while it is away are
    sent at once when the client's queue has room.

    An idempotent one tries for ever, and whatever it is told but success is an oddity. A plain one tries once, as a second try
    could write a record twice; its failures mean that nobody knows.
    """

    def __init__(
        self,
        name: str,
        bootstrap: str,
        journal: Journal,
        *,
        partitions: Sequence[Part],
        arrivals: Iterable[Arrival],
        is_idempotent: bool,
        linger_ms: float = 1,
    ) -> None:
        """``arrivals`` says when, to which of the ``partitions``, and how many bytes at least; it may be endless."""
        super().__init__(name, bootstrap, journal)
        self._partitions = partitions
        self._arrivals = arrivals
        self._is_idempotent = is_idempotent
        self.settings |= {
            "request.timeout.ms": 5_000,
            "linger.ms": linger_ms,
            "queue.buffering.max.messages": _QUEUED_MAX,
            "error_cb": self._error,
            "acks": "all",
        }
        if is_idempotent:
            self.settings |= {"enable.idempotence": True, "message.timeout.ms": 0}
        else:
            self.settings |= {"enable.idempotence": False, "retries": 0, "message.timeout.ms": 60_000}

    def run(self) -> None:
        producer = Producer(self.settings)
        began = self.journal.now()
        for number, arrival in enumerate(self._arrivals):
            due = began + arrival.at_s
            while not self.stopping.is_set() and (early := due - self.journal.now()) > 0:
                producer.poll(min(early, _LOOK_EVERY_S))
            if self.stopping.is_set():
                break
            self._send(producer, self._partitions[arrival.place], number, due, arrival.size_bytes)
            producer.poll(0)
        if left := producer.flush(_FLUSH_S):
            self.journal.oddity(f"{self.name}: {left} records were not answered for in {_FLUSH_S:.0f} s of good health")

    def _send(self, producer: Producer, partition: Part, number: int, due: float, size_bytes: int) -> None:
        value = f"{self.name}-{number}"
        self.journal.write(
            "send",
            producer=self.name,
            number=number,
            topic=partition.topic,
            part=partition.index,
            value=value,
            idempotent=self._is_idempotent,
            due=round(due, 4),
            size=max(size_bytes, len(value) + 1),
        )
        body = f"{value} ".encode().ljust(size_bytes, b".")

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None:
                # None: an earlier answer was lost, and all that is known is that the record is there.
                offset = message.offset()
                at = UNKNOWN_OFFSET if offset is None else offset
                self.journal.acknowledge(self.name, number, partition, at, due)
                return
            self.journal.write("fail", producer=self.name, number=number, error=error.name())
            if self._is_idempotent:
                self.journal.oddity(f"{self.name}: record {number} of an idempotent producer failed: {error}")

        while True:
            try:
                producer.produce(partition.topic, body, partition=partition.index, on_delivery=delivered)
                return
            except BufferError:  # the queue is full while nobody acknowledges
                producer.poll(0.1)

    def _error(self, error: KafkaError) -> None:
        if error.fatal():
            self.journal.oddity(f"{self.name}: fatal error: {error}")


class Reader(Client):
    """One session that reads every partition from its start, and is told of no error that would make it skip."""

    def __init__(self, name: str, bootstrap: str, journal: Journal, *, partitions: Sequence[Part]) -> None:
        super().__init__(name, bootstrap, journal)
        self._positions = dict.fromkeys(partitions, 0)
        self.settings |= {"group.id": name, "enable.auto.commit": False, "auto.offset.reset": "error"}

    def run(self) -> None:
        consumer = Consumer(self.settings)
        try:
            consumer.assign([TopicPartition(topic, index, 0) for topic, index in self._positions])
            while not self.stopping.is_set():
                self._note(consumer.consume(500, timeout=0.1))
        finally:
            consumer.close()

    def _note(self, messages: Sequence[Message]) -> None:
        found: dict[Part, list[tuple[int, str, int]]] = {}
        for message in messages:
            if error := message.error():
                _note_error(self.name, error, self.journal)
            else:
                found.setdefault(part_of(message), []).append(found_of(message))
        for partition, records in found.items():
            self.journal.poll(self.name, "", partition, self._positions[partition], records)
            self._positions[partition] = records[-1][0] + 1


class Member(Client):
    """Of a group that consumes whole topics, and commits what it has got twice a second.

    Each assignment of a partition is a session of its own. Where it begins shows which offset the group had committed, so that is
    noted as a read of it; asked for no earlier than when the assignment came.
    """

    def __init__(self, name: str, bootstrap: str, journal: Journal, *, group: str, topics: Sequence[str]) -> None:
        super().__init__(name, bootstrap, journal)
        self._group = group
        self._topics = list(topics)
        self._assignments = 0
        self._assigned_at: dict[Part, float] = {}
        self._positions: dict[Part, int] = {}
        self._uncommitted: dict[Part, int] = {}
        self._commits = 0
        self.settings |= {
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 10_000,
            "heartbeat.interval.ms": 1_000,
        }

    def run(self) -> None:
        consumer = Consumer(self.settings)
        try:
            consumer.subscribe(self._topics, on_assign=self._assign, on_revoke=self._revoke, on_lost=self._lose)
            commit_at = self.journal.now()
            while not self.stopping.is_set():
                # One by one: a batch could hold records of partitions that were taken away while it was gathered.
                message = consumer.poll(0.1)
                if message is not None:
                    self._note(message)
                if self.journal.now() >= commit_at:
                    self._commit(consumer)
                    commit_at = self.journal.now() + _COMMIT_EVERY_S
        finally:
            consumer.close()

    def _assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._assignments += 1
        self._positions.clear()
        self._uncommitted.clear()
        self._assigned_at = {Part(one.topic, one.partition): self.journal.now() for one in partitions}

    def _revoke(self, consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        self._commit(consumer)
        self._lose(consumer, _partitions)

    def _lose(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        self._assigned_at.clear()
        self._positions.clear()
        self._uncommitted.clear()

    def _note(self, message: Message) -> None:
        if error := message.error():
            _note_error(self.name, error, self.journal)
            return
        partition, record = part_of(message), found_of(message)
        if partition not in self._positions:
            self.journal.write(
                "committed",
                group=self._group,
                topic=partition.topic,
                part=partition.index,
                offset=record[0] or -1,  # nobody commits 0, so 0 is where a group without an offset begins
                asked=self._assigned_at[partition],
                answered=self.journal.now(),
            )
            self._positions[partition] = record[0]
        session = f"{self.name}.{self._assignments}"
        self.journal.poll(session, self._group, partition, self._positions[partition], [record])
        self._positions[partition] = self._uncommitted[partition] = record[0] + 1

    def _commit(self, consumer: Consumer) -> None:
        """Synchronous; without an answer nobody knows."""
        if not self._uncommitted:
            return
        offsets, self._uncommitted = self._uncommitted, {}
        self._commits += 1
        number = f"{self.name}-{self._commits}"
        for partition, offset in offsets.items():
            self.journal.write(
                "commit",
                number=number,
                group=self._group,
                topic=partition.topic,
                part=partition.index,
                offset=offset,
            )
        wanted = [TopicPartition(partition.topic, partition.index, offset) for partition, offset in offsets.items()]
        try:
            answers = consumer.commit(offsets=wanted, asynchronous=False)
        except KafkaException:
            return
        for answer in answers:
            if answer.error is None:
                self.journal.write("commit-ack", number=number, topic=answer.topic, part=answer.partition)


def part_of(message: Message) -> Part:
    """Of a record that was consumed."""
    topic, index = message.topic(), message.partition()
    assert topic is not None
    assert index is not None
    return Part(topic, index)


def found_of(message: Message) -> tuple[int, str, int]:
    """Of a record that was consumed: offset, value without its filling, leader epoch."""
    offset, body, epoch = message.offset(), message.value(), message.leader_epoch()
    assert offset is not None
    assert body is not None
    return offset, body.partition(b" ")[0].decode(), -1 if epoch is None else epoch


def _note_error(name: str, error: KafkaError, journal: Journal) -> None:
    """Only what would move a consumer, or end it, is odd; brokers that are away for a while are what the run is about."""
    if error.fatal() or error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
        journal.oddity(f"{name} was told: {error}")
