"""What the clients of a run asked and were told, and what was done to the servers, as lines of JSON in the order of time.

The file is all that is judged (lab/history/verdict.py), so a run can be judged again, and looked at with any tool for text.
"""

import json
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from lab.history.history import Part
from raylog.model.clock import Clock


class Progress(NamedTuple):
    """Of one partition."""

    acknowledged: int = -1
    """The highest offset that a producer was told."""
    acknowledged_sent_at: float = 0.0
    """When the record of the newest acknowledgement had been sent."""
    read: int = -1
    """The highest offset that the consumer with no group has read."""
    read_by_group: int = -1


class Journal:
    """Written by every client's thread; ``progress`` is for those who wait."""

    def __init__(
        self, path: Path, clock: Clock, on_acknowledged: Callable[[float, float], None] = lambda _now, _latency: None
    ) -> None:
        """``on_acknowledged`` is told the time of each acknowledgement and its latency from when the record was due."""
        self.path = path
        self._clock = clock
        self._on_acknowledged = on_acknowledged
        self._lock = threading.Condition()
        self._began = clock.monotonic()
        self._file = path.open("w", encoding="utf-8", buffering=1 << 20)
        self._progress: defaultdict[Part, Progress] = defaultdict(Progress)
        self.acknowledged = 0
        self.read_by_groups = 0
        """Records, by all groups together."""
        self.odd: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self._file.close()

    def now(self) -> float:
        """Seconds since the run began."""
        return self._clock.monotonic() - self._began

    def write(self, event: str, /, **values: Any) -> None:
        with self._lock:
            if not self._file.closed:  # a client that would not end may still call
                line = {"t": round(self.now(), 4), "event": event, **values}
                self._file.write(json.dumps(line, separators=(",", ":")) + "\n")

    def oddity(self, sentence: str) -> None:
        """Something that no client, and no supervisor, should ever see."""
        self.write("odd", what=sentence)
        with self._lock:
            self.odd.append(sentence)

    def acknowledge(self, producer: str, number: int, partition: Part, offset: int, sent_at: float) -> None:
        """``sent_at``: when the record was due to be sent."""
        self.write("ack", producer=producer, number=number, offset=offset)
        now = self.now()
        with self._lock:
            self.acknowledged += 1
            self._on_acknowledged(now, now - sent_at)
            was = self._progress[partition]
            self._progress[partition] = was._replace(
                acknowledged=max(was.acknowledged, offset),
                acknowledged_sent_at=max(was.acknowledged_sent_at, sent_at),
            )
            self._lock.notify_all()

    def poll(self, session: str, group: str, partition: Part, position: int, found: list[tuple[int, str, int]]) -> None:
        """``found``: offset, value, leader epoch."""
        self.write(
            "poll",
            session=session,
            group=group,
            topic=partition.topic,
            part=partition.index,
            position=position,
            found=found,
        )
        with self._lock:
            was, last = self._progress[partition], found[-1][0]
            self.read_by_groups += len(found) if group else 0
            self._progress[partition] = (
                was._replace(read_by_group=max(was.read_by_group, last)) if group else was._replace(read=last)
            )
            self._lock.notify_all()

    def progress(self, partition: Part) -> Progress:
        with self._lock:
            return self._progress[partition]

    def wait_for_change(self, seconds: float) -> None:
        with self._lock:
            self._lock.wait(seconds)
