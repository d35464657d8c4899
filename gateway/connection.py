"""One client connection: requests run side by side, answers leave in the order of the requests.

- Each request has a slot in a queue. An answer fills its slot; whatever is filled at the queue's head leaves. A request without
  an answer (acks=0) keeps its slot until it is done, so that its bytes count as in flight and later answers keep their place.
- The socket is not read while too much is in flight (of this client, of all, or to one leader), or while the client does not
  take its answers: back-pressure reaches the sender.
- Bytes that are no request of a served API and version close the connection, as in Kafka. Nothing that a client sends raises into
  the event loop or reaches another connection.
- Authentication will come between ``frame_received`` and ``_dispatch``: until it has succeeded only its own APIs are dispatched.
  TLS is the server's: this class sees plain bytes.
"""

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final, Protocol

from kio.static.protocol import Payload

from gateway.answer_errors import error_codes
from gateway.budget import Budget
from gateway.cluster_view import said_zone
from gateway.context import GatewayServices, RequestContext
from gateway.log_limit import LogLimit
from gateway.metrics import GatewayMetrics
from gateway.next_fetch import NextFetch
from gateway.registry import Answer, Api, CloseConnection
from gateway.zone_traffic import Link, ZoneTraffic
from raylog.model.buffers import Buffer
from raylog.model.errors import InvalidError, RetryError, StaleRouteError
from raylog.model.logs import RoleLogger, fields
from raylog.protocol.file_range import Part
from raylog.protocol.framing import SIZE_BYTES, FrameProtocol
from raylog.protocol.internal import ERROR_BIT
from raylog.protocol.single_produce import PRODUCE, ProduceRecogniser
from raylog.protocol.wire import (
    RequestHead,
    decode_request,
    decode_response,
    encode_response,
    request_head,
    response_correlation_id,
    with_correlation_id,
)

_BUFFERS: Final = (bytes, memoryview, bytearray)
_SAME_MACHINE_SEND_BYTES: Final = 208 * 1024
"""The system's send buffer (SO_SNDBUF) for a client on this machine: what Linux gives to anybody by default (net.core.wmem_max).
With 512 KiB, or the megabytes that it takes by itself, client and gateway work in turns, in long bursts, instead of side by side,
and consumers get a fifth less; with 96 KiB the gateway is woken so often that those of twelve partitions get a tenth less. On a
network, bandwidth times delay may be more, so there the system's own choice stands."""


class ConnectionHost(Protocol):
    """What connections share."""

    services: GatewayServices
    metrics: GatewayMetrics
    zones: ZoneTraffic
    log: RoleLogger
    log_limit: LogLimit
    """For connections that are refused."""
    error_log_limit: LogLimit
    """For answers with errors."""
    in_flight: Budget
    """Requests that are not answered yet, all connections."""
    arriving: Budget
    """Large requests of which a part has arrived, all connections."""

    def opened(self, connection: "ClientConnection") -> bool:
        """False: there are too many connections."""
        ...

    def gone(self, connection: "ClientConnection", tasks: set[asyncio.Task[Answer]]) -> None:
        """The connection is closed; ``tasks`` are cancelled handlers, to be awaited."""
        ...


class _Slot:
    """A request's place in the queue of answers."""

    __slots__ = ("api", "buffers", "head", "received_s", "size_bytes")

    def __init__(self, api: Api, head: RequestHead, size_bytes: int, received_s: float) -> None:
        self.api = api
        self.head = head
        self.size_bytes = size_bytes
        self.received_s = received_s
        self.buffers: Sequence[Part] | None = None
        """The answer, ready to send; empty where none is sent; None while it is not there."""


class ClientConnection(FrameProtocol):
    """One client, as the server, the handlers (``gateway.context.Client``) and the transport see it."""

    def __init__(self, shared: ConnectionHost) -> None:
        limits = shared.services.limits
        super().__init__(max_frame_bytes=limits.request_bytes_max)
        self.fetch_turn = asyncio.Lock()
        self.next_fetch = NextFetch()
        self.host = ""
        self.port = -1
        self.last_active_s = shared.services.clock.monotonic()
        self._shared = shared
        self._services = shared.services
        self._clock = shared.services.clock
        self._limits = limits
        self._recogniser = ProduceRecogniser(shared.services.produce_shapes)
        self._slots: deque[_Slot] = deque()
        self._slot_bytes = 0
        self._holds = 0
        """Budgets over their limit that this connection waits for."""
        self._arriving_bytes = 0
        self._arriving_since_s = 0.0
        self._untaken_bytes = 0
        self._untaken_since_s = 0.0
        self._closing_since_s: float | None = None
        self._tasks: set[asyncio.Task[Answer]] = set()
        self._has_asked = False
        self._is_gone = False
        self._is_finishing = False
        self._when_sent: Callable[[], None] | None = None

    # What the server asks

    @property
    def is_idle(self) -> bool:
        """No request is in flight."""
        return not self._slots

    def arriving_since(self) -> float | None:
        """Since when a large request has been on its way, None when none is."""
        return self._arriving_since_s if self._arriving_bytes else None

    def untaken_since(self) -> float | None:
        """Since when the client has been slow to take its answers, None when it is not."""
        return self._untaken_since_s if self._untaken_bytes else None

    def closing_since(self) -> float | None:
        """Since when the connection has been closing, None when it is not: a client that takes nothing keeps it so."""
        return self._closing_since_s

    def close(self) -> None:
        if self._closing_since_s is None:
            self._closing_since_s = self._clock.monotonic()
        super().close()

    def finish(self) -> None:
        """Read nothing more, answer what is in flight, then close."""
        self._is_finishing = True
        self._regulate_reading()
        if not self._slots:
            self.close()

    def refuse(self, reason: str, message: str, head: RequestHead | None = None) -> None:
        """Close once what is answered is sent, count why, and say so in the log (at info, within its limit)."""
        self._shared.metrics.refused.labels(reason).inc()
        if self._shared.log_limit.allows():
            self._log(head, message, self._shared.log_limit)
        self.close()

    def _log(self, head: RequestHead | None, message: str, limit: LogLimit, **values: object) -> None:
        asked = {} if head is None else head._asdict()
        asked.pop("body_start", None)
        suppressed = limit.take_suppressed()
        if suppressed:
            values["suppressed"] = suppressed
        self._shared.log.info(message, extra=fields(client=self.peer_name, **asked, **values))

    # What handlers ask

    def hold(self, budget: Budget) -> None:
        """Read no further request of this client while ``budget`` is over its limit."""
        self._holds += 1
        budget.when_below(self._released)
        self._regulate_reading()

    def when_sent(self, then: Callable[[], None]) -> None:
        self._when_sent = then

    async def ready_for_records(self) -> None:
        await self.drained()

    # FrameProtocol's hooks

    def connection_opened(self) -> None:
        peer = self._transport.get_extra_info("peername") if self._transport is not None else None
        if isinstance(peer, tuple):
            self.host, self.port = peer[0], peer[1]
        self.limit_unsent(self._limits.answer_bytes_max)
        if self.is_of_this_machine:
            self.limit_send_buffer(_SAME_MACHINE_SEND_BYTES)
        if not self._shared.opened(self):
            self.refuse("limit", "there are too many connections")

    def connection_closed(self, error: Exception | None) -> None:
        self._is_gone = True
        for task in self._tasks:
            task.cancel()
        self._shared.gone(self, self._tasks)
        self._shared.in_flight.give_back(self._slot_bytes)
        self._slots.clear()
        self._slot_bytes = 0
        self._when_sent = None
        self.next_fetch.drop()
        self._arrived()
        self._taken()

    def frame_refused(self, error: InvalidError) -> None:
        self.refuse("frame", str(error))

    def frame_announced(self, size_bytes: int) -> bool:
        for budget in (self._shared.in_flight, self._shared.arriving):
            if budget.is_over:
                self.hold(budget)
                return False
        self._arriving_bytes = size_bytes
        self._arriving_since_s = self._clock.monotonic()
        self._shared.arriving.take(size_bytes)
        return True

    def frame_received(self, frame: bytes | memoryview) -> None:
        if self._arriving_bytes:
            self._arrived()
        single = self._recogniser.recognise(frame)
        if single is not None:
            self._dispatch(self._services.apis[PRODUCE], single.head, frame, single)
            return
        head = None
        try:
            head = request_head(frame)
            if not self._has_asked:
                self._first_asked(head)
            api = self._services.apis.get(head.api_key)
            if api is None or not api.min_version <= head.api_version <= api.max_version:
                self._answer_unsupported(api, head, frame)
                return
            request = decode_request(frame, head)[1]
        except InvalidError as error:
            self.refuse("request", str(error), head)
            return
        self._recogniser.learn(frame, head, request)
        self._dispatch(api, head, frame, request)

    def _first_asked(self, head: RequestHead) -> None:
        """A client says the same of itself in all of a connection's requests. The first one is of no known shape."""
        self._has_asked = True
        zone = said_zone(self._services.routes.table, head.client_id or "")
        if zone is not None:
            self._shared.zones.count(self, Link.CLIENT, zone)

    def resume_writing(self) -> None:
        self._taken()
        super().resume_writing()
        self._regulate_reading()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._regulate_reading()

    def files_sent(self) -> None:
        if self._when_sent is not None and not self.is_sending_files:
            then, self._when_sent = self._when_sent, None
            then()

    # From request to answer

    def _dispatch(self, api: Api, head: RequestHead, frame: Buffer, request: Any) -> None:
        context = RequestContext(self._services, self, head, frame)
        slot = self._new_slot(api, head, len(frame))
        try:
            answer = api.handler(context, request)
        except Exception as error:  # noqa: BLE001  (a handler's bug must not reach the event loop: it is logged and closes)
            self._failed(slot, context, error)
            return
        if isinstance(answer, asyncio.Future):
            answer.add_done_callback(partial(self._done, slot, context))
        elif inspect.iscoroutine(answer):
            self._run(slot, context, answer)
        else:
            assert not isinstance(answer, Awaitable)
            self._answered(slot, context, answer)

    def _run(self, slot: _Slot, context: RequestContext, answer: Coroutine[Any, Any, Answer]) -> None:
        task = asyncio.get_running_loop().create_task(answer)
        self._tasks.add(task)
        task.add_done_callback(partial(self._task_done, slot, context))

    def _new_slot(self, api: Api, head: RequestHead, size_bytes: int) -> _Slot:
        slot = _Slot(api, head, size_bytes, self._clock.monotonic())
        self.last_active_s = slot.received_s
        self._slots.append(slot)
        self._slot_bytes += size_bytes
        in_flight = self._shared.in_flight
        in_flight.take(size_bytes)
        if in_flight.is_over:
            self.hold(in_flight)
        elif (
            self._slot_bytes > self._limits.connection_bytes_max
            or len(self._slots) >= self._limits.connection_requests_max
        ):
            self._regulate_reading()
        return slot

    def _task_done(self, slot: _Slot, context: RequestContext, task: asyncio.Task[Answer]) -> None:
        self._tasks.discard(task)
        self._done(slot, context, task)

    def _done(self, slot: _Slot, context: RequestContext, answer: asyncio.Future[Answer]) -> None:
        if answer.cancelled():
            if not self._is_gone:
                self._failed(slot, context, CloseConnection("The request was cancelled."))
            return
        error = answer.exception()
        if self._is_gone:
            return
        if error is not None:
            self._failed(slot, context, error)
        else:
            self._answered(slot, context, answer.result())

    def _failed(self, slot: _Slot, context: RequestContext, error: BaseException) -> None:
        self._shared.metrics.apis[slot.api.key].failures += 1
        if isinstance(error, StaleRouteError | RetryError) and slot.api.failed is not None:
            self._answered(slot, context, slot.api.failed(context, error))
            return
        if isinstance(error, CloseConnection | InvalidError):
            self.refuse("request", str(error), slot.head)
            return
        self._shared.log.error(
            "a request failed; its connection is closed",
            exc_info=error,
            extra=fields(
                client=self.peer_name,
                client_id=slot.head.client_id,
                api=slot.api.name,
                api_version=slot.head.api_version,
                correlation_id=slot.head.correlation_id,
            ),
        )
        self.close()

    def _answered(self, slot: _Slot, context: RequestContext, answer: Answer) -> None:
        correlation_id = slot.head.correlation_id
        try:
            if answer is None:
                slot.buffers = ()
            elif isinstance(answer, _BUFFERS):
                has_error = bool(response_correlation_id(answer) & ERROR_BIT)
                if has_error and slot.api.ask_again is not None:
                    again = slot.api.ask_again(context, answer)
                    if again is not None:
                        self._run(slot, context, again)
                        return
                slot.buffers = with_correlation_id(answer, correlation_id, request=False)
                if has_error:
                    self._note_errors(slot, decode_response(slot.api.key, slot.head.api_version, answer)[1])
            else:
                slot.buffers = encode_response(correlation_id, answer)
                self._note_errors(slot, answer)
        except Exception as error:  # noqa: BLE001  (as in _dispatch: kio raises many kinds for a value that does not fit)
            self._failed(slot, context, AssertionError(f"The answer cannot be written: {error!r}"))
            return
        if self._slots and self._slots[0] is slot:
            self._send_filled()

    def _note_errors(self, slot: _Slot, answer: Payload) -> None:
        """Count the answer's error codes, and log them so that a client's error can be found by its correlation id."""
        codes = error_codes(answer)
        for code in codes:
            self._shared.metrics.error(slot.api.key, code)
        if codes and self._shared.error_log_limit.allows():
            names = ",".join(sorted(code.name.upper() for code in codes))
            self._log(
                slot.head, f"{slot.api.name} was answered with an error", self._shared.error_log_limit, errors=names
            )

    def _send_filled(self) -> None:
        now = self._clock.monotonic()
        slots = self._slots
        while slots and (buffers := slots[0].buffers) is not None:
            slot = slots.popleft()
            self._slot_bytes -= slot.size_bytes
            self._shared.in_flight.give_back(slot.size_bytes)
            if buffers:
                self.write(buffers)
            answer_bytes = sum(map(len, buffers))
            if not self.is_writable:
                self._not_taken(answer_bytes)
            metrics = self._shared.metrics.apis[slot.api.key]
            metrics.answered(now - slot.received_s, slot.size_bytes + SIZE_BYTES, answer_bytes)
        self.last_active_s = now
        if self._when_sent is not None:
            asyncio.get_running_loop().call_soon(self.files_sent)
        if self._is_finishing and not slots:
            self.close()
        elif not self.is_reading:
            self._regulate_reading()

    def _answer_unsupported(self, api: Api | None, head: RequestHead, frame: Buffer) -> None:
        if api is None or api.unsupported is None:
            self.refuse("request", "a request of an API or version that is not served", head)
            return
        context = RequestContext(self._services, self, head, frame)
        slot = self._new_slot(api, head, len(frame))
        self._answered(slot, context, api.unsupported(context))

    # Back-pressure

    def _regulate_reading(self) -> None:
        limits = self._limits
        is_full = self._slot_bytes > limits.connection_bytes_max or len(self._slots) >= limits.connection_requests_max
        if is_full or self._holds or self._is_finishing or not self.is_writable:
            self.pause_reading()
        else:
            self.resume_reading()

    def _released(self) -> None:
        self._holds -= 1
        if not self._is_gone:
            self._regulate_reading()

    def _not_taken(self, size_bytes: int) -> None:
        if not self._untaken_bytes:
            self._untaken_since_s = self._clock.monotonic()
        self._untaken_bytes += size_bytes
        self._services.answers.take(size_bytes)

    def _taken(self) -> None:
        self._services.answers.give_back(self._untaken_bytes)
        self._untaken_bytes = 0

    def _arrived(self) -> None:
        self._shared.arriving.give_back(self._arriving_bytes)
        self._arriving_bytes = 0
