"""What the planner is given: leaders, partitions and goals, as plain values. It knows neither the metadata log nor Ray.

A *load* is in weighted bytes a second (``raylog.model.load.weight``): what a leader's one event loop has to do, whatever it is
made of. A leader's *use* is its load over its capacity.
"""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from raylog.model.ids import LeaderId


class PartitionName(NamedTuple):
    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.number}"


class Standing(Enum):
    """What a leader is good for."""

    OPEN = "open"
    """It may be given partitions, and asked for those that it has."""
    DRAINING = "draining"
    """It is to be emptied, and gets nothing."""
    SURPLUS = "surplus"
    """Its node has more leaders than it is to have: the same."""
    AWAY = "away"
    """It does not answer: it gets nothing, and what it has cannot be released."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderView:
    leader_id: LeaderId
    node: str = ""
    zone: str = ""
    wal_classes: frozenset[str]
    """Those that it can serve: what its node mounts."""
    capacity: float
    """The load that it can take, with its node's slowness taken off."""
    dedicated: bool = False
    """It leads one partition, of a topic that wants its leaders for itself, and no other."""
    standing: Standing = Standing.OPEN
    is_measured: bool = True
    """Whether the loads of its partitions are known; a leader that has just come up has no report yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionView:
    name: PartitionName
    leader_id: LeaderId
    """Who leads it; of one that is on its way, who is to lead it."""
    wal_class: str
    load: float = 0.0
    dedicated: bool = False
    """It wants a leader for itself."""
    pinned: bool = False
    """It stays where it is unless it must leave."""
    is_settled: bool = True
    """False while it is on its way, or has not been taken over yet: it cannot be asked to move."""
    rests_s: float = 0.0
    """It has moved a short while ago, and is left alone for so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    leaders: tuple[LeaderView, ...]
    partitions: tuple[PartitionView, ...]
    moving: int = 0
    """Moves under way: they count against the bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goals:
    """What a balanced cluster is, and when it is worth a move."""

    band: float = 0.2
    """Leaders whose use is within this share of their pool's mean are left alone; others are brought within half of it."""
    load_min: float = 256 * 1024
    """A load that is not worth a move: of a partition, or of what a leader has too much."""
    counts_min: int = 10
    """So many partitions more or less than the mean are not worth a move either."""
    moves_max: int = 50
    """Moves under way at once."""
