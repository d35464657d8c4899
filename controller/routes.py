"""From the metadata to the routing table that gateways follow. A topic's route is made again only when the topic has changed."""

from controller.rules import ClusterRules
from controller.state import MetadataState, PartitionState, TopicState
from raylog.model.ids import BROKER_ID_NONE, LeaderId, TopicId
from raylog.model.routing import LeaderEndpoint, PartitionRoute, RoutingTable, TopicRoute


class RouteMaker:
    """Keeps the routes of topics between tables."""

    def __init__(self, rules: ClusterRules) -> None:
        self._rules = rules
        self._topics: dict[TopicId, tuple[TopicState, TopicRoute]] = {}

    def table(self, state: MetadataState, version: int) -> RoutingTable:
        """The table of ``state``; leaders that never opened are left out, and so are retired brokers."""
        self._topics = {topic_id: self._route(topic) for topic_id, topic in state.topics.items()}
        brokers = sorted(
            (broker.endpoint for broker in state.brokers.values() if not broker.retired), key=lambda b: b.broker_id
        )
        leaders: dict[LeaderId, LeaderEndpoint] = {
            leader_id: leader.endpoint for leader_id, leader in state.leaders.items() if leader.endpoint is not None
        }
        return RoutingTable(
            version=version,
            cluster_id=state.cluster_id,
            # Any broker passes requests on to the controller; clients only need one name for it.
            controller_broker=brokers[0].broker_id if brokers else BROKER_ID_NONE,
            brokers=tuple(brokers),
            leaders=leaders,
            topics={route.name: route for _, route in self._topics.values()},
            broker_configs=self._rules.merged_broker_configs(state),
            static_broker_configs=self._rules.broker_configs,
        )

    def _route(self, topic: TopicState) -> tuple[TopicState, TopicRoute]:
        known = self._topics.get(topic.topic_id)
        if known is not None and known[0] is topic:
            return known
        route = TopicRoute(
            topic_id=topic.topic_id,
            name=topic.name,
            partitions=tuple(_partition_route(partition) for partition in topic.partitions),
            configs=topic.configs,
            internal=topic.internal,
        )
        return topic, route


def _partition_route(partition: PartitionState) -> PartitionRoute:
    return PartitionRoute(
        leader_id=partition.leader_id,
        epoch_base=partition.epoch_base or 0,
        adopted=partition.epoch_base is not None,
        moving_to=partition.moving_to,
        moving_from=partition.taken_from.leader_id if partition.taken_from is not None else None,
    )
