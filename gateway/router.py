"""From partition or group to leader, and the ways to ask a leader: one entity, one frame passed through, or all leaders at once.

Rules of every send:

- Requests to one leader arrive there in the order of the calls, as long as no await lies between them; answers come in any order.
- StaleRouteError: the leader is gone. As an UnansweredError: it went before it answered, and whether it did what was asked is
  unknown.
- RetryError: ``timeout_s`` is over; what was asked may still happen.
- ``may_repeat``: to do it twice is to do it once. A leader that comes back in a moment, or has moved, is asked again.
"""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from gateway.budget import Budget
from gateway.cluster_view import node_zone
from gateway.leader_channel import Lane, LeaderChannels
from gateway.routing import RouteFollower
from raylog.model.buffers import Buffer
from raylog.model.errors import RetryError, StaleRouteError
from raylog.model.ids import LeaderId, TopicId
from raylog.model.routing import TopicRoute
from raylog.protocol.wire import decode_response, encode_request


class Router:
    def __init__(
        self,
        routes: RouteFollower,
        channels: LeaderChannels,
        *,
        zone: str | None = None,
        object_wals: Collection[str] = (),
    ) -> None:
        """``zone``: the gateway's. ``object_wals``: the WAL classes that are the bucket, '' for the default one if it is."""
        self._routes = routes
        self._channels = channels
        self._zone = zone
        self._object_wals = frozenset(object_wals)

    def topic(self, name: str) -> TopicRoute | None:
        return self._routes.table.topics.get(name)

    def topic_by_id(self, topic_id: TopicId) -> TopicRoute | None:
        return self._routes.index.topics_by_id.get(topic_id)

    def leader_of(self, topic: TopicRoute, partition: int) -> tuple[ErrorCode, LeaderId]:
        """The leader to ask, with ``ErrorCode.none``; or what to answer: UNKNOWN_TOPIC_OR_PARTITION, LEADER_NOT_AVAILABLE."""
        return self._routes.index.leader_of(topic, partition)

    def successor(self, topic: TopicRoute, partition: int, leader_id: LeaderId) -> LeaderId | None:
        """Who leads the partition, or is about to, now that this leader says that it does not; None where nobody else does."""
        if not 0 <= partition < len(topic.partitions):
            return None
        route = topic.partitions[partition]
        found = route.leader_id if route.leader_id != leader_id else route.moving_to
        return found if found in self._routes.table.leaders else None

    def max_message_bytes(self, topic: TopicRoute) -> int:
        """The topic's limit for one record batch, its overhead included."""
        return self._routes.index.max_message_bytes(topic)

    def goes_by_bucket(self, topic: TopicRoute, leader_id: LeaderId) -> bool:
        """Whether the topic's batches are put into the bucket, as their leader is in another zone."""
        settings = self._routes.index.settings(topic)
        if settings.produce_path == "leader" or self._zone is None:
            return False
        if not settings.may_be_referred_to or settings.wal not in self._object_wals:
            return False
        table = self._routes.table
        leader = table.leaders.get(leader_id)
        zone = None if leader is None else node_zone(table, leader.node_id)
        return zone not in (None, self._zone)

    def coordinator_leader(self, group_id: str) -> tuple[ErrorCode, LeaderId]:
        """The leader that holds the group's coordinator, with ``ErrorCode.none``; or COORDINATOR_NOT_AVAILABLE."""
        return self._routes.index.coordinator_of(group_id)

    async def is_reachable(self, leader_id: LeaderId) -> bool:
        """Whether the leader takes connections, tried now if there is none: routes may not tell yet that it is away."""
        return await self._channels.is_reachable(leader_id)

    def all_leaders(self) -> Sequence[LeaderId]:
        """Every leader that is up, for requests that each must answer (ListGroups, DescribeLogDirs)."""
        return sorted(self._routes.table.leaders)

    async def send(
        self, leader_id: LeaderId, request: Payload, *, client_id: str = "", timeout_s: float | None = None
    ) -> Any:
        """Ask one leader; the answer as the response entity of the request's API and version."""
        schema = type(request)
        frame = await self.send_entity(leader_id, request, client_id=client_id, timeout_s=timeout_s)
        return decode_response(schema.__api_key__, schema.__version__, frame)[1]

    def send_entity(
        self,
        leader_id: LeaderId,
        request: Payload,
        *,
        client_id: str = "",
        timeout_s: float | None = None,
        lane: Lane = Lane.PRODUCE,
        may_repeat: bool = False,
    ) -> asyncio.Future[Buffer]:
        """As ``send``, but sent before it returns; the future gives the answer's frame, still encoded."""
        return self._channels.channel(leader_id, lane).send(
            lambda correlation_id: encode_request(request, correlation_id=correlation_id, client_id=client_id),
            timeout_s=timeout_s,
            may_repeat=may_repeat,
        )

    def send_frame(
        self,
        leader_id: LeaderId,
        frame: Buffer,
        *,
        timeout_s: float | None = None,
        lane: Lane = Lane.PRODUCE,
        may_repeat: bool = False,
    ) -> asyncio.Future[Buffer]:
        """Pass a client's request on as it is, under a correlation id of the channel; sent before it returns.

        The future gives the answer's frame: a handler may return it (or the future) as its answer.
        """
        return self._channels.channel(leader_id, lane).send_frame(frame, timeout_s=timeout_s, may_repeat=may_repeat)

    def budget(self, leader_id: LeaderId) -> Budget:
        """Bytes under way to the leader."""
        return self._channels.budget(leader_id)

    async def send_all(
        self, request: Payload, *, client_id: str = "", timeout_s: float | None = None
    ) -> list[tuple[LeaderId, Any]]:
        """Ask every leader that is up, at once: each with its answer, or with the StaleRouteError or RetryError of asking it."""
        leaders = self.all_leaders()
        asked = (self.send(leader, request, client_id=client_id, timeout_s=timeout_s) for leader in leaders)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, StaleRouteError | RetryError):
                raise answer
        return list(zip(leaders, answers, strict=True))
