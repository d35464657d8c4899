"""What a handler gets beside the request: who asks, and the gateway's services."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gateway.budget import Budget
from gateway.producer_ids import ProducerIds
from gateway.router import Router
from gateway.routing import RouteFollower
from raylog.model.admin import ControllerClient
from raylog.model.buffers import Buffer
from raylog.model.clock import Clock, Random
from raylog.model.limits import GatewayLimits
from raylog.model.routing import BrokerEndpoint, RoutingTable
from raylog.protocol.wire import RequestHead
from raylog.storage.object_store import ObjectStore

if TYPE_CHECKING:
    from gateway.registry import ApiTable


@dataclass(slots=True, kw_only=True, eq=False)
class GatewayServices:
    """One per gateway, shared by all of its connections."""

    controller: ControllerClient
    routes: RouteFollower
    router: Router
    store: ObjectStore
    clock: Clock
    rng: Random
    limits: GatewayLimits
    apis: "ApiTable"
    broker: BrokerEndpoint
    """The broker that this gateway is one process of, as clients see it."""
    producer_ids: ProducerIds


class Client(Protocol):
    """The connection that a request came on, as handlers see it."""

    host: str
    """As Kafka shows it, without port: ``127.0.0.1``."""
    port: int

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
    def client_host(self) -> str:
        return self.client.host

    @property
    def client_id(self) -> str:
        """As the client says; empty when it says nothing."""
        return self.head.client_id or ""
