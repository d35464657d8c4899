"""Leaders that hang: a leader whose polls have stopped gets a successor beside it, and the bucket fences the one that was.

A wrong guess is safe, as fencing does not depend on it, but costs a fail-over. So only a leader that was heard in this
controller's life is judged; a successor gets ever more time to be heard, as it may have much to recover; and a controller that
was away itself judges nobody. Nor is a leader judged that has died and is being started again, which takes long where much else
starts: a successor would only come after it in the same queue, and it would end for that one when it is up. Its silence counts
from when it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from controller.launcher import LeaderLauncher, LeaderSite
from raylog.model.clock import Clock
from raylog.model.errors import RetryError
from raylog.model.ids import LeaderId
from raylog.model.logs import RoleLogger, fields

_LOOKS_PER_SILENCE = 5
_PATIENCE_GROWTH = 3
_PATIENCE_S_MAX = 1800.0
_START_S_MAX = 30.0
"""A process that takes longer to be up hangs."""


@dataclass(slots=True)
class _Leader:
    heard_at_s: float
    patience_s: float
    starting_since_s: float | None = None
    """When a look found it starting, and all looks since."""
    has_lost_node: bool = False
    """The node on which it was heard is gone since."""


class LeaderWatch:
    """Times are of the monotonic clock."""

    def __init__(
        self,
        launcher: LeaderLauncher,
        needed: Callable[[], Mapping[LeaderId, LeaderSite]],
        clock: Clock,
        silence_s_max: float,
        log: RoleLogger,
    ) -> None:
        """``needed`` gives the leaders that must run and can, by id."""
        self._launcher = launcher
        self._needed = needed
        self._clock = clock
        self._silence_s_max = silence_s_max
        self._log = log
        self._leaders: dict[LeaderId, _Leader] = {}

    def heard(self, leader_id: LeaderId) -> None:
        """The leader has registered or begun a poll."""
        self._leaders[leader_id] = _Leader(self._clock.monotonic(), self._silence_s_max)

    def forget(self, leader_id: LeaderId) -> None:
        """The leader has been ended on purpose."""
        self._leaders.pop(leader_id, None)

    def lost_node(self, leader_id: LeaderId) -> None:
        """The leader's node is gone: it is not there until it is heard again, from another one."""
        if (leader := self._leaders.get(leader_id)) is not None:
            leader.has_lost_node = True

    def is_there(self, leader_id: LeaderId) -> bool:
        """Whether it has been heard so shortly ago that it can be given something, needed or not."""
        leader = self._leaders.get(leader_id)
        return (
            leader is not None
            and not leader.has_lost_node
            and self._clock.monotonic() - leader.heard_at_s <= self._silence_s_max
        )

    async def run(self) -> None:
        """Until cancelled. An error of the launcher other than RetryError ends it."""
        interval_s = self._silence_s_max / _LOOKS_PER_SILENCE
        while True:
            slept_at_s = self._clock.monotonic()
            await self._clock.sleep(interval_s)
            now_s = self._clock.monotonic()
            if now_s - slept_at_s > 2 * interval_s:
                for leader in self._leaders.values():
                    leader.heard_at_s = now_s
            await self._look(now_s)

    async def _look(self, now_s: float) -> None:
        needed = self._needed()
        for leader_id, leader in list(self._leaders.items()):
            if leader_id in needed and now_s - leader.heard_at_s > leader.patience_s:
                await self._judge(leader_id, needed[leader_id], leader, now_s)

    async def _judge(self, leader_id: LeaderId, site: LeaderSite, leader: _Leader, now_s: float) -> None:
        try:
            is_starting = await self._launcher.is_starting(leader_id)
        except RetryError as error:
            self._log.warning("a leader is silent, and Ray as well", extra=fields(leader=leader_id, error=error))
            return
        since_s = leader.starting_since_s
        if is_starting and (since_s is None or now_s - since_s <= _START_S_MAX):
            leader.starting_since_s = now_s if since_s is None else since_s
        elif not is_starting and since_s is not None:
            leader.starting_since_s, leader.heard_at_s = None, now_s
        else:
            await self._replace(leader_id, site, leader, now_s)

    async def _replace(self, leader_id: LeaderId, site: LeaderSite, leader: _Leader, now_s: float) -> None:
        self._log.warning(
            "a leader is silent, starting a successor",
            extra=fields(leader=leader_id, silent_s=round(now_s - leader.heard_at_s)),
        )
        try:
            await self._launcher.replace_leader(leader_id, site)
        except RetryError as error:
            self._log.warning(
                "the successor cannot be started, trying again", extra=fields(leader=leader_id, error=error)
            )
            return
        if self._leaders.get(leader_id) is leader:  # not heard again meanwhile
            leader.starting_since_s, leader.heard_at_s = None, now_s
            leader.patience_s = min(leader.patience_s * _PATIENCE_GROWTH, _PATIENCE_S_MAX)
