"""A request on an internal connection, on its way to a handler and back."""

from typing import TYPE_CHECKING, Any, Protocol

from kio.static.protocol import Payload

from raylog.protocol.wire import RequestHead

if TYPE_CHECKING:
    from raylog.leader.context import LeaderContext


class Answering(Protocol):
    """The connection as a call sees it."""

    def answer(self, head: RequestHead, response: Payload, *, has_plan: bool = False) -> None:
        """Send the response of a request. A connection that is gone takes it and does nothing."""
        ...

    def answer_encoded(self, frame: bytes) -> None:
        """Send a response that is encoded already, size prefix included."""
        ...

    def hold_reading(self) -> None:
        """Read no further request of this connection until ``release_reading``; may be nested."""
        ...

    def release_reading(self) -> None: ...


class Call:
    """One request: ``leader`` is all that a handler may touch, ``request`` the decoded entity."""

    __slots__ = ("connection", "head", "leader", "request", "size_bytes")

    def __init__(
        self, leader: "LeaderContext", connection: Answering, head: RequestHead, request: Any, size_bytes: int
    ) -> None:
        self.leader = leader
        self.connection = connection
        self.head = head
        self.request = request
        self.size_bytes = size_bytes
        """Of the request's frame."""

    def answer(self, response: Payload | bytes, *, has_plan: bool = False) -> None:
        """Give an answer that the handler did not return: an entity, or a whole frame.

        ``has_plan``: records of it are a read plan for the gateway.
        """
        if isinstance(response, bytes):
            self.connection.answer_encoded(response)
            return
        self.connection.answer(self.head, response, has_plan=has_plan)
