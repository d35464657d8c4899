"""The gateway's copy of the routing table: follows the controller for ever, and serves from the last table while it is away.

One owner: the task that runs ``run``. Everyone else reads ``index``, which is replaced whole, never changed.
"""

import asyncio
from dataclasses import dataclass
from functools import cached_property

from kio.schema.errors import ErrorCode

from raylog.coordination.hashing import group_partition
from raylog.model.admin import ControllerClient
from raylog.model.clock import Clock, Random
from raylog.model.errors import RetryError
from raylog.model.ids import LeaderId, TopicId
from raylog.model.logs import RoleLogger, fields
from raylog.model.routing import EMPTY_ROUTING_TABLE, GroupsTopic, PartitionRoute, RoutingTable, TopicRoute
from raylog.model.topic_config import TopicConfig, effective

BACK_OFF_S_MIN = 0.1
BACK_OFF_S_MAX = 5.0


@dataclass(frozen=True)
class RouteIndex:
    """A routing table with what is looked up in it on the hot path."""

    table: RoutingTable

    @cached_property
    def topics_by_id(self) -> dict[TopicId, TopicRoute]:
        return {topic.topic_id: topic for topic in self.table.topics.values()}

    def leader_of(self, topic: TopicRoute, partition: int) -> tuple[ErrorCode, LeaderId]:
        """The leader to ask, with ``ErrorCode.none``; or what to answer when there is none to ask."""
        if not 0 <= partition < len(topic.partitions):
            return ErrorCode.unknown_topic_or_partition, LeaderId(-1)
        route = topic.partitions[partition]
        return (ErrorCode.none if self.is_led(route) else ErrorCode.leader_not_available), route.leader_id

    def max_message_bytes(self, topic: TopicRoute) -> int:
        return self.settings(topic).max_message_bytes

    def settings(self, topic: TopicRoute) -> TopicConfig:
        known = self._settings.get(topic.topic_id)
        if known is None:
            known = self._settings[topic.topic_id] = effective(topic.configs, self.table.broker_configs)
        return known

    @cached_property
    def _settings(self) -> dict[TopicId, TopicConfig]:
        return {}

    def is_led(self, route: PartitionRoute) -> bool:
        return route.is_served and route.leader_id in self.table.leaders

    def coordinator_of(self, group_id: str) -> tuple[ErrorCode, LeaderId]:
        """The leader of the ``__consumer_offsets`` partition that the group's name hashes to, as in Kafka."""
        topic = self.table.topics.get(GroupsTopic)
        if topic is None or not topic.partitions:
            return ErrorCode.coordinator_not_available, LeaderId(-1)
        error, leader_id = self.leader_of(topic, group_partition(group_id, len(topic.partitions)))
        return (ErrorCode.none if error is ErrorCode.none else ErrorCode.coordinator_not_available), leader_id


class RouteFollower:
    def __init__(self, controller: ControllerClient, clock: Clock, rng: Random, log: RoleLogger) -> None:
        self._controller = controller
        self._clock = clock
        self._rng = rng
        self._log = log
        self._changed = asyncio.Event()
        self.index = RouteIndex(EMPTY_ROUTING_TABLE)

    @property
    def table(self) -> RoutingTable:
        return self.index.table

    async def run(self) -> None:
        """Follow the controller until cancelled."""
        failures = 0
        while True:
            try:
                table = await self._controller.watch_routes(self.table.version)
            except RetryError as error:
                failures += 1
                if failures == 3:
                    self._log.warning(
                        "the controller is away; serving from the last routing table",
                        extra=fields(version=self.table.version, error=error),
                    )
                await self._clock.sleep(self._back_off(failures))
                continue
            if failures >= 3:
                self._log.info("the controller is back", extra=fields(version=table.version))
            failures = 0
            self.offer(table)

    def offer(self, table: RoutingTable) -> None:
        """Take a table over if it is newer than the present one."""
        if table.version <= self.table.version:
            return
        self.index = RouteIndex(table.over(self.table))
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def newer_than(self, version: int, timeout_s: float) -> RoutingTable:
        """The table once its version is above ``version``, or the present one after ``timeout_s``."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.table.version <= version:
                    await self._changed.wait()
        except TimeoutError:
            pass
        return self.table

    def _back_off(self, failures: int) -> float:
        ceiling = min(BACK_OFF_S_MAX, BACK_OFF_S_MIN * 2.0 ** (failures - 1))
        return ceiling * (0.5 + 0.5 * self._rng.random())
