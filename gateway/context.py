"""What a handler gets beside the request: who asks, and the gateway's services."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.limits import GatewayLimits
from gateway.router import Router
from gateway.routing import RouteFollower
from raylog.model.admin import ControllerClient
from raylog.model.clock import Clock, Random
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


@dataclass(slots=True, eq=False)
class RequestContext:
    """One request's surroundings. Not kept once the answer is made."""

    services: GatewayServices
    head: RequestHead
    frame: memoryview
    """The request as received, header included, length prefix not."""
    client_host: str
    """The client's address as Kafka shows it, without port: ``127.0.0.1``."""
    client_port: int

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
    def client_id(self) -> str:
        """As the client says; empty when it says nothing."""
        return self.head.client_id or ""
