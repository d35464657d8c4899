"""Handlers asked directly: a routing table, a controller that keeps topics in memory, and answers that went over the wire."""

import asyncio
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from kio.schema.errors import ErrorCode
from prometheus_client import CollectorRegistry

from gateway.context import GatewayServices, RequestContext
from gateway.leader_channel import LeaderChannels
from gateway.messages import make
from gateway.metrics import GatewayMetrics
from gateway.plan_cache import PlanCache
from gateway.producer_ids import ProducerIds
from gateway.registry import served_apis
from gateway.router import Router
from gateway.routing import RouteFollower
from gateway.uploader import Uploader
from gateway.zone_traffic import ZoneTraffic
from raylog.model import broker_config, topic_config
from raylog.model.admin import ConfigAlteration, ConfigResult, Move, MoveResult, NewTopic, TopicResult, TopicSelector
from raylog.model.clock import SystemClock
from raylog.model.errors import InvalidError, RetryError
from raylog.model.ids import BrokerId, LeaderId, LogEpoch, TopicId
from raylog.model.limits import GatewayLimits
from raylog.model.logs import role_logger
from raylog.model.routing import BrokerEndpoint, LeaderEndpoint, PartitionRoute, RoutingTable, TopicRoute
from raylog.protocol.wire import decode_request, decode_response, encode_request, encode_response, ms, request_schema
from raylog.storage.memory_store import MemoryStore
from raylog.storage.wal_class import DEFAULT_OBJECT_POLICY

BROKERS = (
    BrokerEndpoint(broker_id=BrokerId(1), host="one.example", port=9092, rack="r1", node_id="node-1"),
    BrokerEndpoint(broker_id=BrokerId(2), host="two.example", port=9093, node_id="node-2"),
)
LEADERS = {
    LeaderId(number): LeaderEndpoint(
        leader_id=LeaderId(number),
        log_epoch=LogEpoch(5),
        node_id=f"node-{number}",
        unix_path="",
        host="127.0.0.1",
        port=1,
    )
    for number in (1, 2)
}


def route(name: str, partitions: int = 1, *, adopted: bool = True, **configs: str) -> TopicRoute:
    """A topic whose partitions are led by leaders 1, 2, 1, 2, …"""
    return TopicRoute(
        topic_id=TopicId(UUID(bytes=name.encode().ljust(16, b"\1")[:16])),
        name=name,
        partitions=tuple(
            PartitionRoute(leader_id=LeaderId(1 + index % 2), epoch_base=-5, adopted=adopted)
            for index in range(partitions)
        ),
        configs={key.replace("_", "."): value for key, value in configs.items()},
    )


@dataclass
class Controller:
    """Keeps topics and settings, and publishes each change to the gateway at once, or when told to."""

    routes: RouteFollower = field(init=False)
    is_away: bool = False
    publishes: bool = True
    adopts: bool = True
    refuses: dict[str, ErrorCode] = field(default_factory=dict)
    calls: list[tuple[str, Any]] = field(default_factory=list)
    allocated: int = 0
    pending: RoutingTable | None = None
    has_changed: asyncio.Event = field(default_factory=asyncio.Event)

    def change(self, **changes: Any) -> None:
        table = self.pending or self.routes.table
        self.pending = replace(table, version=table.version + 1, **changes)
        self.has_changed.set()
        if self.publishes:
            self.publish()

    def publish(self) -> None:
        assert self.pending is not None
        self.routes.offer(self.pending)
        self.pending = None

    def _note(self, name: str, what: Any) -> None:
        self.calls.append((name, what))
        if self.is_away:
            raise RetryError("The controller is away.")

    async def balance(self, explain: tuple[str, int] | None = None) -> dict[str, object]:
        self._note("balance", explain)
        return {"leaders": []}

    async def balance_now(self) -> dict[str, list[int]]:
        self._note("balance_now", None)
        return {"alpha": [1]}

    async def create_topics(
        self, topics: Sequence[NewTopic], *, validate_only: bool = False, timeout_ms: int = 30_000
    ) -> list[TopicResult]:
        self._note("create_topics", (list(topics), validate_only, timeout_ms))
        results = []
        for topic in topics:
            if topic.name in self.refuses:
                code = self.refuses[topic.name]
                results.append(TopicResult(name=topic.name, error_code=code, error_message="No."))
                continue
            made = route(topic.name, max(1, topic.partitions), adopted=self.adopts)
            configs = {key: str(value) for key, value in topic.configs.items()}
            if not validate_only:
                self.change(topics={**self.routes.table.topics, topic.name: replace(made, configs=configs)})
            results.append(
                TopicResult(name=topic.name, topic_id=made.topic_id, partitions=len(made.partitions), configs=configs)
            )
        return results

    async def delete_topics(self, topics: Sequence[TopicSelector], *, timeout_ms: int = 30_000) -> list[TopicResult]:
        self._note("delete_topics", list(topics))
        results = []
        for selector in topics:
            found = next(
                (
                    t
                    for t in self.routes.table.topics.values()
                    if selector.name == t.name or selector.topic_id == t.topic_id
                ),
                None,
            )
            if found is None:
                code = ErrorCode.unknown_topic_or_partition if selector.name else ErrorCode.unknown_topic_id
                results.append(TopicResult(name=selector.name or "", topic_id=selector.topic_id, error_code=code))
                continue
            left = {name: topic for name, topic in self.routes.table.topics.items() if topic is not found}
            self.change(topics=left)
            results.append(TopicResult(name=found.name, topic_id=found.topic_id))
        return results

    async def create_partitions(
        self, counts: dict[str, int], *, validate_only: bool = False, timeout_ms: int = 30_000
    ) -> list[TopicResult]:
        self._note("create_partitions", (counts, validate_only))
        results = []
        for name, count in counts.items():
            if name not in self.routes.table.topics:
                results.append(TopicResult(name=name, error_code=ErrorCode.unknown_topic_or_partition))
                continue
            if not validate_only:
                self.change(topics={**self.routes.table.topics, name: route(name, count, adopted=self.adopts)})
            results.append(TopicResult(name=name))
        return results

    async def alter_configs(
        self, alterations: Sequence[ConfigAlteration], *, validate_only: bool = False
    ) -> list[ConfigResult]:
        self._note("alter_configs", (list(alterations), validate_only))
        return [self._alter(alteration, validate_only) for alteration in alterations]

    def _alter(self, alteration: ConfigAlteration, validate_only: bool) -> ConfigResult:
        table = self.routes.table
        kind, name = alteration.resource_type, alteration.name
        try:
            if kind == 4:
                dynamic = broker_config.altered(table.dynamic_broker_configs, alteration.changes)
                configs = {**table.static_broker_configs, **dynamic}
                changes: dict[str, Any] = {"broker_configs": configs}
            else:
                topic = table.topics[name]
                configs = topic_config.altered(topic.configs, alteration.changes)
                changes = {"topics": {**table.topics, name: replace(topic, configs=configs)}}
        except InvalidError as error:
            code = ErrorCode.invalid_config
            return ConfigResult(resource_type=kind, name=name, error_code=code, error_message=str(error))
        if not validate_only:
            self.change(**changes)
        return ConfigResult(resource_type=kind, name=name)

    async def move_partitions(self, moves: Sequence[Move]) -> list[MoveResult]:
        self._note("move_partitions", list(moves))
        return [
            MoveResult(
                topic=move.topic,
                partition=move.partition,
                error_code=self.refuses.get(move.topic, ErrorCode.none),
                error_message="No." if move.topic in self.refuses else None,
            )
            for move in moves
        ]

    async def allocate_producer_ids(self, count: int) -> int:
        self._note("allocate_producer_ids", count)
        await asyncio.sleep(0)
        first, self.allocated = self.allocated, self.allocated + count
        return first


def _raise(error: BaseException) -> None:
    raise error


async def _taken(endpoint: Any, protocol: Any) -> None:
    """Every leader takes a connection; none answers."""
    protocol("")


async def _nobody_is_away(leader_id: LeaderId) -> None:
    raise AssertionError(f"leader {leader_id} takes connections")


class Desk:
    """Where requests are handed in: ``await desk.ask(3, 12, topics=None)`` gives the decoded answer."""

    def __init__(self, *topics: TopicRoute) -> None:
        self.client_id = "tester"
        self.controller = Controller()
        clock, rng, log = SystemClock(), Random(1), role_logger("gateway")
        self.routes = RouteFollower(self.controller, clock, rng, log)  # type: ignore[arg-type]
        self.controller.routes = self.routes
        limits = GatewayLimits()
        channels = LeaderChannels(
            routes=self.routes,
            node_id="node-1",
            clock=clock,
            rng=rng,
            limits=limits,
            log=log,
            wake=_nobody_is_away,
            zones=ZoneTraffic(None, GatewayMetrics(CollectorRegistry(), ()).zone_bytes),
            connect=_taken,
        )
        router = Router(self.routes, channels)
        self.services = GatewayServices(
            controller=self.controller,  # type: ignore[arg-type]
            routes=self.routes,
            router=router,
            block_cache=None,  # type: ignore[arg-type]
            plan_cache=PlanCache(clock, plan_s_max=limits.plan_s_max, ahead_bytes=0),
            clock=clock,
            rng=rng,
            limits=limits,
            log=log,
            apis=served_apis(),
            broker=BROKERS[0],
            producer_ids=ProducerIds(self.controller, block_size=3),  # type: ignore[arg-type]
            uploader=Uploader(
                store=MemoryStore(clock),
                router=router,
                policy=DEFAULT_OBJECT_POLICY,
                clock=clock,
                rng=rng,
                log=log,
                on_put=lambda *_: None,
                on_fatal=_raise,
            ),
        )
        self.routes.offer(
            RoutingTable(
                version=1,
                cluster_id="cluster",
                controller_broker=BrokerId(2),
                brokers=BROKERS,
                leaders=LEADERS,
                topics={topic.name: topic for topic in topics},
            )
        )

    def context(self, api_key: int, version: int, frame: bytes) -> RequestContext:
        head, _ = decode_request(frame)
        return RequestContext(self.services, SimpleNamespace(host="127.0.0.1", port=1), head, frame)  # type: ignore[arg-type]

    async def ask(self, api_key: int, version: int, **values: Any) -> Any:
        """The answer to a request with these fields, encoded and decoded as a client would see it."""
        if "timeout" in values:
            values["timeout"] = ms(values["timeout"])
        request = make(request_schema(api_key, version), values)
        frame = b"".join(encode_request(request, correlation_id=7, client_id=self.client_id))[4:]
        answer = served_apis()[api_key].handler(self.context(api_key, version, frame), decode_request(frame)[1])
        if inspect.isawaitable(answer):
            answer = await answer
        assert not isinstance(answer, bytes | bytearray | memoryview)
        assert answer is not None
        return decode_response(api_key, version, b"".join(encode_response(7, answer))[4:])[1]


@pytest.fixture
async def desk() -> Desk:
    """Two nodes with a leader each; the topics ``alpha`` (3 partitions) and ``beta`` (1)."""
    return Desk(route("alpha", 3, retention_ms="5000"), route("beta"))
