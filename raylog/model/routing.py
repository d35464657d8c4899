"""The routing table: what a gateway must know to serve without asking anybody. Made by the controller, followed by gateways.

Immutable and versioned; a gateway keeps serving from the last one it has while the controller is away.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from raylog.model.ids import BrokerId, LeaderEpoch, LeaderId, LogEpoch, TopicId

_LATER_OPENS = 8
"""Of a leader, while no routes come: the controller is away for that long, and Ray restarts the leader meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerEndpoint:
    """One node's gateway pool, as clients see it."""

    broker_id: BrokerId
    host: str
    port: int
    rack: str | None = None
    node_id: str = ""
    """The node's name, as in ``LeaderEndpoint``: clients are sent to the broker on the leader's own node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderEndpoint:
    """Where a leader's internal listener is. ``log_epoch`` is the open it serves under."""

    leader_id: LeaderId
    log_epoch: LogEpoch
    node_id: str
    """The node's name: a gateway on the same node uses the unix socket."""
    unix_path: str
    """Each open has its own (``leader_socket``)."""
    host: str
    port: int

    def later_sockets(self) -> list[str]:
        """Where the leader listens after its next opens, which nobody may have told of yet."""
        path = Path(self.unix_path)
        epochs = range(self.log_epoch + 1, self.log_epoch + 1 + _LATER_OPENS)
        return [str(leader_socket(path.parent, self.leader_id, LogEpoch(epoch))) for epoch in epochs]


def leader_socket(run_dir: Path, leader_id: LeaderId, log_epoch: LogEpoch) -> Path:
    """The unix socket of a leader's open. Not one for all: an open that is fenced may listen later than its successor on the same
    node, and would take a common path with it when it ends."""
    return run_dir / f"leader-{leader_id}.{log_epoch}.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionRoute:
    leader_id: LeaderId
    epoch_base: int
    """The partition's leader epoch is this + its leader's ``log_epoch``: it rises with each open, without a write here."""
    adopted: bool
    """False until the leader has written its adoption: of a new partition clients see LEADER_NOT_AVAILABLE meanwhile."""
    moving_to: LeaderId | None = None
    """Who is to lead it next, while the present leader still does."""
    moving_from: LeaderId | None = None
    """Who led it before, until the present leader has written its adoption: it may serve already, before that is heard of."""

    @property
    def is_served(self) -> bool:
        """Whether there is a leader to ask. One that is taking over says itself when it is not ready."""
        return self.adopted or self.moving_from is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicRoute:
    topic_id: TopicId
    name: str
    partitions: tuple[PartitionRoute, ...]
    """By partition number; contiguous from 0."""
    configs: dict[str, str] = field(default_factory=dict)
    """The topic's own settings (overrides only), by Kafka's names."""
    internal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingTable:
    version: int
    cluster_id: str
    controller_broker: BrokerId
    brokers: tuple[BrokerEndpoint, ...]
    leaders: dict[LeaderId, LeaderEndpoint]
    topics: dict[str, TopicRoute]
    broker_configs: dict[str, str] = field(default_factory=dict)
    """Cluster-wide broker settings, overrides only: those set through Kafka, and below them those of the configuration file."""
    static_broker_configs: dict[str, str] = field(default_factory=dict)
    """Those of the configuration file, which no request takes away."""
    unchanged: tuple[str, ...] = ()
    """Topics left out of ``topics``, as they are still those of the table that the asker has; see ``over``."""

    @property
    def dynamic_broker_configs(self) -> dict[str, str]:
        """Those that were set through Kafka to something else than the configuration file says."""
        static = self.static_broker_configs
        return {name: value for name, value in self.broker_configs.items() if static.get(name) != value}

    def over(self, previous: "RoutingTable") -> "RoutingTable":
        """The whole table, with what was left out taken from the one that the asker has."""
        if not self.unchanged:
            return self
        kept = {name: previous.topics[name] for name in self.unchanged}
        return replace(self, topics={**kept, **self.topics}, unchanged=())

    def leader_epoch(self, route: PartitionRoute) -> LeaderEpoch:
        """The partition's leader epoch, or -1 while its leader is not up or has not adopted it."""
        leader = self.leaders.get(route.leader_id)
        return LeaderEpoch(-1 if leader is None or not route.adopted else route.epoch_base + leader.log_epoch)


EMPTY_ROUTING_TABLE = RoutingTable(
    version=0, cluster_id="", controller_broker=BrokerId(-1), brokers=(), leaders={}, topics={}
)

GroupsTopic: Literal["__consumer_offsets"] = "__consumer_offsets"
