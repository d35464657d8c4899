"""What a coordinator wants done, and the ``Turn`` in which the handling of one event collects it.

Rules:

- Effects are run in order. Appends of a coordinator reach the log in the order of their ``ref``, each as one batch.
- An answer leaves only when every append of its group is durable that was made before it: the coordinator keeps it back
  until ``Appended`` comes in (``coordinator.py``). So the shell can send each ``Reply`` at once.
- A timer is known by its key; setting it again replaces it.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from raylog.coordination.messages import Answer, Token
from raylog.coordination.settings import GroupSettings


class KeyValue(NamedTuple):
    """A record of ``__consumer_offsets``; a tombstone has no value."""

    key: bytes
    value: bytes | None


class TimerKind(Enum):
    SESSION = "session"
    """A member, or one that has been given an id, has not been heard of for its session time-out."""
    JOIN = "join"
    """The time to join is over, or the next part of a new group's initial delay."""
    SYNC = "sync"
    """The time to ask for the assignment is over."""


class TimerKey(NamedTuple):
    kind: TimerKind
    group_id: str
    member_id: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    token: Token
    answer: Answer


@dataclass(frozen=True, slots=True)
class SetTimer:
    key: TimerKey
    delay_ms: int


@dataclass(frozen=True, slots=True)
class CancelTimer:
    key: TimerKey


@dataclass(frozen=True, slots=True)
class Append:
    """Append the records as one batch, then say ``Appended``."""

    ref: int
    records: tuple[KeyValue, ...]


@dataclass(frozen=True, slots=True)
class TrimLog:
    """All live state has been written again from ``before_offset`` on: what lies before it may go."""

    before_offset: int


Effect = Reply | SetTimer | CancelTimer | Append | TrimLog


@dataclass(slots=True)
class Turn:
    """The handling of one event of one group."""

    now_ms: int
    """Wall time: for commit timestamps and retention, never for time-outs."""
    settings: GroupSettings
    replies: list[Reply] = field(default_factory=list)
    timers: list[SetTimer | CancelTimer] = field(default_factory=list)
    records: list[KeyValue] = field(default_factory=list)

    def reply(self, token: Token, answer: Answer) -> None:
        self.replies.append(Reply(token, answer))

    def append(self, key: bytes, value: bytes | None) -> None:
        self.records.append(KeyValue(key, value))

    def set_timer(self, key: TimerKey, delay_ms: int) -> None:
        self.timers.append(SetTimer(key, delay_ms))

    def cancel_timer(self, key: TimerKey) -> None:
        self.timers.append(CancelTimer(key))
