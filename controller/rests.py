"""Leaders that nobody asks for anything rest: they are ended, with all that they have in the bucket, and started again for the
first request, or for whatever the controller has for them.

Who rests is remembered nowhere: a controller that starts has every leader started that leads something, and finds anew who has
nothing to do. A gateway that finds a leader away says so, and the leader is started if it rests. That may be while it is still
ending; it is started as soon as it has.
"""

import asyncio
from collections.abc import Callable, Iterable

from controller.balance.book import LoadBook
from controller.journal import Journal
from controller.launcher import LeaderEnder, is_ended
from controller.leader_watch import LeaderWatch
from controller.state import LeaderState, MetadataState
from raylog.model.clock import Clock
from raylog.model.ids import LeaderId
from raylog.model.logs import RoleLogger, fields


class Rests:
    """``run`` must be running."""

    def __init__(
        self,
        ender: LeaderEnder,
        *,
        journal: Callable[[], Journal],
        idle_s_min: Callable[[], float],
        forget: Callable[[LeaderId], None],
        wake: Callable[[], None],
        book: LoadBook,
        watch: LeaderWatch,
        clock: Clock,
        look_s: float,
        log: RoleLogger,
    ) -> None:
        """``idle_s_min``: who has been idle for so long rests; 0: nobody does. ``forget`` is told of leaders that may have been
        ended, ``wake`` is called when some are to be started."""
        self._ender = ender
        self._journal = journal
        self._idle_s_min = idle_s_min
        self._forget = forget
        self._wake = wake
        self._book = book
        self._watch = watch
        self._clock = clock
        self._look_s = look_s
        self._log = log
        self._resting: set[LeaderId] = set()

    def is_resting(self, leader_id: LeaderId) -> bool:
        """Whether it need not run."""
        return leader_id in self._resting

    def wake(self, leaders: Iterable[LeaderId]) -> None:
        """Somebody has something for these leaders."""
        woken = self._resting.intersection(leaders)
        if woken:
            self._resting -= woken
            self._wake()
            self._log.info("leaders are started again", extra=fields(leaders=sorted(woken)))

    def committed(self, affected: Iterable[LeaderId]) -> None:
        """These leaders are assigned something else. Those that something is to go to are not among them."""
        state = self._journal().durable
        self.wake([*affected, *(leader_id for leader_id in self._resting if state.expected(leader_id))])

    async def run(self) -> None:
        """Until cancelled. An error other than RetryError ends it."""
        while True:
            await self._clock.sleep(self._look_s)
            await self.look()

    async def look(self) -> None:
        """Have those rest that may."""
        idle_s_min = self._idle_s_min()
        if not idle_s_min:
            self.wake(list(self._resting))
            return
        state = self._journal().durable
        await self.rest(id_ for id_, leader in state.leaders.items() if self._may_rest(state, leader, idle_s_min))

    async def rest(self, leaders: Iterable[LeaderId]) -> None:
        """Have these leaders rest; returns when they have been ended."""
        idle = [leader_id for leader_id in leaders if leader_id not in self._resting]
        self._resting.update(idle)
        await asyncio.gather(*(self._end(leader_id) for leader_id in idle))

    def _may_rest(self, state: MetadataState, leader: LeaderState, idle_s_min: float) -> bool:
        leader_id, at = leader.leader_id, leader.endpoint
        if at is None or not self._watch.is_there(leader_id):
            return False
        report = self._book.leader(leader_id, at.log_epoch)
        return (
            report is not None
            and report.idle_s >= idle_s_min
            and state.is_needed(leader_id)
            and leader.node not in state.draining
            and _is_settled(state, leader_id)
        )

    async def _end(self, leader_id: LeaderId) -> None:
        if not await is_ended(self._ender, leader_id, "an idle leader", self._log):
            self._resting.discard(leader_id)
        # Who has been woken meanwhile is started now, and so is who may have ended though nobody knows.
        self._forget(leader_id)


def _is_settled(state: MetadataState, leader_id: LeaderId) -> bool:
    """Whether it has all that it is to have, and nothing of it, or for it, is on its way."""
    led = [state.partition(partition) for partition in state.led_by(leader_id)]
    return not state.expected(leader_id) and all(
        partition is not None and partition.epoch_base is not None and partition.moving_to is None for partition in led
    )
