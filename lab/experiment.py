"""An experiment: a cluster, topics, what loads them, and what is done to the cluster while they are loaded. Plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from lab.shapes import Shape

HEAD = "a"
"""The first node of a local cluster. It has Ray's GCS, and so stays."""
WAL_CLASSES = ("file", "object")
"""Of a local cluster; the first is that of topics which say none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalCluster:
    """Several Ray nodes on this machine, with a folder as the bucket; there only for the experiment."""

    nodes: tuple[str, ...]
    autoscaled: tuple[str, ...] = ()
    """Further ones, that Ray's own autoscaler starts when Raylog asks for them, and ends when nothing runs there."""
    latency: str = ""
    """The latency model of the bucket (raylog.storage.latency_model); empty: as fast as the folder is."""
    options: Mapping[str, int] = field(default_factory=dict)
    """Numbers of ClusterConfig: leaders, gateways, spares."""
    broker: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningCluster:
    """One that is there already. Topics are made for the experiment and deleted in the end."""

    bootstrap: str
    address: str = ""
    """Its Ray, for events that need it."""
    metrics: tuple[str, ...] = ()
    """URLs of its nodes' ``/metrics``; without them nothing is said of bucket requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """One topic, or ``count`` of them, alike and numbered."""

    name: str
    count: int
    partitions: int
    wal: str
    """Its WAL class; empty: the cluster's default."""
    config: Mapping[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        if self.count == 1:
            return (self.name,)
        return tuple(f"{self.name}-{number:04d}" for number in range(self.count))


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Idempotent producers for topics, and a group that consumes these."""

    topics: str
    """The name of a ``Topics``."""
    shape: Shape
    skew: float
    """Zipf's exponent over the partitions; 0: all alike."""
    record_bytes: int
    producers: int
    linger_ms: float
    members: int
    """Of the group; 0: nobody consumes while it runs."""


class Kind(Enum):
    """What can be done to a cluster, as the file calls it."""

    ADD = "add"
    DRAIN = "drain"
    PREEMPT = "preempt"
    KILL = "kill"
    PAUSE = "pause"
    SLOW_NODE = "slow-node"
    SLOW_BUCKET = "slow-bucket"
    GCS_AWAY = "gcs-away"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    at_s: float
    kind: Kind
    node: str = ""
    role: str = ""
    """leader, gateway or controller: only one process; empty: the whole node."""
    for_s: float = 0.0
    factor: float = 0.0
    """So many times slower."""
    extra_ms: float = 0.0
    """So much longer takes each request to the bucket."""
    notice_s: float = 0.0
    """From a preemption's notice to its end."""

    @property
    def label(self) -> str:
        """For a mark in a chart."""
        whom = " of ".join(part for part in (self.role, self.node) if part)
        match self.kind:
            case Kind.SLOW_NODE:
                return f"{self.node} {self.factor:g}x slower for {self.for_s:g} s"
            case Kind.SLOW_BUCKET:
                return f"bucket +{self.extra_ms:g} ms for {self.for_s:g} s"
            case Kind.GCS_AWAY:
                return f"no GCS for {self.for_s:g} s"
            case Kind.PAUSE:
                return f"pause {whom} for {self.for_s:g} s"
            case Kind.PREEMPT:
                return f"preempt {whom}, {self.notice_s:g} s notice"
            case _:
                return f"{self.kind.value} {whom}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    name: str
    title: str
    about: str
    seconds: float
    """Of load."""
    seed: int
    cluster: LocalCluster | RunningCluster
    topics: tuple[Topics, ...]
    loads: tuple[Load, ...]
    events: tuple[Event, ...]
    source: str
    """The file's text."""

    def topics_named(self, name: str) -> Topics:
        return next(topics for topics in self.topics if topics.name == name)
