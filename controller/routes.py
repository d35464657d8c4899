"""From the metadata to the routing table that gateways follow. A topic's route is made again only when the topic has changed."""

from dataclasses import replace
from typing import NamedTuple

from controller.brokers import shown_brokers
from controller.rules import ClusterRules
from controller.state import MetadataState, PartitionState, TopicState
from raylog.model.ids import BROKER_ID_NONE, LeaderId, TopicId
from raylog.model.routing import LeaderEndpoint, PartitionRoute, RoutingTable, TopicRoute


class RouteMaker:
    """Keeps the routes of topics between tables."""

    def __init__(self, rules: ClusterRules) -> None:
        self._rules = rules
        self._topics: dict[TopicId, _Made] = {}

    def table(self, state: MetadataState, version: int) -> RoutingTable:
        """The table of ``state``; leaders that never opened are left out, and so are brokers that nobody is to be sent to."""
        self._topics = {topic_id: self._made(topic, version) for topic_id, topic in state.topics.items()}
        brokers = shown_brokers(state)
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
            topics={made.route.name: made.route for made in self._topics.values()},
            broker_configs=self._rules.merged_broker_configs(state),
            static_broker_configs=self._rules.broker_configs,
        )

    def since(self, table: RoutingTable, version: int) -> RoutingTable:
        """The newest table, for one who has that of ``version``: with thousands of partitions a change is a small part of it.

        Versions rise across controllers, so whoever has an earlier controller's table gets every topic.
        """
        unchanged = tuple(made.route.name for made in self._topics.values() if made.version <= version)
        if not unchanged:
            return table
        topics = {made.route.name: made.route for made in self._topics.values() if made.version > version}
        return replace(table, topics=topics, unchanged=unchanged)

    def _made(self, topic: TopicState, version: int) -> "_Made":
        known = self._topics.get(topic.topic_id)
        if known is not None and known.state is topic:
            return known
        route = TopicRoute(
            topic_id=topic.topic_id,
            name=topic.name,
            partitions=tuple(_partition_route(partition) for partition in topic.partitions),
            configs=topic.configs,
            internal=topic.internal,
        )
        return _Made(topic, route, version)


class _Made(NamedTuple):
    """A topic's route, what it was made from, and the first table that has it."""

    state: TopicState
    route: TopicRoute
    version: int


def _partition_route(partition: PartitionState) -> PartitionRoute:
    return PartitionRoute(
        leader_id=partition.leader_id,
        epoch_base=partition.epoch_base or 0,
        adopted=partition.epoch_base is not None,
        moving_to=partition.moving_to,
        moving_from=partition.taken_from.leader_id if partition.taken_from is not None else None,
    )
