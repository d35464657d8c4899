"""Connections to the leaders' internal listeners: many requests under way on each, answers in any order."""

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import Protocol

from raylog.model.buffers import Buffer
from raylog.model.ids import LeaderId


class Lane(Enum):
    """Which of a leader's connections a request takes: answers full of records must not stand before small ones."""

    PRODUCE = "produce"
    """Produce, and all that has small answers."""
    FETCH = "fetch"


class LeaderChannel(Protocol):
    def send(self, encode: Callable[[int], list[Buffer]]) -> asyncio.Future[memoryview]: ...

    def send_frame(self, frame: memoryview) -> asyncio.Future[memoryview]: ...


class LeaderChannels(Protocol):
    def channel(self, leader_id: LeaderId, lane: Lane) -> LeaderChannel:
        """Raises StaleRouteError when the leader has no endpoint."""
        ...
