"""Waiting until this gateway's own routing table shows what the controller has just done.

A client that has created a topic asks for it next, and from the same gateway: it must not be told that there is none.
"""

from collections.abc import Callable
from typing import Final

from gateway.routing import RouteFollower
from raylog.model.clock import Clock
from raylog.model.routing import RoutingTable

SHOWN_S_MAX: Final = 5.0
"""The table follows the controller within milliseconds; a gateway that has lost it must still answer."""


async def shown(
    routes: RouteFollower, clock: Clock, is_shown: Callable[[RoutingTable], bool], timeout_s: float = SHOWN_S_MAX
) -> bool:
    """Whether ``is_shown`` holds for the routing table, now or before ``timeout_s`` is over."""
    deadline_s = clock.monotonic() + timeout_s
    while not is_shown(routes.table):
        left_s = deadline_s - clock.monotonic()
        if left_s <= 0:
            return False
        await routes.newer_than(routes.table.version, left_s)
    return True


def is_led(table: RoutingTable, name: str) -> bool:
    """Whether a topic is there and each of its partitions has a leader."""
    topic = table.topics.get(name)
    return topic is not None and all(route.is_served and route.leader_id in table.leaders for route in topic.partitions)
