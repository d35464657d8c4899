"""What the controller goes by, and the form in which its decisions say no."""

from dataclasses import dataclass, field

from kio.schema.errors import ErrorCode

from controller.nodes import Node
from controller.state import MetadataState
from raylog.model.broker_config import BrokerConfig, effective


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRules:
    wal_classes: tuple[str, ...]
    default_wal: str
    leaders_per_class: int
    topic_partitions_max: int
    broker_configs: dict[str, str] = field(default_factory=dict)
    """From the configuration file; what was set through Kafka goes before it."""
    nodes: tuple[Node, ...] = ()
    """Those of now, which change; empty where nobody tells of nodes: leaders run anywhere then."""

    def merged_broker_configs(self, state: MetadataState) -> dict[str, str]:
        return {**self.broker_configs, **state.broker_configs}

    def broker_config(self, state: MetadataState) -> BrokerConfig:
        return effective(self.merged_broker_configs(state))


class Refused(Exception):
    """A request's part cannot be done: Kafka's code for it and one sentence. Never leaves the controller."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
