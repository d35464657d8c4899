"""Every budget of the system in one place, grouped by the part that keeps it (invariant 8).

Each queue, cache and buffer has a limit here, and at the limit the sender waits. A name says its unit: ``bytes``,
``ms``, ``s``; ``max`` is a ceiling, ``min`` a floor. An operator overrides by group and name: ``gateway.connections_max
= 500``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from raylog.model.errors import InvalidError

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayLimits:
    """What one gateway process holds at once."""

    request_bytes_max: int = 100 * MIB
    """A longer request closes its connection (Kafka's socket.request.max.bytes)."""
    connections_max: int = 10_000
    """One more is closed at once (Kafka's max.connections)."""
    connection_idle_s_max: float = 600.0
    """A connection without a request in flight for so long is closed (Kafka's connections.max.idle.ms)."""
    request_s_max: float = 60.0
    """A request that takes so long to arrive closes its connection."""
    connection_requests_max: int = 10_000
    """Requests in flight of one connection, above which it is not read."""
    connection_bytes_max: int = 64 * MIB
    """Bytes of requests in flight of one connection, above which it is not read."""
    total_bytes_max: int = 256 * MIB
    """Bytes of requests in flight of all connections, above which none that adds to them is read."""
    answer_bytes_max: int = 256 * KIB
    """Bytes of answers that a client has not taken, above which its requests are not read. One that takes its answers gets as
    much however many others do not."""
    fetch_bytes_max: int = 55 * MIB
    """A Fetch asks for no more, whatever the client says (Kafka's fetch.max.bytes)."""
    fetch_total_bytes_max: int = 256 * MIB
    """Bytes that answers being made have from the bucket, and that clients have not taken; above it fetches get
    ``answer_bytes_max`` each, or one batch."""
    leader_bytes_max: int = 128 * MIB
    """Bytes of requests unanswered by one leader, above which connections that add to them are not read."""
    leader_connect_s_max: float = 2.0
    """A leader that does not take a connection for so long is away: its requests get a retriable error."""
    leader_frame_bytes_max: int = 256 * MIB
    """A longer answer of a leader closes the connection to it."""
    plan_s_max: float = 1.0
    """A leader's read plan serves its consumer's next fetches for so long, without asking the leader. By so much their answers
    may be behind as to where a log begins and ends."""
    block_cache_bytes: int = 256 * MIB
    """Ranges of data objects kept for catch-up readers, and uploads for consumers in their zone."""
    metadata_cache_partitions: int = 100_000
    """Partitions as Metadata shows them, kept between requests; each version that clients speak counts anew."""
    close_s_max: float = 5.0
    """When closing, requests in flight have so long to be answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderLimits:
    """What one leader process holds at once, and how often it writes its state down."""

    frame_bytes_max: int = 128 * MIB
    """A longer request closes its (internal) connection."""
    unflushed_bytes_max: int = 192 * MIB
    """Bytes in memory that are in no durable slot yet. With an object WAL produce requests wait above it; with a file WAL what
    comes then stays in the WAL alone, until that is full, and is read back from there."""
    unflushed_rows_max: int = 400_000
    """Index rows and producers' rows of what is in no durable slot, of about 512 bytes each, above which a file WAL's produce
    requests wait, too."""
    read_back_bytes_max: int = 128 * MIB
    """Of that, what was read back for consumers is kept up to here, or one slot of it."""
    tail_cache_bytes: int = 256 * MIB
    """Recent batches kept for consumers."""
    answer_bytes_max: int = 16 * MIB
    """Answers that a connection's peer has not taken, above which its requests are not read."""
    fetch_bytes_max: int = 64 * MIB
    """A Fetch answer holds no more (first batch excepted)."""
    fetch_wait_ms_max: int = 60_000
    """A Fetch waits no longer for records, whatever the client says."""
    plan_ahead_bytes: int = 64 * MIB
    """A read plan goes so far beyond what a fetch asks of a partition, for the fetches that follow it."""
    plan_run_bytes_max: int = 1 * MIB
    """One index row covers contiguous batches of at most so many bytes (or one batch)."""
    fetch_waits_max: int = 100_000
    """Fetches that wait for records; one more is answered at once with what is there."""
    slots_in_flight_max: int = 8
    """Slots on their way to the bucket; the next waits, see ``unflushed_bytes_max``."""
    coordinator_bytes_max: int = 32 * MIB
    """What group coordinators may append where produce requests wait; above it theirs wait, too."""
    early_bytes_max: int = 32 * MIB
    """Produce requests that wait for partitions on their way here; one more is told that they are not led here."""
    early_s_max: float = 1.0
    """They wait no longer, from the first one for a partition on: the answers behind theirs wait as well."""
    sequence_grace_s: float = 30.0
    """A partition newly led here answers a gap in a producer's sequence with a retriable error for so long (see Produce)."""
    checkpoint_slots: int = 100
    """A checkpoint is written after so many slots."""
    checkpoint_rows: int = 150_000
    """A checkpoint is written after so many rows of slots, or 1/15 of the last one's rows: a successor replays them in 3 s."""
    checkpoint_bytes: int = 4096 * MIB
    """A checkpoint is written after so many bytes of slots."""
    checkpoint_s_max: float = 3600.0
    """A checkpoint is written so long after the last one if there was a slot since: an idle leader's expired data can go, too."""
    register_backoff_s_max: float = 5.0
    """Longest pause between two tries to reach the controller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLimits:
    """How one process uses the bucket. The defaults fit S3; a local folder stays far below them."""

    requests_max: int = 32
    """Requests of one process under way at once; more wait their turn by priority."""
    attempt_s_max: float = 10.0
    """One attempt of a request, besides the time that its bytes may take."""
    bytes_per_s_min: int = MIB
    """A transfer slower than this is given up and tried again."""
    patience_s: float = 60.0
    """A request that fails for so long is given up with RetryError."""
    backoff_s_initial: float = 0.05
    """The pause after a request's first failure is at most so long; it doubles with each further one."""
    backoff_s_max: float = 5.0
    """The pause between two tries is at most so long."""
    hedge_s_min: float = 0.025
    """A conditional PUT of the WAL is sent a second time no sooner than this."""
    hedge_s_max: float = 1.0
    """A conditional PUT of the WAL is sent a second time no later than this."""
    hedge_bytes_max: int = 16 * MIB
    """Larger bodies are not sent twice."""
    leadership_puts: int = 3
    """A conditional PUT that says who leads is sent so many times at once where PUTs are hedged, as nobody leads meanwhile."""
    leadership_bytes_max: int = MIB
    """Larger ones are hedged as those of the WAL are."""
    multipart_bytes_min: int = 32 * MIB
    """Larger bodies go up in parts."""
    part_bytes: int = 16 * MIB
    """The size of such a part."""
    parts_max_in_flight: int = 4
    """Parts of one body under way at once."""
    local_threads: int = 8
    """Threads for a local folder's blocking calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLimits:
    """How a fenced log is replayed and trimmed."""

    replay_prefetch: int = 32
    """Slots whose tails are read at once during a replay."""
    tail_bytes: int = 64 * KIB
    """How much of a slot's end the first read of a replay asks for."""
    hedge_s: float = 0.01
    """A read that the next leader waits for is sent again when it has no answer after so long, as nobody leads meanwhile."""
    hedges: int = 2
    """So many times, at once; the first answer counts."""
    trim_grace_s: float = 3600.0
    """The same for every process of a cluster: see ``FencedLog.trim``."""
    retry_delay_s_min: float = 0.05
    """A slot that could not be written is tried again after a pause that begins here, for ever."""
    retry_delay_s_max: float = 5.0
    """The pause before a slot is tried again grows to this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GarbageLimits:
    """How the bucket is freed of what nothing needs any more: see docs/decisions/0006."""

    grace_s: float = 3600.0
    """An object younger than this is never collected, and a slot only below a checkpoint at least so old."""
    interval_s: float = 3600.0
    """From the end of one collection to the start of the next."""
    delete_keys_max: int = 1000
    """Objects deleted by one request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionLimits:
    """How data objects become segments: ``raylog.partition.compaction`` has the bounds that follow from these."""

    interval_s: float = 10.0
    """A leader looks so often whether there is something to compact; it has one job under way at once."""
    segment_bytes: int = 128 * MIB
    """A job makes one segment of about so many bytes. It holds twice that in memory, and a few source objects."""
    run_bytes_min: int = 512 * KIB
    """A partition's run of batches in one object that is so long is left where it is."""
    sources_max: int = 64
    """A job reads no more objects. So many slots with short runs are due, however few bytes they have;"""
    fan_in: int = 8
    """and so many segments of one level."""
    levels_max: int = 4
    """A byte is rewritten no more often than so; at most 7."""
    reads_max: int = 4
    """Source objects read at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceLimits:
    """When load moves partitions from leader to leader: see docs/decisions/0013. Whether it does at all, how often that is looked
    at, and how far leaders may be apart are Kafka's settings ``auto.leader.rebalance.enable`` and ``leader.imbalance.*``."""

    report_s: float = 10.0
    """A leader measures its partitions' load so often, and tells the controller with its next poll."""
    half_life_s: float = 30.0
    """A measured load counts half as much after so long."""
    leader_bytes_max: int = 128 * MIB
    """Weighted bytes a second that a leader can take; what is above goes to others that have room."""
    move_bytes_min: int = 256 * KIB
    """A partition is worth a move from so many weighted bytes a second on, and so is what a leader has too much."""
    move_partitions_min: int = 10
    """So many partitions more or less than others have are not worth a move."""
    moves_max: int = 50
    """Moves under way at once; the others wait for the next look."""
    rest_s: float = 300.0
    """A partition that has moved is left alone for so long, whoever moved it."""
    move_s_max: float = 120.0
    """A move that has not begun for so long, as the leader that it goes to does not come up, is called off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingLimits:
    """When the cluster grows and shrinks by load: see docs/decisions/0016. Whether it does at all, and its bounds, are the broker
    settings ``raylog.scaling.nodes.min`` and ``raylog.scaling.nodes.max``."""

    use: float = 0.5
    """The share that is aimed at: of what all leaders can take, of a processor for each gateway, and of the nodes' CPUs."""
    band: float = 0.1
    """A use that is off by no more than this share of it changes nothing."""
    up_s: float = 15.0
    """Nodes are asked for once they would have been needed for so long."""
    down_s: float = 300.0
    """Nodes are given back once they would not have been needed for so long."""
    look_s: float = 5.0
    """The controller looks so often, and asks again for what it wants."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerLimits:
    """The controller's patience with callers, and how much metadata one request may make."""

    poll_s_max: float = 30.0
    """A long poll for routes returns after so long, changed or not."""
    leader_poll_s_max: float = 3.0
    """The same for a leader's assignments: its next poll is its sign of life."""
    leader_silence_s_max: float = 10.0
    """A leader that has not polled for so long gets a successor beside it."""
    offer_s_max: float = 2.0
    """A leader that is to lead partitions next has so long to read their handover; then their present leader goes on without."""
    topic_partitions_max: int = 10_000
    """Partitions of one topic."""
    checkpoint_slots: int = 500
    """The metadata is checkpointed after so many slots of its log."""
    launch_retry_s: float = 1.0
    """A leader that could not be started is tried again after so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """All groups. Travels in actors' arguments; each role takes its own group out."""

    gateway: GatewayLimits = field(default_factory=GatewayLimits)
    leader: LeaderLimits = field(default_factory=LeaderLimits)
    store: StoreLimits = field(default_factory=StoreLimits)
    log: LogLimits = field(default_factory=LogLimits)
    controller: ControllerLimits = field(default_factory=ControllerLimits)
    balance: BalanceLimits = field(default_factory=BalanceLimits)
    scaling: ScalingLimits = field(default_factory=ScalingLimits)
    garbage: GarbageLimits = field(default_factory=GarbageLimits)
    compaction: CompactionLimits = field(default_factory=CompactionLimits)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "Limits":
        """The defaults with overrides: ``{"gateway.connections_max": 500}``, or a table per group as TOML gives it.

        Raises InvalidError with one sentence for an unknown name or a value that is not a positive number.
        """
        limits = cls()
        for name, value in _flat(values):
            limits = limits._with(name, value)
        return limits

    def _with(self, name: str, value: object) -> "Limits":
        group_name, _, limit_name = name.partition(".")
        group = getattr(self, group_name, None) if group_name in _GROUPS else None
        if group is None or limit_name not in {f.name for f in fields(group)}:
            raise InvalidError(f"There is no limit '{name}'; write it as in 'gateway.connections_max'.{_near(name)}")
        whole = isinstance(getattr(group, limit_name), int)
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or value <= 0:
            kind = "a whole number" if whole else "a number"
            raise InvalidError(f"The limit '{name}' must be {kind} above 0, not {value!r}.")
        return replace(self, **{group_name: replace(group, **{limit_name: value})})


_GROUPS = tuple(f.name for f in fields(Limits))


def _flat(values: Mapping[str, Any]) -> list[tuple[str, object]]:
    flat: list[tuple[str, object]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat.extend((f"{name}.{inner}", limit) for inner, limit in value.items())
        else:
            flat.append((name, value))
    return flat


def _near(name: str) -> str:
    """A hint when only the group is wrong or missing."""
    last = name.rpartition(".")[2]
    found = [f"{group}.{last}" for group in _GROUPS if last in {f.name for f in fields(getattr(Limits(), group))}]
    return f" Did you mean '{found[0]}'?" if found else ""
