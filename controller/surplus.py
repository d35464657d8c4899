"""Ends leaders of whom their node has too many, once they lead nothing. They serve again where a node is short of some.

The balance empties them (``controller.balance``), as one goal of several, a few moves at a time. Here the process is ended, and
then the metadata say that the leader belongs nowhere, so that the next node that joins gets it instead of a new one.
"""

from collections.abc import Callable, Sequence

from controller.journal import Journal
from controller.launcher import LeaderEnder, is_ended
from controller.nodes import Node, surplus
from controller.records import LeaderPlaced
from raylog.model.clock import Clock
from raylog.model.ids import LeaderId
from raylog.model.logs import RoleLogger


class SurplusEnder:
    """``run`` must be running."""

    def __init__(
        self,
        ender: LeaderEnder,
        *,
        journal: Callable[[], Journal],
        nodes: Callable[[], Sequence[Node]],
        forget: Callable[[LeaderId], None],
        clock: Clock,
        look_s: float,
        log: RoleLogger,
    ) -> None:
        """``forget`` is told of leaders that may have been ended: who is needed again meanwhile is started again."""
        self._ender = ender
        self._journal = journal
        self._nodes = nodes
        self._forget = forget
        self._clock = clock
        self._look_s = look_s
        self._log = log

    async def run(self) -> None:
        """Until cancelled. An error other than RetryError ends it."""
        while True:
            await self._clock.sleep(self._look_s)
            await self.look()

    async def look(self) -> None:
        """End those that lead nothing."""
        state = self._journal().durable
        for leader_id in sorted(surplus(state, self._nodes())):
            if not state.is_needed(leader_id):
                await self._end(leader_id)

    async def _end(self, leader_id: LeaderId) -> None:
        if await is_ended(self._ender, leader_id, "a leader too many", self._log):
            journal = self._journal()
            if not journal.planned.is_needed(leader_id):
                mount = journal.planned.leaders[leader_id].mount
                journal.submit([LeaderPlaced(leader_id=leader_id, node="", mount=mount)])
        self._forget(leader_id)
