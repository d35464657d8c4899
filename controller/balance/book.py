"""What the controller knows of loads and of recent moves. In memory alone: a controller that starts waits for it.

A partition that moves takes its load along: until its next leader has measured it, it counts what its last one did. So a leader
that has just been given partitions is not taken for an idle one.
"""

from collections.abc import Iterable
from typing import NamedTuple

from controller.balance.slowness import levels
from raylog.model.clock import Clock
from raylog.model.ids import LeaderId, LogEpoch, TopicPartition
from raylog.model.limits import BalanceLimits
from raylog.model.load import LoadReport

_CARRIED_REPORTS = 4
"""A load is taken along for so many intervals of reports: the first of them is only in part the next leader's."""
_STIR = 0.05
"""A leader's load that has changed by less than this share is no news."""


class LeaderLoad(NamedTuple):
    """A leader's report, without its partitions."""

    log_epoch: LogEpoch
    bytes_in: float
    bytes_out: float
    requests: float
    weight: float
    cpu: float
    memory_bytes: int
    idle_s: float


class _Carried(NamedTuple):
    load: float
    until_s: float


class Page(NamedTuple):
    """The book at one time."""

    loads: dict[LeaderId, dict[TopicPartition, float]]
    carried: dict[TopicPartition, _Carried]
    rests_until_s: dict[TopicPartition, float]
    now_s: float

    def load(self, partition: TopicPartition, leader_id: LeaderId) -> float:
        """Of a partition that the leader has, or is to have."""
        measured = self.loads.get(leader_id, {}).get(partition)
        if measured is not None:
            return measured
        carried = self.carried.get(partition) if self.carried else None
        return 0.0 if carried is None else carried.load

    def rests_s(self, partition: TopicPartition) -> float:
        """For how long it is left alone."""
        if not self.rests_until_s:
            return 0.0
        return max(0.0, self.rests_until_s.get(partition, 0.0) - self.now_s)


class LoadBook:
    """Times are of the monotonic clock."""

    def __init__(self, clock: Clock, limits: BalanceLimits) -> None:
        self._clock = clock
        self._limits = limits
        self._leaders: dict[LeaderId, LeaderLoad] = {}
        self._loads: dict[LeaderId, dict[TopicPartition, float]] = {}
        self._carried: dict[TopicPartition, _Carried] = {}
        self._moved_s: dict[TopicPartition, float] = {}
        self._slowness: dict[LeaderId, int] = {}
        self._noted: dict[LeaderId, float] = {}
        self._is_stirred = True

    def report(self, leader_id: LeaderId, log_epoch: LogEpoch, report: LoadReport) -> None:
        loads = report.partitions
        weight = sum(load.weight for load in loads)
        self._leaders[leader_id] = LeaderLoad(
            log_epoch=log_epoch,
            bytes_in=sum(load.bytes_in for load in loads),
            bytes_out=sum(load.bytes_out for load in loads),
            requests=sum(load.requests for load in loads),
            weight=weight,
            cpu=report.cpu,
            memory_bytes=report.memory_bytes,
            idle_s=report.idle_s,
        )
        self._loads[leader_id] = {load.partition: load.weight for load in loads}
        noted = self._noted.get(leader_id)
        if noted is None or abs(weight - noted) > self._limits.move_bytes_min / 2 + _STIR * noted:
            self._is_stirred = True

    def take_news(self) -> bool:
        """Whether leaders' loads have changed noticeably since it was asked last."""
        is_stirred, self._is_stirred = self._is_stirred, False
        if is_stirred:
            self._noted = {leader_id: leader.weight for leader_id, leader in self._leaders.items()}
        return is_stirred

    def moving(self, moves: Iterable[tuple[TopicPartition, LeaderId]]) -> None:
        """These partitions are about to leave their leaders, or have just left them."""
        now_s = self._clock.monotonic()
        for partition, source in moves:
            self._moved_s[partition] = now_s
            load = self._loads.get(source, {}).get(partition)
            if load is not None:
                self._carried[partition] = _Carried(load, now_s + _CARRIED_REPORTS * self._limits.report_s)

    def forget_old(self) -> None:
        now_s = self._clock.monotonic()
        self._carried = {partition: one for partition, one in self._carried.items() if one.until_s > now_s}
        self._moved_s = {p: at_s for p, at_s in self._moved_s.items() if now_s - at_s < self._limits.rest_s}

    @property
    def has_resting(self) -> bool:
        return bool(self._moved_s)

    def page(self) -> "Page":
        """What it says now, for another thread."""
        return Page(
            loads=dict(self._loads),  # a leader's own are replaced with each report, and never changed
            carried=dict(self._carried),
            rests_until_s={partition: at_s + self._limits.rest_s for partition, at_s in self._moved_s.items()},
            now_s=self._clock.monotonic(),
        )

    def leader(self, leader_id: LeaderId, log_epoch: LogEpoch) -> LeaderLoad | None:
        """The newest report of that open of the leader, if there is one."""
        found = self._leaders.get(leader_id)
        return found if found is not None and found.log_epoch == log_epoch else None

    def speed(self, leader_id: LeaderId) -> float:
        """Of its node, 1 for what is usual."""
        return 0.5 ** self._slowness.get(leader_id, 0)

    def judge_speeds(self) -> None:
        """Compare what leaders need for their loads."""
        self._slowness = levels(
            self._slowness,
            {
                leader_id: (leader.cpu, leader.weight)
                for leader_id, leader in self._leaders.items()
                if leader.weight >= self._limits.move_bytes_min
            },
        )
