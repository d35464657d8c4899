"""Connections to the leaders' internal listeners: many requests under way on each, answers in any order.

- A leader has one connection for each lane, so that answers full of records do not stand before small ones.
- A connection is made when it is first needed; requests wait for it, in order. When it cannot be made or drops, what is under way
  fails with StaleRouteError (UnansweredError if the leader may have got it), and for a short, growing time every further request
  does too.
- A leader whose connection has just dropped is waited for a moment, as one that starts again in a spare worker is back before its
  clients would try again. No longer: a client's answers leave in order, and those of other leaders wait behind.
- What was under way to it and may be done twice (``may_repeat``) is sent again then, before all that has come since. So it is for
  a leader that has moved to another endpoint.
- A leader that the routing table shows under a new endpoint gets new connections; the old ones are dropped with what is under
  way, because a fenced leader may never answer. A connection that was made to that very open before the table told of it stays.
- Bytes under way to a leader are counted in its ``budget``; whoever adds to one that is over its limit stops reading its client.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from enum import Enum
from functools import partial

from gateway.budget import Budget
from gateway.cluster_view import node_zone
from gateway.routing import RouteFollower
from gateway.zone_traffic import Link, ZoneTraffic
from raylog.model.buffers import Buffer
from raylog.model.clock import Clock, Random
from raylog.model.errors import RetryError, StaleRouteError, UnansweredError
from raylog.model.ids import LeaderId
from raylog.model.limits import GatewayLimits
from raylog.model.logs import RoleLogger, fields
from raylog.model.routing import LeaderEndpoint
from raylog.protocol.framing import FrameProtocol
from raylog.protocol.internal import CORRELATION_ID_MASK
from raylog.protocol.wire import response_correlation_id, with_correlation_id

_NEVER = float("inf")
_RETURN_S = 0.6
"""A leader that was lost is expected back for so long. With a bucket on this machine it takes 0.06 to 0.15 s for that, with one
that has S3's latencies 0.2 to 0.5."""
_RETURN_LOOK_S = 0.01
"""Between two tries to connect to it; one costs a few system calls."""
_REPEATS_MAX = 4
"""Of a request. A process that is about to end may take connections once or twice; one that ends with each request is no use."""
_BACK_OFF_S_MIN = 0.05
_BACK_OFF_S_MAX = 1.0
_SWEEP_S = 0.5
"""Between two looks for overdue requests; nobody waits less than a second for a leader."""

Wake = Callable[[LeaderId], Awaitable[None]]
"""Tells the controller that a leader is needed that takes no connections: it may rest. RetryError if it cannot be told."""
Connect = Callable[[LeaderEndpoint, Callable[[str], FrameProtocol]], Awaitable[object]]
"""Makes a connection to a leader's listener, with the protocol for the unix socket taken ('' for TCP). OSError when nobody
listens there."""


class Lane(Enum):
    """Which of a leader's connections a request takes."""

    PRODUCE = "produce"
    """Produce, and all else that has small answers."""
    FETCH = "fetch"


_LINKS = {Lane.PRODUCE: Link.LEADER_PRODUCE, Lane.FETCH: Link.LEADER_FETCH}


Encode = Callable[[int], list[Buffer]]
"""A request's bytes under a correlation id."""


class _UnderWay:
    """A request that a leader owes an answer for. Given up, it is under way all the same: its bytes may still be here."""

    __slots__ = ("answer", "deadline", "encode", "sends_before", "size_bytes")

    def __init__(self, answer: asyncio.Future[Buffer], size_bytes: int, deadline: float, encode: Encode | None) -> None:
        self.answer = answer
        self.size_bytes = size_bytes
        self.deadline = deadline
        self.encode = encode
        """If it may be sent again."""
        self.sends_before = 0
        """By other channels."""

    @property
    def may_repeat(self) -> bool:
        return self.encode is not None and not self.answer.done() and self.sends_before < _REPEATS_MAX


class LeaderChannel(FrameProtocol):
    """One connection to a leader, from before it is made until it is gone. Not used again after that."""

    def __init__(
        self,
        endpoint: LeaderEndpoint,
        budget: Budget,
        clock: Clock,
        limits: GatewayLimits,
        *,
        on_lost: Callable[["LeaderChannel"], None],
    ) -> None:
        """``on_lost`` is called when the connection was there and is not any more, before what is under way fails."""
        super().__init__(max_frame_bytes=limits.leader_frame_bytes_max)
        self.endpoint = endpoint
        self.unix_path = ""
        """The socket that it is connected to: of the endpoint, or of a later open of its leader."""
        self.budget = budget
        self.is_counted = False
        """Its bytes are, by zones: its leader's zone is known."""
        self.connecting: asyncio.Task[None] | None = None
        self.is_awaiting_return = False
        """Its leader was lost just now, and is going to be connected to wherever it comes back."""
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._under_way: dict[int, _UnderWay] = {}
        self._last_correlation_id = 0
        self._not_yet_sent: list[Buffer] | None = []
        """Frames that wait for the connection; None once it is there."""

    def at(self, unix_path: str) -> "LeaderChannel":
        """Itself, about to be connected to this socket."""
        self.unix_path = unix_path
        return self

    def follow(self, endpoint: LeaderEndpoint | None) -> bool:
        """Go on with that open of the leader, if this is a connection to it or may become one. Whether it is.

        None: the routes tell of its end, and not yet of the open that this one waits for, or has found.
        """
        if endpoint is None:
            return self.is_awaiting_return or self.unix_path not in ("", self.endpoint.unix_path)
        if self.is_awaiting_return or self.unix_path == endpoint.unix_path:
            self.endpoint = endpoint
        return self.endpoint == endpoint

    def send(
        self, encode: Encode, *, timeout_s: float | None = None, may_repeat: bool = False
    ) -> asyncio.Future[Buffer]:
        """Send what ``encode`` makes for a correlation id; the future gives the answer's frame.

        ``may_repeat``: to do it twice is to do it once, so it may be sent again where the answer to it was lost.
        """
        deadline = _NEVER if timeout_s is None else self._clock.monotonic() + timeout_s
        answer: asyncio.Future[Buffer] = self._loop.create_future()
        correlation_id = self._next_correlation_id()
        buffers = encode(correlation_id)
        size_bytes = len(buffers[0]) if len(buffers) == 1 else sum(map(len, buffers))
        self._under_way[correlation_id] = _UnderWay(answer, size_bytes, deadline, encode if may_repeat else None)
        self.budget.take(size_bytes)
        self._send_buffers(buffers)
        return answer

    def send_frame(
        self, frame: Buffer, *, timeout_s: float | None = None, may_repeat: bool = False
    ) -> asyncio.Future[Buffer]:
        """Pass a received request on under a correlation id of this channel, by reference."""
        return self.send(partial(with_correlation_id, frame, request=True), timeout_s=timeout_s, may_repeat=may_repeat)

    @property
    def has_repeatable(self) -> bool:
        """Something is under way, is waited for and may be sent again."""
        return any(request.may_repeat for request in self._under_way.values())

    def take_repeatable(self) -> list[_UnderWay]:
        """What that is, in order: it is another channel's from now on."""
        taken = {number: request for number, request in self._under_way.items() if request.may_repeat}
        for number, request in taken.items():
            del self._under_way[number]
            request.sends_before += self._not_yet_sent is None
        return list(taken.values())

    def repeat(self, requests: Iterable[_UnderWay]) -> None:
        """Send what was taken from another channel to the same leader."""
        for request in requests:
            assert request.encode is not None
            correlation_id = self._next_correlation_id()
            self._under_way[correlation_id] = request
            self._send_buffers(request.encode(correlation_id))

    def fail(self, reason: str) -> None:
        """Close, and fail whatever is under way. Idempotent."""
        self.abort()
        under_way, self._under_way = self._under_way, {}
        for request in under_way.values():
            self.budget.give_back(request.size_bytes)
            if not request.answer.done():
                may_be_done = request.sends_before or self._not_yet_sent is None
                request.answer.set_exception(UnansweredError(reason) if may_be_done else StaleRouteError(reason))

    def expire(self, now: float) -> None:
        """Fail what is under way past its deadline; a late answer is dropped.

        Its bytes count until then: a leader that takes nothing would otherwise be sent ever more.
        """
        for request in self._under_way.values():
            if request.deadline < now:
                request.deadline = _NEVER
                if not request.answer.done():
                    request.answer.set_exception(RetryError("The leader did not answer in time."))

    def connection_opened(self) -> None:
        if self.is_closed:
            self.abort()  # given up while it was being made
            return
        waiting, self._not_yet_sent = self._not_yet_sent, None
        if waiting:
            self.write(waiting)

    def frame_received(self, frame: bytes | memoryview) -> None:
        request = self._under_way.pop(response_correlation_id(frame) & CORRELATION_ID_MASK, None)
        if request is None:
            return
        self.budget.give_back(request.size_bytes)
        if not request.answer.done():
            request.answer.set_result(frame)

    def connection_closed(self, error: Exception | None) -> None:
        if self._not_yet_sent is None:
            self._on_lost(self)
        self.fail(f"Leader {self.endpoint.leader_id} closed the connection.")

    def _send_buffers(self, buffers: list[Buffer]) -> None:
        if self._not_yet_sent is None:
            self.write(buffers)
        else:
            self._not_yet_sent.extend(buffers)

    def _next_correlation_id(self) -> int:
        """Without the bits that answers use, and of no request under way (a long poll may outlive a turn of the count)."""
        while True:
            self._last_correlation_id = (self._last_correlation_id + 1) & CORRELATION_ID_MASK
            if self._last_correlation_id not in self._under_way:
                return self._last_correlation_id


class LeaderChannels:
    """The channels to all leaders. ``run`` and ``run_wakes`` must be running while they are used."""

    def __init__(
        self,
        *,
        routes: RouteFollower,
        node_id: str,
        clock: Clock,
        rng: Random,
        limits: GatewayLimits,
        log: RoleLogger,
        wake: Wake,
        zones: ZoneTraffic,
        connect: Connect | None = None,
    ) -> None:
        self._routes = routes
        self._clock = clock
        self._rng = rng
        self._limits = limits
        self._log = log
        self._wake = wake
        self._away: dict[LeaderId, None] = {}
        """Leaders that the controller is to be told of."""
        self._away_changed = asyncio.Event()
        self._zones = zones
        self._connect = connect or _ByEndpoint(node_id)
        self._channels: dict[tuple[LeaderId, Lane], LeaderChannel] = {}
        self._budgets: dict[LeaderId, Budget] = {}
        self._back_offs: dict[LeaderEndpoint, _BackOff] = {}
        self._lost_at_s: dict[LeaderId, float] = {}
        """When a connection to the leader dropped last; of those who are expected back."""

    def channel(self, leader_id: LeaderId, lane: Lane) -> LeaderChannel:
        """Raises StaleRouteError when the leader is not up, as far as is known."""
        endpoint = self._routes.table.leaders.get(leader_id)
        channel = self._channels.get((leader_id, lane))
        if channel is not None and not channel.is_closed:
            if channel.endpoint is endpoint or channel.follow(endpoint):
                return channel
            self._give_up(channel, lane, endpoint)
            successor = self._channels[leader_id, lane]
            if successor is not channel:
                return successor
        if endpoint is None:
            raise StaleRouteError(f"Leader {leader_id} is not up.")
        return self._new_channel(endpoint, lane)

    def budget(self, leader_id: LeaderId) -> Budget:
        """Bytes under way to the leader, all lanes."""
        budget = self._budgets.get(leader_id)
        if budget is None:
            budget = self._budgets[leader_id] = Budget(self._limits.leader_bytes_max)
        return budget

    async def is_reachable(self, leader_id: LeaderId) -> bool:
        """Whether the leader takes connections, tried now if there is none: routes may not tell yet that it is away."""
        try:
            channel = self.channel(leader_id, Lane.PRODUCE)
        except StaleRouteError:
            return False
        if channel.connecting is not None:
            await asyncio.wait((channel.connecting,))
        return not channel.is_closed

    async def run(self) -> None:
        """Fail what is overdue and what waits for leaders that have moved, until cancelled; then close all channels."""
        try:
            version = self._routes.table.version
            while True:
                version = (await self._routes.newer_than(version, _SWEEP_S)).version
                self._sweep()
        finally:
            for channel in self._channels.values():
                channel.fail("The gateway closes.")
            connecting = [task for channel in self._channels.values() if (task := channel.connecting) is not None]
            for task in connecting:
                task.cancel()
            await asyncio.gather(*connecting, return_exceptions=True)

    async def run_wakes(self) -> None:
        """Tell the controller of leaders that are needed and take no connections, until cancelled."""
        while True:
            await self._away_changed.wait()
            self._away_changed.clear()
            while self._away:
                leader_id = next(iter(self._away))
                del self._away[leader_id]
                with contextlib.suppress(RetryError):  # whoever asks for the leader again has it told again
                    await self._wake(leader_id)

    def _sweep(self) -> None:
        now = self._clock.monotonic()
        leaders = self._routes.table.leaders
        for key, channel in list(self._channels.items()):
            endpoint = leaders.get(key[0])
            if not channel.follow(endpoint):
                self._give_up(channel, key[1], endpoint)
            channel.expire(now)
            self._count(channel, key[1])
            if channel.is_closed and (channel.connecting is None or channel.connecting.done()):
                del self._channels[key]
        self._lost_at_s = {leader: lost for leader, lost in self._lost_at_s.items() if now < lost + _RETURN_S}
        known = set(leaders.values())
        self._back_offs = {endpoint: state for endpoint, state in self._back_offs.items() if endpoint in known}

    def _new_channel(self, endpoint: LeaderEndpoint, lane: Lane) -> LeaderChannel:
        back_off = self._back_offs.get(endpoint)
        if back_off is not None and self._clock.monotonic() < back_off.until:
            raise StaleRouteError(f"Leader {endpoint.leader_id} takes no connections.")
        leader_id = endpoint.leader_id
        on_lost = partial(self._lost, leader_id, lane)
        channel = LeaderChannel(endpoint, self.budget(leader_id), self._clock, self._limits, on_lost=on_lost)
        channel.is_awaiting_return = self._is_expected_back(leader_id)
        self._channels[leader_id, lane] = channel
        self._count(channel, lane)
        channel.connecting = asyncio.get_running_loop().create_task(self._connect_channel(channel, lane))
        return channel

    def _count(self, channel: LeaderChannel, lane: Lane) -> None:
        """Count its bytes by zones, unless its node has no broker yet that tells where it is."""
        if channel.is_counted:
            return
        zone = node_zone(self._routes.table, channel.endpoint.node_id)
        if zone is not None:
            channel.is_counted = True
            self._zones.count(channel, _LINKS[lane], zone)

    def _give_up(self, channel: LeaderChannel, lane: Lane, endpoint: LeaderEndpoint | None) -> None:
        """Its leader is at that endpoint now, or nowhere."""
        self._repeat(channel, lane, endpoint)
        channel.fail(f"Leader {channel.endpoint.leader_id} serves elsewhere now.")

    def _lost(self, leader_id: LeaderId, lane: Lane, channel: LeaderChannel) -> None:
        """A connection has dropped: its leader is expected back."""
        self._lost_at_s[leader_id] = self._clock.monotonic()
        if self._channels.get((leader_id, lane)) is channel:
            self._repeat(channel, lane, self._routes.table.leaders.get(leader_id, channel.endpoint))

    def _repeat(self, channel: LeaderChannel, lane: Lane, endpoint: LeaderEndpoint | None) -> None:
        """Have a new channel to the endpoint send again what this one sent and may be sent again, if there is something."""
        if endpoint is not None and channel.has_repeatable:
            with contextlib.suppress(StaleRouteError):
                self._new_channel(endpoint, lane).repeat(channel.take_repeatable())

    def _is_expected_back(self, leader_id: LeaderId) -> bool:
        return self._clock.monotonic() < self._lost_at_s.get(leader_id, -_NEVER) + _RETURN_S

    async def _connect_channel(self, channel: LeaderChannel, lane: Lane) -> None:
        try:
            while not await self._is_back(channel, lane):
                await self._clock.sleep(_RETURN_LOOK_S)
        except (OSError, TimeoutError) as error:
            endpoint = channel.endpoint
            back_off = self._back_offs.setdefault(endpoint, _BackOff())
            back_off.failed(self._clock.monotonic(), self._rng)
            if back_off.failures == 3:
                self._log.warning(
                    "a leader takes no connections", extra=fields(leader=endpoint.leader_id, at=endpoint, error=error)
                )
            channel.fail(f"Leader {endpoint.leader_id} takes no connections.")
            self._away[endpoint.leader_id] = None
            self._away_changed.set()

    async def _is_back(self, channel: LeaderChannel, lane: Lane) -> bool:
        """Try to connect. False when it has to be tried again, as the leader was lost just now. Raises OSError, TimeoutError."""
        endpoint = channel.endpoint
        is_awaited = self._is_expected_back(endpoint.leader_id) and not channel.is_closed
        channel.is_awaiting_return = is_awaited
        try:
            async with asyncio.timeout(_RETURN_S if is_awaited else self._limits.leader_connect_s_max):
                await self._connect(endpoint, channel.at)
        except (OSError, TimeoutError):
            if is_awaited:
                return False
            raise
        channel.is_awaiting_return = False
        if channel.endpoint != endpoint and channel.unix_path != channel.endpoint.unix_path:
            self._give_up(channel, lane, channel.endpoint)  # known since this try began
        self._back_offs.pop(endpoint, None)
        return True


class _BackOff:
    """How often in a row connecting to an endpoint has failed, and until when it is not tried again."""

    __slots__ = ("failures", "until")

    def __init__(self) -> None:
        self.failures = 0
        self.until = 0.0

    def failed(self, now: float, rng: Random) -> None:
        self.failures += 1
        ceiling = min(_BACK_OFF_S_MAX, _BACK_OFF_S_MIN * 2.0**self.failures)
        self.until = now + ceiling * (0.5 + 0.5 * rng.random())


class _ByEndpoint:
    """Connects by unix socket to leaders on this node, also to later opens than the routes tell of; by TCP to the others."""

    def __init__(self, node_id: str) -> None:
        self._node_id = node_id

    async def __call__(self, endpoint: LeaderEndpoint, protocol: Callable[[str], FrameProtocol]) -> object:
        loop = asyncio.get_running_loop()
        if endpoint.node_id == self._node_id:
            for path in (endpoint.unix_path, *endpoint.later_sockets()):
                with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                    return await loop.create_unix_connection(partial(protocol, path), path)
            raise ConnectionRefusedError(
                f"Leader {endpoint.leader_id} listens at no socket from {endpoint.unix_path} on."
            )
        return await loop.create_connection(partial(protocol, ""), endpoint.host, endpoint.port)
