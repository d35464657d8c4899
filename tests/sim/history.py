"""What clients asked and what they were told, as the checker reads it."""

from dataclasses import dataclass, field

from tests.sim.kafka import Found, Part

UNKNOWN_OFFSET = -1


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


@dataclass(slots=True, kw_only=True)
class Poll:
    """What one fetch gave a consumer. Polls of a session follow one another."""

    session: str
    part: Part
    position: int
    found: list[Found]


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


@dataclass(slots=True, kw_only=True)
class Deletion:
    """Records below an offset, asked to be deleted."""

    part: Part
    before_offset: int
    is_acknowledged: bool = False


@dataclass(slots=True)
class History:
    batches: list[Batch] = field(default_factory=list)
    polls: list[Poll] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    committed: list[CommittedRead] = field(default_factory=list)
    deletions: list[Deletion] = field(default_factory=list)
    starts: dict[Part, int] = field(default_factory=dict)
    """Each partition's first offset in the end; 0 where nothing is said."""
    logs: dict[Part, list[Found]] = field(default_factory=dict)
    """Each partition from its start to its end, read when everything was healthy again."""
    producer_ids: list[int] = field(default_factory=list)
    """Each as it was given out."""
    oddities: list[str] = field(default_factory=list)
    """Answers that no client should ever get."""
