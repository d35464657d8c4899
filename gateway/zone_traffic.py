"""Bytes by the zones of the two ends of a gateway's connections: what crosses zones costs money.

A connection counts what its socket has really sent and received, in a ``Traffic``. As soon as the other end's zone is known it
counts in one that all connections of its kind to that zone share, and what it has counted so far goes there too. So the hot path
looks nothing up. Where a zone is not known, nothing is counted: a leader's is that of the broker on its node, a client's what it
says itself (``zone=`` in its client id), if any broker is there, so that clients cannot make up labels.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from prometheus_client import Counter

from raylog.protocol.framing import FrameProtocol, Traffic

_SENT: Final = "sent"
_RECEIVED: Final = "received"


class Link(StrEnum):
    """What a connection is for, and who is at its other end."""

    CLIENT = "client"
    LEADER_PRODUCE = "leader_produce"
    """Produce, and all else that has small answers (``Lane.PRODUCE``)."""
    LEADER_FETCH = "leader_fetch"


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneBytes:
    """What has gone over the connections of one kind between the gateway's zone and another, or its own, since it started."""

    link: str
    zone: str
    """The gateway's."""
    peer_zone: str
    sent_bytes: int
    """From the gateway."""
    received_bytes: int

    @property
    def crosses(self) -> bool:
        return self.zone != self.peer_zone


def added_up(found: Iterable[ZoneBytes]) -> list[ZoneBytes]:
    """Those of several gateways, by link and zones, in this order."""
    sums: dict[tuple[str, str, str], tuple[int, int]] = {}
    for one in found:
        key = one.link, one.zone, one.peer_zone
        sent, received = sums.get(key, (0, 0))
        sums[key] = sent + one.sent_bytes, received + one.received_bytes
    return [
        ZoneBytes(link=link, zone=zone, peer_zone=peer_zone, sent_bytes=sent, received_bytes=received)
        for (link, zone, peer_zone), (sent, received) in sorted(sums.items())
    ]


class ZoneTraffic:
    """One per gateway. ``zone`` None: the gateway is in none, and nothing is counted."""

    def __init__(self, zone: str | None, counter: Counter) -> None:
        """``counter`` has the labels link, direction, zone, peer_zone and crosses."""
        self._zone = zone
        self._counter = counter
        self._links: dict[tuple[Link, str], _Shared] = {}

    def count(self, connection: FrameProtocol, link: Link, peer_zone: str) -> None:
        """Count all that the connection has sent and received, and will. To be called once for a connection."""
        if self._zone is None:
            return
        shared = self._links.get((link, peer_zone))
        if shared is None:
            shared = self._links[link, peer_zone] = _Shared()
        own, connection.traffic = connection.traffic, shared.traffic
        shared.traffic.sent_bytes += own.sent_bytes
        shared.traffic.received_bytes += own.received_bytes

    def totals(self) -> list[ZoneBytes]:
        """May be asked from any thread."""
        return [
            ZoneBytes(
                link=link.value,
                zone=self._zone or "",
                peer_zone=peer_zone,
                sent_bytes=shared.traffic.sent_bytes,
                received_bytes=shared.traffic.received_bytes,
            )
            for (link, peer_zone), shared in tuple(self._links.items())
        ]

    def publish(self) -> None:
        """Bring what was counted since the last call to the counter."""
        for (link, peer_zone), shared in self._links.items():
            crosses = "no" if peer_zone == self._zone else "yes"
            traffic = shared.traffic
            for direction, size_bytes in (
                (_SENT, traffic.sent_bytes - shared.published_sent_bytes),
                (_RECEIVED, traffic.received_bytes - shared.published_received_bytes),
            ):
                if size_bytes:
                    self._counter.labels(link.value, direction, self._zone, peer_zone, crosses).inc(size_bytes)
            shared.published_sent_bytes = traffic.sent_bytes
            shared.published_received_bytes = traffic.received_bytes


class _Shared:
    """What the connections of one kind to one zone have counted, and how much of it is published."""

    __slots__ = ("published_received_bytes", "published_sent_bytes", "traffic")

    def __init__(self) -> None:
        self.traffic = Traffic()
        self.published_sent_bytes = 0
        self.published_received_bytes = 0
