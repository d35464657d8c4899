"""The partitions of topics as Metadata shows them, kept between requests: to make them anew costs 16 us a partition, and each
client asks for all partitions of its topics every few minutes, all of them at once after a fail-over.

What is kept holds as long as the topic's route, the leaders and the brokers are what they were.
"""

from collections.abc import Callable, Mapping
from typing import Any

from raylog.model.ids import LeaderId, TopicId
from raylog.model.routing import BrokerEndpoint, LeaderEndpoint, RoutingTable, TopicRoute

MakePartitions = Callable[[int, RoutingTable, TopicRoute, str | None], tuple[Any, ...]]
"""An answer's partitions, for a version of the API and a zone of clients."""


class MetadataCache:
    """Full, it begins anew: it holds all that is asked for, or the cluster is too large for its limit."""

    def __init__(self, partitions_max: int) -> None:
        self._partitions_max = partitions_max
        self._leaders: Mapping[LeaderId, LeaderEndpoint] = {}
        self._brokers: tuple[BrokerEndpoint, ...] = ()
        self._kept: dict[tuple[int, str | None, TopicId], tuple[TopicRoute, tuple[Any, ...]]] = {}
        self.partitions = 0
        """Kept at present."""

    def partitions_of(
        self, version: int, table: RoutingTable, topic: TopicRoute, zone: str | None, make: MakePartitions
    ) -> tuple[Any, ...]:
        """The topic's partitions for an answer of this version to a client in ``zone``, which must be one that brokers are in."""
        if table.leaders is not self._leaders or table.brokers is not self._brokers:
            if table.leaders != self._leaders or table.brokers != self._brokers:
                self._forget()
            self._leaders, self._brokers = table.leaders, table.brokers
        key = (version, zone, topic.topic_id)
        known = self._kept.get(key)
        if known is not None and known[0] is topic:
            return known[1]
        made = make(version, table, topic, zone)
        if known is not None:
            self.partitions -= len(known[1])
        if self.partitions + len(made) > self._partitions_max:
            self._forget()
        if len(made) <= self._partitions_max:
            self._kept[key] = topic, made
            self.partitions += len(made)
        return made

    def _forget(self) -> None:
        self._kept.clear()
        self.partitions = 0
