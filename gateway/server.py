"""The gateway's listening socket and its client connections: how many, how long idle, and how they end."""

import asyncio
import socket
from typing import Final

from gateway.budget import Budget
from gateway.connection import ClientConnection
from gateway.context import GatewayServices
from gateway.log_limit import LogLimit
from gateway.metrics import GatewayMetrics
from gateway.registry import Answer
from gateway.zone_traffic import ZoneTraffic
from raylog.model.logs import RoleLogger

_BACKLOG: Final = 1024
_SWEEP_S: Final = 5.0
_STUCK_S: Final = 10.0
"""A client that takes nothing for so long may be closed, when the memory for untaken answers is used up."""
_CLOSING_S: Final = 10.0
"""A connection that closes has so long to hand over its last answers."""
_FINISH_POLL_S: Final = 0.02


def bound_socket(host: str, port: int, *, reuse_port: bool) -> socket.socket:
    """A TCP socket that does not listen yet; with ``reuse_port`` the kernel spreads connections over all that share the port.

    Raises OSError when the address is taken or not this machine's.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


class ClientServer:
    """Implements ``ConnectionHost``. ``run`` must be running while it serves."""

    def __init__(
        self, *, services: GatewayServices, metrics: GatewayMetrics, zones: ZoneTraffic, log: RoleLogger
    ) -> None:
        self.services = services
        self.metrics = metrics
        self.zones = zones
        self.log = log
        self.log_limit = LogLimit(services.clock)
        self.error_log_limit = LogLimit(services.clock, lines=100)
        self.in_flight = Budget(services.limits.total_bytes_max)
        self.arriving = Budget(services.limits.total_bytes_max)
        self._connections: dict[ClientConnection, None] = {}
        """A dict for its order: they end in the order in which they came, in every run."""
        self._ending: set[asyncio.Task[Answer]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, listener: socket.socket) -> None:
        """Accept connections. TLS would be a context given to ``create_server`` here."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: ClientConnection(self), sock=listener, backlog=_BACKLOG)

    async def run(self) -> None:
        """Close connections that do nothing for too long, until cancelled."""
        while True:
            await self.services.clock.sleep(_SWEEP_S)
            self._sweep()

    async def close(self) -> None:
        """Accept no more, answer what is in flight for ``close_s_max`` at most, then close every connection."""
        if self._server is None:
            return
        self._server.close()
        for connection in tuple(self._connections):
            connection.finish()
        deadline = self.services.clock.monotonic() + self.services.limits.close_s_max
        while self._connections and self.services.clock.monotonic() < deadline:
            await self.services.clock.sleep(_FINISH_POLL_S)
        await self.abort()

    async def abort(self) -> None:
        """Drop every connection at once."""
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._connections):
            connection.abort()
        while self._connections or self._ending:
            await asyncio.wait(self._ending, timeout=_FINISH_POLL_S) if self._ending else await self._breathe()

    def opened(self, connection: ClientConnection) -> bool:
        self._connections[connection] = None
        self.metrics.connections.inc()
        return len(self._connections) <= self.services.limits.connections_max

    def gone(self, connection: ClientConnection, tasks: set[asyncio.Task[Answer]]) -> None:
        self._connections.pop(connection, None)
        self.metrics.connections.dec()
        for task in tasks:
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _breathe(self) -> None:
        await self.services.clock.sleep(0)

    def _sweep(self) -> None:
        now = self.services.clock.monotonic()
        limits = self.services.limits
        for connection in tuple(self._connections):
            if _is_over(connection.closing_since(), now, _CLOSING_S):
                connection.abort()
            elif _is_over(connection.arriving_since(), now, limits.request_s_max):
                connection.refuse("idle", "a request took too long to arrive")
            elif connection.is_idle and now - connection.last_active_s > limits.connection_idle_s_max:
                connection.refuse("idle", "a connection was idle for too long")
            elif self.services.answers.is_over and _is_over(connection.untaken_since(), now, _STUCK_S):
                connection.refuse("slow", "a client did not take its answers while others waited for memory")
                connection.abort()
        self.metrics.in_flight_bytes.set(self.in_flight.taken_bytes)


def _is_over(since_s: float | None, now: float, limit_s: float) -> bool:
    return since_s is not None and now - since_s > limit_s
