"""What the controller counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from controller.state import MetadataState

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class ControllerMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"raylog_controller_{name}", text, registry=registry, multiprocess_mode="livemostrecent")

        self._topics = gauge("topics", "Topics.")
        self._partitions = gauge("partitions", "Partitions.")
        self._unadopted = gauge("unadopted_partitions", "Partitions that their leader has not adopted yet.")
        self._leaders = gauge("leaders", "Leaders that exist.")
        self._leaders_up = gauge("leaders_up", "Leaders that have opened their log since they were made.")
        self._brokers = gauge("brokers", "Nodes that clients are sent to.")
        self._nodes = gauge("nodes", "Nodes that serve: all but those that drain.")
        self.nodes_wanted = gauge(
            "nodes_wanted", "Nodes that load needs, where the cluster grows and shrinks by it; else 0."
        )
        self.slot_seconds = Histogram(
            "raylog_controller_slot_seconds",
            "From handing a slot of the metadata log to the bucket until it is durable.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.plan_seconds = Histogram(
            "raylog_controller_plan_seconds",
            "What the planner of the balance took for the whole cluster, in its thread.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.balance_moves = Counter(
            "raylog_controller_balance_moves", "Moves ordered for balance, by reason.", ["reason"], registry=registry
        )

    def show_nodes(self, serving: int) -> None:
        self._nodes.set(serving)

    def show(self, state: MetadataState) -> None:
        """Bring the gauges up to date."""
        partitions = [partition for topic in state.topics.values() for partition in topic.partitions]
        self._topics.set(len(state.topics))
        self._partitions.set(len(partitions))
        self._unadopted.set(sum(partition.epoch_base is None for partition in partitions))
        self._leaders.set(len(state.leaders))
        self._leaders_up.set(sum(leader.endpoint is not None for leader in state.leaders.values()))
        self._brokers.set(sum(not broker.retired for broker in state.brokers.values()))
