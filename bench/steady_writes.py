"""A producer that sends all the time, for benchmarks that look at when its records are acknowledged."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaError, Message, Producer

_FLUSH_S_MAX = 120.0
_UNDER_WAY_MAX = 5
"""As many requests as librdkafka's idempotent producer has under way. With one more record it would not rest until an answer
comes, and so take a whole core from those who are to give it."""


@dataclass(kw_only=True)
class SteadyWrites:
    """While entered, an idempotent producer sends a record to each of the partitions, and again ``every_s`` later.

    A partition that has not acknowledged its share of five records is passed over. A subclass says what becomes of an
    acknowledgement or an error; ``heard`` is notified after each.
    """

    bootstrap: str
    topic: str
    partitions: Sequence[int]
    every_s: float
    heard: threading.Condition = field(default_factory=threading.Condition)
    """Held while ``acknowledged`` and ``failed`` run."""
    _stopping: threading.Event = field(default_factory=threading.Event)
    _under_way: Counter[int] = field(default_factory=Counter)
    """Records of each partition. Used in the producer's thread alone."""

    def acknowledged(self, partition: int, sent_at: float) -> None:
        """A record of the partition was; ``sent_at`` by the monotonic clock."""
        raise TypeError(f"{type(self).__name__} must implement acknowledged")

    def failed(self, error: KafkaError) -> None:
        raise TypeError(f"{type(self).__name__} must implement failed")

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        producer = Producer(
            {"bootstrap.servers": self.bootstrap, "log_level": 0, "linger.ms": 0, "enable.idempotence": True}
        )
        under_way_max = max(1, _UNDER_WAY_MAX // len(self.partitions))
        next_s = time.monotonic()
        while not self._stopping.is_set():
            for partition in self.partitions:
                if self._under_way[partition] == under_way_max:
                    continue
                self._under_way[partition] += 1
                report = self._report(time.monotonic())
                producer.produce(self.topic, b"x" * 100, partition=partition, on_delivery=report)
            next_s = max(next_s + self.every_s, time.monotonic())
            while (left_s := next_s - time.monotonic()) > 0:
                producer.poll(left_s)  # until the first acknowledgement
        producer.flush(_FLUSH_S_MAX)

    def _report(self, sent_at: float) -> Callable[[KafkaError | None, Message], None]:
        def report(error: KafkaError | None, message: Message) -> None:
            self._under_way[message.partition()] -= 1
            with self.heard:
                if error is not None:
                    self.failed(error)
                else:
                    self.acknowledged(message.partition(), sent_at)
                self.heard.notify_all()

        return report
