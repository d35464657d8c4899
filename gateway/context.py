"""What a handler gets beside the request: who asks, and the gateway's services."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from gateway.budget import Budget
from gateway.cluster_view import client_zone
from gateway.metadata_cache import MetadataCache
from gateway.producer_ids import ProducerIds
from gateway.router import Router
from gateway.routing import RouteFollower
from gateway.uploader import Uploader
from raylog.model.admin import ControllerClient
from raylog.model.buffers import Buffer
from raylog.model.clock import Clock, Random
from raylog.model.ids import LeaderId
from raylog.model.limits import GatewayLimits
from raylog.model.logs import RoleLogger
from raylog.model.routing import BrokerEndpoint, RoutingTable
from raylog.protocol.single_produce import ProduceShapes
from raylog.protocol.wire import RequestHead
from raylog.storage.block_cache import BlockCache

if TYPE_CHECKING:
    from gateway.next_fetch import NextFetch
    from gateway.plan_cache import PlanCache
    from gateway.registry import ApiTable


@dataclass(slots=True, kw_only=True, eq=False)
class GatewayServices:
    """One per gateway, shared by all of its connections."""

    controller: ControllerClient
    routes: RouteFollower
    router: Router
    block_cache: BlockCache
    plan_cache: "PlanCache"
    clock: Clock
    rng: Random
    limits: GatewayLimits
    log: RoleLogger
    apis: "ApiTable"
    broker: BrokerEndpoint
    """The broker that this gateway is one process of, as clients see it."""
    producer_ids: ProducerIds
    uploader: Uploader
    answers: Budget = field(init=False)
    """Bytes of records read from the bucket for answers being made, and of answers that clients have not taken."""
    metadata_cache: MetadataCache = field(init=False)
    produce_shapes: ProduceShapes = field(init=False, default_factory=ProduceShapes)

    def __post_init__(self) -> None:
        self.answers = Budget(self.limits.fetch_total_bytes_max)
        self.metadata_cache = MetadataCache(self.limits.metadata_cache_partitions)


class Client(Protocol):
    """The connection that a request came on, as handlers see it."""

    host: str
    """As Kafka shows it, without port: ``127.0.0.1``."""
    port: int
    fetch_turn: asyncio.Lock
    """Held by the one fetch of the connection that runs."""
    next_fetch: "NextFetch"
    """What is ready for the one after it."""

    @property
    def is_writable(self) -> bool:
        """The client has taken most of its answers."""
        ...

    async def ready_for_records(self) -> None:
        """Wait until ``is_writable``.

        Raises ConnectionResetError when the connection is gone.
        """
        ...

    def when_sent(self, then: Callable[[], None]) -> None:
        """Call ``then`` when the answer that is being made has left: there is nothing to do for the client until it has taken it
        and asks again. Only the last one is called, and none once the connection is gone."""
        ...

    def hold(self, budget: Budget) -> None:
        """Read no further request of this client while ``budget`` is over its limit."""
        ...


@dataclass(slots=True, eq=False)
class RequestContext:
    """One request's surroundings. Not kept once the answer is made."""

    services: GatewayServices
    client: Client
    head: RequestHead
    frame: Buffer
    """The request as received, header included, length prefix not."""
    passed_to: LeaderId | None = None
    """The leader that has got the frame as it is."""

    @property
    def table(self) -> RoutingTable:
        """The routing table of this moment."""
        return self.services.routes.table

    @property
    def controller(self) -> ControllerClient:
        return self.services.controller

    @property
    def router(self) -> Router:
        return self.services.router

    @property
    def uploader(self) -> Uploader:
        return self.services.uploader

    @property
    def client_host(self) -> str:
        return self.client.host

    @property
    def client_zone(self) -> str | None:
        """Where the client is, as far as that makes a difference."""
        return client_zone(self.table, self.client_id, self.services.broker)

    @property
    def client_id(self) -> str:
        """As the client says; empty when it says nothing."""
        return self.head.client_id or ""
