"""Connections between processes: streams with delay, back-pressure, breaks and silences.

- Bytes arrive in order and once, or not at all after a break; a break is seen by both sides, each in its own time.
- A silence holds all that goes between two nodes until it is over, as retransmission does; connecting takes as long.
- A dead process's connections are reset. A paused one's stay: bytes wait for it.
"""

import asyncio
from collections import deque
from random import Random
from typing import Any

from tests.sim.loop import Process, SimLoop, this_process
from tests.sim.trace import Trace

_DELAY_S = (0.0001, 0.003)
_DELAY_S_SELDOM = 0.2
_NEXT_S = 1e-7
"""Between two pieces on one connection, so that they keep their order."""
_FIRST_PORT = 20_000


class SimSocket:
    """What ``bound_socket`` gives: a place to listen at."""

    def __init__(self, host: str, port: int) -> None:
        self.address = (host, port)

    def getsockname(self) -> tuple[str, int]:
        return self.address

    def close(self) -> None:
        """Nothing is held."""


class SimServer:
    def __init__(self, network: "SimNetwork", factory: Any, process: Process, sockets: list[SimSocket]) -> None:
        self._network = network
        self.factory = factory
        self.process = process
        self.sockets = sockets
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


class SimTransport(asyncio.Transport):
    """One side of a connection."""

    def __init__(self, network: "SimNetwork", process: Process, peer_name: object) -> None:
        super().__init__({"peername": peer_name})
        self._network = network
        self._loop = network.loop
        self._inbox: deque[bytes] = deque()
        self._is_read_paused = False
        self._is_write_paused = False
        self._untaken_bytes = 0
        self._high = 64 * 1024
        self._last_arrival = 0.0
        self._ending: str | None = None
        self._is_pumping = False
        self.process = process
        self.peer: SimTransport
        self.protocol: Any = None
        self.is_gone = False
        self.loses_data = False
        """What is on its way to this side gets lost."""

    def get_protocol(self) -> Any:
        return self.protocol

    def is_closing(self) -> bool:
        return self.is_gone

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = 64 * 1024 if high is None else high

    def get_write_buffer_size(self) -> int:
        return self._untaken_bytes

    def pause_reading(self) -> None:
        self._is_read_paused = True

    def resume_reading(self) -> None:
        self._is_read_paused = False
        self._loop.call_soon(self._pump)

    def is_reading(self) -> bool:
        return not self._is_read_paused

    def write(self, data: Any) -> None:
        if self.is_gone or not data:
            return
        content = bytes(data)
        self._untaken_bytes += len(content)
        self._push(self.peer._arrived, content)
        if self._untaken_bytes > self._high and not self._is_write_paused:
            self._is_write_paused = True
            self.protocol.pause_writing()

    def close(self) -> None:
        self._leave("eof", None)

    def abort(self) -> None:
        self._leave("reset", None)

    def cut(self, error: Exception | None) -> None:
        """The connection breaks; this side hears of it now."""
        self._leave("reset", error)

    def _leave(self, ending: str, error: Exception | None) -> None:
        if self.is_gone:
            return
        self.is_gone = True
        self._network.open.pop(self, None)
        self._inbox.clear()
        self._push(self.peer._ended, ending)
        if self.protocol is not None:
            self._loop.call_soon(self.protocol.connection_lost, error, context=self.process.context())

    def _push(self, callback: Any, argument: object) -> None:
        """Have the other side see something after the delay, in order."""
        arrives = self._loop.time() + self._network.delay_s(self.process, self.peer.process)
        self._last_arrival = arrives = max(arrives, self._last_arrival + _NEXT_S)
        self._loop.call_at(arrives, callback, argument, context=self.peer.process.context())

    def _arrived(self, content: bytes) -> None:
        if not self.is_gone and not self.loses_data:
            self._inbox.append(content)
            self._pump()

    def _ended(self, ending: str) -> None:
        self._ending = ending
        if ending == "reset":
            self._inbox.clear()
        self._pump()

    def _pump(self) -> None:
        if self._is_pumping or self.is_gone or self.protocol is None:
            return
        self._is_pumping = True
        try:
            while self._inbox and not self._is_read_paused and not self.is_gone:
                self._feed(self._inbox.popleft())
        finally:
            self._is_pumping = False
        if self._ending is not None and not self._inbox and not self.is_gone:
            error = ConnectionResetError("Connection reset by peer") if self._ending == "reset" else None
            self.is_gone = True
            self._network.open.pop(self, None)
            self.protocol.connection_lost(error)

    def _feed(self, content: bytes) -> None:
        view = memoryview(content)
        while view and not self._is_read_paused and not self.is_gone:
            room = self.protocol.get_buffer(len(view))
            taken = min(len(room), len(view))
            room[:taken] = view[:taken]
            view = view[taken:]
            self.peer._taken(taken)
            self.protocol.buffer_updated(taken)
        if view and not self.is_gone:
            self._inbox.appendleft(bytes(view))

    def _taken(self, size_bytes: int) -> None:
        self._untaken_bytes -= size_bytes
        if self._is_write_paused and self._untaken_bytes <= self._high // 4 and not self.is_gone:
            self._is_write_paused = False
            self._loop.call_soon(self.protocol.resume_writing, context=self.process.context())


class SimNetwork:
    def __init__(self, loop: SimLoop, rng: Random, trace: Trace) -> None:
        self.loop = loop
        loop.network = self
        self._rng = rng
        self._trace = trace
        self._servers: dict[object, SimServer] = {}
        self._last_port = _FIRST_PORT
        self._silent_until: dict[frozenset[str], float] = {}
        self.open: dict[SimTransport, None] = {}

    def bind(self, host: str, port: int, *, reuse_port: bool = False) -> SimSocket:
        if not port:
            self._last_port += 1
            port = self._last_port
        return SimSocket(host, port)

    def listen(self, factory: Any, socket: SimSocket) -> SimServer:
        return self._listen(socket.address, factory, [socket])

    def listen_unix(self, factory: Any, path: str) -> SimServer:
        return self._listen(path, factory, [])

    async def connect(self, factory: Any, address: Any) -> tuple[SimTransport, Any]:
        """Raises ConnectionRefusedError when nobody listens."""
        process = this_process()
        assert process is not None, "a process connects"
        server = self._servers.get(address)
        away = 0.001 if server is None else self.delay_s(process, server.process)
        await asyncio.sleep(away)
        server = self._servers.get(address)
        if server is None or server.is_closed or server.process.is_dead:
            raise ConnectionRefusedError(111, "Connection refused")
        near = SimTransport(self, process, address)
        far = SimTransport(self, server.process, ("10.0.0.1", 1) if isinstance(address, tuple) else "")
        near.peer, far.peer = far, near
        self.open[near] = self.open[far] = None
        self.loop.call_soon(self._accept, server, far, context=server.process.context())
        near.protocol = factory()
        near.protocol.connection_made(near)
        return near, near.protocol

    def delay_s(self, one: Process, other: Process) -> float:
        rng = self._rng
        delay = rng.uniform(*_DELAY_S)
        if rng.random() < 0.01:
            delay += rng.uniform(0, _DELAY_S_SELDOM)
        until = self._silent_until.get(frozenset((one.node, other.node)), 0.0) if one.node != other.node else 0.0
        return max(delay, until - self.loop.time() + delay)

    def silence(self, one: str, other: str, seconds: float) -> None:
        """Nothing gets through between two nodes for a while."""
        self._silent_until[frozenset((one, other))] = self.loop.time() + seconds

    def heal(self) -> None:
        """New bytes get through again."""
        self._silent_until.clear()

    def break_one(self) -> None:
        """Some connection breaks; what is on its way may be lost."""
        if not self.open:
            return
        near = self._rng.choice(list(self.open))
        self._trace.event("break", f"{near.process.name} - {near.peer.process.name}")
        near.peer.loses_data = self._rng.random() < 0.5
        near.loses_data = self._rng.random() < 0.5
        self.loop.call_soon(near.cut, ConnectionResetError("Connection reset by peer"), context=near.process.context())

    def drop(self, process: Process) -> None:
        """The process has died: its connections are reset."""
        for transport in [transport for transport in self.open if transport.process is process]:
            transport.peer.loses_data = self._rng.random() < 0.3
            transport.cut(None)

    def _listen(self, address: object, factory: Any, sockets: list[SimSocket]) -> SimServer:
        process = this_process()
        assert process is not None, "a process listens"
        server = self._servers[address] = SimServer(self, factory, process, sockets)
        return server

    def _accept(self, server: SimServer, transport: SimTransport) -> None:
        if server.is_closed:
            transport.cut(None)
            return
        transport.protocol = server.factory()
        transport.protocol.connection_made(transport)
        transport._pump()
