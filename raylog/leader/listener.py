"""The internal listener: a unix socket for the node's own gateways, TCP for the others. Kafka's protocol, answered out of order.

Rules:

- A broken frame, an unknown API or version, or a handler that fails closes that connection, and no other.
- Once the leader is fenced nothing more is written: connections are aborted, not closed.
- A connection whose peer does not take its answers is not read; one whose produce has to wait for room is not read either.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kio.static.protocol import Payload

from raylog.leader.call import Call
from raylog.leader.registry import LeaderApi
from raylog.model.errors import FencedError, InvalidError
from raylog.model.logs import fields
from raylog.protocol.framing import FrameProtocol
from raylog.protocol.internal import ERROR_BIT, PLAN_BIT, has_error
from raylog.protocol.single_produce import PRODUCE, ProduceRecogniser, ProduceShapes
from raylog.protocol.wire import RequestHead, api_name, decode_request, encode_response

if TYPE_CHECKING:
    from raylog.leader.context import LeaderContext

_CLOSE_S_MAX = 2.0


class LeaderConnection(FrameProtocol):
    """One gateway's connection."""

    def __init__(self, listener: "Listener") -> None:
        super().__init__(max_frame_bytes=listener.leader.limits.frame_bytes_max)
        self._listener = listener
        self._leader = listener.leader
        self._apis = listener.apis
        self._metrics = listener.leader.metrics
        self._recogniser = ProduceRecogniser(listener.produce_shapes)
        self._tasks: set[asyncio.Task[None]] = set()
        self._holds = 0
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """The transport is gone."""

    def connection_opened(self) -> None:
        if self._listener.is_closed:
            self.abort()
            return
        self._listener.connections[self] = None
        assert self._transport is not None
        self._transport.set_write_buffer_limits(high=self._leader.limits.answer_bytes_max)

    def connection_closed(self, error: Exception | None) -> None:
        self._listener.connections.pop(self, None)
        if not self.closed.done():
            self.closed.set_result(None)
        for task in self._tasks:
            task.cancel()

    def frame_refused(self, error: InvalidError) -> None:
        self._warn("a connection sent a frame that is not acceptable", error)

    def frame_received(self, frame: bytes | memoryview) -> None:
        single = self._recogniser.recognise(frame)
        if single is not None:
            self._serve(self._apis[PRODUCE], Call(self._leader, self, single.head, single, len(frame)))
            return
        try:
            head, request = decode_request(frame)
        except InvalidError as error:
            self._warn("a connection sent a request that cannot be read", error)
            self.close()
            return
        api = self._apis.get(head.api_key)
        if api is None or not api.min_version <= head.api_version <= api.max_version:
            self._warn(
                "a connection asked for what leaders do not serve",
                InvalidError(f"{api_name(head.api_key)} version {head.api_version} is not served by leaders."),
            )
            self.close()
            return
        self._recogniser.learn(frame, head, request)
        self._serve(api, Call(self._leader, self, head, request, len(frame)))

    def _serve(self, api: LeaderApi, call: Call) -> None:
        self._metrics.request(api.key, call.size_bytes)
        if api.is_async:
            task = asyncio.get_running_loop().create_task(self._run(api, call))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        try:
            response = api.handler(call)
        except Exception as error:  # noqa: BLE001 (whatever it is ends this connection, and is logged)
            self._failed(call.head, error)
        else:
            if response is not None:
                self.answer(call.head, response)  # type: ignore[arg-type]

    def answer(self, head: RequestHead, response: Payload, *, has_plan: bool = False) -> None:
        if self.is_closed or self._leader.is_stopped:
            return
        correlation_id = head.correlation_id | PLAN_BIT if has_plan else head.correlation_id
        if has_error(response):
            correlation_id |= ERROR_BIT
        self.write(encode_response(correlation_id, response))

    def answer_encoded(self, frame: bytes) -> None:
        if not self.is_closed and not self._leader.is_stopped:
            self.write((frame,))

    def pause_writing(self) -> None:
        super().pause_writing()
        self.hold_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.release_reading()

    def hold_reading(self) -> None:
        """One more reason not to read this connection."""
        self._holds += 1
        self.pause_reading()

    def release_reading(self) -> None:
        """One reason fewer."""
        self._holds -= 1
        if not self._holds:
            self.resume_reading()

    async def finished(self) -> None:
        """Wait for the handlers that still run."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _run(self, api: LeaderApi, call: Call) -> None:
        try:
            response = await api.handler(call)  # type: ignore[misc]
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 (whatever it is ends this connection, and is logged)
            self._failed(call.head, error)
        else:
            if response is not None:
                self.answer(call.head, response)

    def _failed(self, head: RequestHead, error: Exception) -> None:
        if isinstance(error, AssertionError):
            self._leader.fail(error)
        elif not isinstance(error, FencedError):
            self._leader.log.error(
                "a request could not be served, its connection is closed",
                exc_info=error,
                extra=fields(
                    api=api_name(head.api_key), correlation_id=head.correlation_id, client=head.client_id or ""
                ),
            )
        self.abort()

    def _warn(self, message: str, error: Exception) -> None:
        self._leader.log.warning(message, extra=fields(peer=self.peer_name, error=error))


class Listener:
    """Both servers of a leader."""

    def __init__(self, leader: "LeaderContext", apis: Mapping[int, LeaderApi]) -> None:
        self.leader = leader
        self.apis = apis
        self.connections: dict[LeaderConnection, None] = {}
        """A dict for its order: they end in the order in which they came, in every run."""
        self.produce_shapes = ProduceShapes()
        self.is_closed = False
        self._servers: list[asyncio.AbstractServer] = []

    async def start(self, unix_path: Path, tcp_host: str) -> int:
        """Listen; returns the TCP port. Socket files that earlier opens of the leader left are removed."""
        loop = asyncio.get_running_loop()
        _remove_older(unix_path)
        self._servers.append(await loop.create_unix_server(lambda: LeaderConnection(self), str(unix_path)))
        tcp = await loop.create_server(lambda: LeaderConnection(self), tcp_host, 0)
        self._servers.append(tcp)
        return int(tcp.sockets[0].getsockname()[1])

    def abort(self) -> None:
        """Drop every connection, unsent answers with it, and take no more."""
        self._stop_accepting()
        for connection in list(self.connections):
            connection.abort()

    def stop_reading(self) -> None:
        """Take no more connections and no more requests."""
        self._stop_accepting()
        for connection in self.connections:
            connection.hold_reading()

    async def close(self) -> None:
        """Send what is answered, then close; a peer that does not take it is cut off."""
        self._stop_accepting()
        connections = list(self.connections)
        for connection in connections:
            connection.close()
        try:
            async with asyncio.timeout(_CLOSE_S_MAX):
                for connection in connections:
                    await connection.closed
        except TimeoutError:
            for connection in connections:
                connection.abort()
        await asyncio.gather(*(connection.finished() for connection in connections))

    def _stop_accepting(self) -> None:
        self.is_closed = True
        for server in self._servers:
            server.close()
        self._servers.clear()


def _remove_older(unix_path: Path) -> None:
    unix_path.parent.mkdir(parents=True, exist_ok=True)
    leader, epoch, _ = unix_path.name.split(".")
    for found in unix_path.parent.glob(f"{leader}.*.sock"):
        if int(found.name.split(".")[1]) <= int(epoch):
            found.unlink(missing_ok=True)
