"""What gateways, leaders and the command line ask of the controller: plain values in, plain values out, and one port.

Every call may be repeated: a repetition has the effect of one call or is answered with Kafka's error for it. Error codes are
Kafka's numbers (0 is none), so that a gateway passes them on without a table of its own.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, NamedTuple, Protocol

from raylog.model.changes import Changes
from raylog.model.ids import BrokerId, LeaderId, LogEpoch, TopicId, TopicPartition
from raylog.model.load import LoadReport
from raylog.model.routing import BrokerEndpoint, LeaderEndpoint, RoutingTable

BALANCE_RESOURCE: Final = 100
"""The resource type, beside Kafka's own, as whose setting DescribeConfigs shows what ``ControllerClient.balance`` answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTopic:
    name: str
    partitions: int = -1
    """-1: the broker's default."""
    replication_factor: int = -1
    """Accepted as any number from -1 to 32767 but 0, as durability is the bucket's; shown back as 1."""
    assignments: dict[int, tuple[int, ...]] = field(default_factory=dict)
    configs: dict[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicResult:
    name: str
    topic_id: TopicId | None = None
    error_code: int = 0
    error_message: str | None = None
    partitions: int = -1
    configs: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSelector:
    """A topic by name or by id; exactly one is set."""

    name: str | None = None
    topic_id: TopicId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigChange:
    """IncrementalAlterConfigs (KIP-339): op is 0 set, 1 delete, 2 append, 3 subtract."""

    key: str
    op: int
    value: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigAlteration:
    resource_type: int
    """2 topic, 4 broker (name "" is cluster-wide)."""
    name: str
    changes: tuple[ConfigChange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigResult:
    resource_type: int
    name: str
    error_code: int = 0
    error_message: str | None = None


class TakenFrom(NamedTuple):
    """Where a partition that was led before goes on from: another leader, or an earlier adoption of the same one, released it.

    A tuple, as are reports: a thousand partitions that move at once wait for the copying of each.
    """

    leader_id: LeaderId
    handover: int
    """The number of that leader's handover that has the partition."""
    leader_epoch: int
    """The highest that anybody can have seen of the partition."""
    epoch_base: int
    """Of the adoption that has ended."""
    changes: Changes | None = None
    """After the handover was written; None: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One partition that a leader must lead."""

    partition: TopicPartition
    topic_name: str
    configs: dict[str, str]
    """The topic's own settings (overrides only)."""
    adopted: bool = False
    """The leader has reported its adoption: its log must know the partition, and may not begin it anew."""
    taken_from: TakenFrom | None = None
    """Of a partition that is not adopted: how it goes on; None: it is new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderAssignments:
    """All that a leader must lead, at a version of the metadata. What it leads besides is to be released."""

    version: int
    partitions: tuple[Assignment, ...]
    handing_over: tuple[TopicPartition, ...] = ()
    """Adopted by it, and to be released for another leader, who waits: not among ``partitions``."""
    broker_configs: dict[str, str] = field(default_factory=dict)

    def __reduce__(self) -> tuple[Any, ...]:
        """By topic, as a leader may have thousands of partitions: a tenth of the time and of the bytes."""
        topics = [
            (*head, bytes(part.adopted for part in parts), array("i", [part.partition.partition for part in parts]))
            for head, parts in _runs_by_topic(self.partitions)
        ]
        taken = [(index, part.taken_from) for index, part in enumerate(self.partitions) if part.taken_from is not None]
        return _assignments_from, (self.version, topics, taken, self.handing_over, self.broker_configs)


_TopicHead = tuple[TopicId, str, dict[str, str]]


def _runs_by_topic(partitions: Sequence[Assignment]) -> Iterator[tuple[_TopicHead, list[Assignment]]]:
    """Neighbours of one topic with the same settings, in order."""
    run: list[Assignment] = []
    for part in partitions:
        if run and (part.partition.topic_id != run[0].partition.topic_id or part.configs != run[0].configs):
            yield _head(run[0]), run
            run = []
        run.append(part)
    if run:
        yield _head(run[0]), run


def _head(part: Assignment) -> _TopicHead:
    return part.partition.topic_id, part.topic_name, part.configs


def _assignments_from(
    version: int,
    topics: Sequence[tuple[TopicId, str, dict[str, str], bytes, Sequence[int]]],
    taken: Sequence[tuple[int, TakenFrom]],
    handing_over: tuple[TopicPartition, ...],
    broker_configs: dict[str, str],
) -> LeaderAssignments:
    sources, index = dict(taken), count()
    partitions = [
        Assignment(
            partition=TopicPartition(topic_id, number),
            topic_name=name,
            configs=configs,
            adopted=bool(adopted),
            taken_from=sources.get(next(index)),
        )
        for topic_id, name, configs, flags, numbers in topics
        for adopted, number in zip(flags, numbers, strict=True)
    ]
    return LeaderAssignments(
        version=version, partitions=tuple(partitions), handing_over=handing_over, broker_configs=broker_configs
    )


class Adopted(NamedTuple):
    """A leader's report: the adoption is durable in its log, and the partition serves with this epoch base."""

    partition: TopicPartition
    epoch_base: int


class Released(NamedTuple):
    """A leader's report: the release is durable in its log, and what the next leader needs lies in the bucket."""

    partition: TopicPartition
    epoch_base: int
    """Of the adoption that has ended."""
    handover: int
    changes: Changes | None = None
    """After the handover was written; None: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoverOffer:
    """A handover that a leader has written of partitions that it still leads, for the one that is to lead these next."""

    leader_id: LeaderId
    handover: int
    partitions: tuple[TopicPartition, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A partition to be led by another leader: a named one, or any that fits on the node of a broker. With neither, the partition
    stays where it is, and a move that is under way ends."""

    topic: str
    partition: int
    to_leader: LeaderId | None = None
    to_broker: BrokerId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveResult:
    """The move is durably wanted; it is done when the routing table shows the partition with its new leader."""

    topic: str
    partition: int
    error_code: int = 0
    error_message: str | None = None


class ControllerClient(Protocol):
    """The controller as its callers see it: by Ray calls in a cluster, directly in tests and simulation.

    A call waits while the controller restarts; ``RetryError`` says that it is still away after the caller's patience.
    """

    async def watch_routes(self, version: int) -> RoutingTable:
        """The routing table, as soon as its version is above ``version`` (a long poll; may return the same after a while).

        ``version`` is that of the asker's table: topics that are the same there are only named (``RoutingTable.over``).
        """
        ...

    async def register_leader(self, endpoint: LeaderEndpoint) -> LeaderAssignments:
        """A leader is open and listening. Raises FencedError when a higher log epoch is registered already."""
        ...

    async def watch_assignments(
        self, leader_id: LeaderId, log_epoch: LogEpoch, version: int, load: LoadReport | None = None
    ) -> LeaderAssignments | None:
        """The leader's assignments, as soon as their version is above ``version``; None when it was not for a while.

        ``load`` is what it has measured since its last poll, if there is something new.
        """
        ...

    async def wake_leader(self, leader_id: LeaderId) -> None:
        """A gateway has a request for a leader that takes no connections: it is to be started if it rests. It need not have been
        when this returns, and nothing is said of a leader that does not rest."""
        ...

    async def report_gateway(self, node_id: str, index: int, cpu: float) -> None:
        """A gateway, the so-manieth of its node, takes so much of a processor: CPU seconds per second, smoothed."""
        ...

    async def report_adopted(self, leader_id: LeaderId, log_epoch: LogEpoch, adopted: Sequence[Adopted]) -> None: ...

    async def report_released(self, leader_id: LeaderId, log_epoch: LogEpoch, released: Sequence[Released]) -> None:
        """Returns once the partitions are durably their next leaders', who may adopt them."""
        ...

    async def offer_handover(
        self, leader_id: LeaderId, log_epoch: LogEpoch, handover: int, partitions: Sequence[TopicPartition]
    ) -> None:
        """A leader has written a handover of partitions that it still leads. Returns once those have read it who are to lead them
        next, or have had time enough for it: from then on their move is short."""
        ...

    async def watch_offers(
        self, leader_id: LeaderId, log_epoch: LogEpoch, read: Sequence[HandoverOffer]
    ) -> tuple[HandoverOffer, ...]:
        """What a leader is to read beforehand, as soon as there is something; none when there was nothing for a while.

        ``read``: what it has read of what it was told before, or could not.
        """
        ...

    async def deleted_of(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        """Those of them whose topics are durably deleted. A leader asks before it lets go of what it is no longer assigned."""
        ...

    async def move_partitions(self, moves: Sequence[Move]) -> list[MoveResult]:
        """Have partitions led elsewhere, or no longer so; all in one step, however many."""
        ...

    async def balance(self, explain: tuple[str, int] | None = None) -> dict[str, object]:
        """What ``raylog balance`` shows, JSON-able: leaders' loads, what would move now and why, and why not more.

        ``explain``: a partition, by topic and number, of which it says why it is where it is.
        """
        ...

    async def balance_now(self) -> dict[str, list[int]]:
        """Order what would move now; returns the partitions, by topic, when that is durable. They have not arrived yet."""
        ...

    async def register_broker(self, node_id: str, host: str, port: int, rack: str | None) -> BrokerEndpoint:
        """A node's gateway pool is listening; the same node always gets the same broker id."""
        ...

    async def create_topics(
        self, topics: Sequence[NewTopic], *, validate_only: bool = False, timeout_ms: int = 30_000
    ) -> list[TopicResult]:
        """Returns once all partitions are adopted; REQUEST_TIMED_OUT for a topic whose are not after ``timeout_ms``."""
        ...

    async def delete_topics(
        self, topics: Sequence[TopicSelector], *, timeout_ms: int = 30_000
    ) -> list[TopicResult]: ...

    async def create_partitions(
        self, counts: dict[str, int], *, validate_only: bool = False, timeout_ms: int = 30_000
    ) -> list[TopicResult]:
        """Raise topics' partition counts to these totals."""
        ...

    async def alter_configs(
        self, alterations: Sequence[ConfigAlteration], *, validate_only: bool = False
    ) -> list[ConfigResult]: ...

    async def allocate_producer_ids(self, count: int) -> int:
        """The first of ``count`` producer ids that nobody else gets, ever."""
        ...

    async def status(self) -> dict[str, object]:
        """What ``raylog status`` shows: JSON-able."""
        ...
