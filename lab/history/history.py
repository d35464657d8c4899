"""What clients asked and what they were told, as the checker reads it."""

from dataclasses import dataclass, field
from typing import NamedTuple

UNKNOWN_OFFSET = -1


class Part(NamedTuple):
    """A partition by its topic's name."""

    topic: str
    index: int  # type: ignore[assignment]  # hides a tuple's method, which nobody needs here

    def __str__(self) -> str:
        return f"{self.topic}-{self.index}"


class Found(NamedTuple):
    """A record as a consumer got it."""

    offset: int
    value: str
    leader_epoch: int


@dataclass(slots=True, kw_only=True)
class Batch:
    """Values that a producer sent, in this order and for one partition."""

    producer: str
    part: Part
    values: tuple[str, ...]
    number: int
    """In the producer's order for this partition."""
    is_idempotent: bool
    is_acknowledged: bool = False
    base_offset: int = UNKNOWN_OFFSET
    sent_at_ms: int = 0
    """For the first time, by the clients' clock: its records' timestamps are no earlier."""
    size_bytes: int = 0


@dataclass(slots=True, kw_only=True)
class Poll:
    """What one fetch gave a consumer. Polls of a session follow one another."""

    session: str
    part: Part
    position: int
    found: list[Found]
    group: str = ""
    """Of the member that polled."""


@dataclass(slots=True, kw_only=True)
class Commit:
    group: str
    part: Part
    offset: int
    acknowledged_at: float | None = None


@dataclass(slots=True, kw_only=True)
class CommittedRead:
    group: str
    part: Part
    offset: int
    """-1: none."""
    asked_at: float
    answered_at: float = 0.0


@dataclass(slots=True, kw_only=True)
class Deletion:
    """Records below an offset, asked to be deleted."""

    part: Part
    before_offset: int
    is_acknowledged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What a topic keeps, by its settings: by time or by size, -1 where it does not say."""

    ms: int = -1
    bytes: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenStart:
    """The log start offset that somebody was told of."""

    part: Part
    offset: int
    at_ms: int
    """By the clients' clock, when the answer came."""


@dataclass(slots=True)
class History:
    batches: list[Batch] = field(default_factory=list)
    polls: list[Poll] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    committed: list[CommittedRead] = field(default_factory=list)
    deletions: list[Deletion] = field(default_factory=list)
    retention: dict[str, Retention] = field(default_factory=dict)
    """By topic; those that are not named keep everything."""
    seen_starts: list[SeenStart] = field(default_factory=list)
    deleted: set[Part] = field(default_factory=set)
    """Partitions whose topics somebody asked to be deleted. Only ever looked up, never gone through."""
    starts: dict[Part, int] = field(default_factory=dict)
    """Each partition's first offset in the end; 0 where nothing is said."""
    logs: dict[Part, list[Found]] = field(default_factory=dict)
    """Each partition from its start to its end, read when everything was healthy again."""
    producer_ids: list[int] = field(default_factory=list)
    """Each as it was given out."""
    oddities: list[str] = field(default_factory=list)
    """Answers that no client should ever get."""
