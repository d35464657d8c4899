"""The controller's part that moves partitions by load: it looks now and then, asks the planner, and makes its moves in one step.

While nothing changes it does nothing: no plan is made of what the last one found balanced. The planner runs in a thread, as a
hundred thousand partitions take it a while. Its moves are then judged on the metadata as they are by then, like anybody's.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from controller.balance.book import LoadBook
from controller.balance.observe import Sight, sight, view_of
from controller.balance.plan import Plan, PlannedMove, Verdict
from controller.balance.planner import plan
from controller.balance.views import ClusterView, Goals, PartitionName
from controller.journal import Journal
from controller.leader_watch import LeaderWatch
from controller.metrics import ControllerMetrics
from controller.moves import move_partitions
from controller.nodes import can_be_placed
from controller.placement import new_leaders
from controller.records import PartitionsMoving, PartitionsReleased, Record
from controller.rules import ClusterRules
from raylog.model.admin import Move
from raylog.model.broker_config import BrokerConfig
from raylog.model.clock import Clock
from raylog.model.ids import LeaderId, TopicPartition
from raylog.model.limits import BalanceLimits
from raylog.model.logs import RoleLogger, fields

_QUIET = frozenset({Verdict.BALANCED, Verdict.ONE_LEADER, Verdict.UNMEASURED})
"""Verdicts that stay what they are until something changes that is looked at (``_now``)."""


class Look(NamedTuple):
    """What was seen, by which goals, and what was planned of it."""

    view: ClusterView
    goals: Goals
    plan: Plan


class Balancer:
    """``run`` must be running; all else are plain calls of the controller."""

    def __init__(
        self,
        *,
        journal: Callable[[], Journal],
        rules: Callable[[], ClusterRules],
        watch: LeaderWatch,
        is_resting: Callable[[LeaderId], bool],
        clock: Clock,
        limits: BalanceLimits,
        metrics: ControllerMetrics,
        log: RoleLogger,
    ) -> None:
        """``journal`` gives the one that serves, or raises RetryError."""
        self.book = LoadBook(clock, limits)
        self._journal = journal
        self._rules = rules
        self._watch = watch
        self._is_resting = is_resting
        self._clock = clock
        self._limits = limits
        self._metrics = metrics
        self._log = log
        self._round = asyncio.Lock()
        self._quiet_at: tuple[object, ...] | None = None
        """What was so when there was nothing to do."""
        self._ordered: dict[PartitionName, tuple[LeaderId, float]] = {}
        """Moves that a round has ordered: where to, and when."""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._clock.sleep(self._settings().leader_imbalance_check_interval_seconds)
            if self._settings().auto_leader_rebalance_enable and not self._nothing_is_new():
                await self.balance()

    async def balance(self) -> Look:
        """One round: the moves of a plan are durably wanted when it returns."""
        async with self._round:
            self._call_off_what_hangs()
            seen_at = self._now()
            look = await self.look(planned=True)
            if self._add_leaders(look):
                look = await self.look(planned=True)
            self._order(look.plan.moves)
            await self._journal().settled()
            self._quiet_at = seen_at if self._is_quiet(look) else None
            return look

    async def look(self, *, planned: bool = False) -> Look:
        """What would be done now. ``planned``: on the metadata as they will be, rather than as they durably are."""
        journal = self._journal()
        self.book.forget_old()
        self.book.judge_speeds()
        state = journal.planned if planned else journal.durable
        capacity = float(self._limits.leader_bytes_max)
        seen = sight(state, self._rules(), self.book, self._watch.is_there, self._is_resting, capacity=capacity)
        began_s = self._clock.monotonic()
        look = await asyncio.get_running_loop().run_in_executor(None, _look, seen, self._goals())
        self._metrics.plan_seconds.observe(self._clock.monotonic() - began_s)
        return look

    def committed(self, records: Sequence[Record]) -> None:
        """Partitions that are to move, and those that have left, rest from now on, whoever moves them."""
        durable = self._journal().durable
        for record in records:
            if isinstance(record, PartitionsReleased):
                self.book.moving((TopicPartition(*departure[:2]), record.leader_id) for departure in record.released)
            elif isinstance(record, PartitionsMoving):
                places = (TopicPartition(*destination[:2]) for destination in record.moves)
                found = ((place, durable.partition(place)) for place in places)
                self.book.moving((place, one.leader_id) for place, one in found if one is not None)

    def is_enabled(self) -> bool:
        return self._settings().auto_leader_rebalance_enable

    def _settings(self) -> BrokerConfig:
        return self._rules().broker_config(self._journal().durable)

    def _goals(self) -> Goals:
        return Goals(
            band=self._settings().leader_imbalance_per_broker_percentage / 100,
            load_min=float(self._limits.move_bytes_min),
            counts_min=self._limits.move_partitions_min,
            moves_max=self._limits.moves_max,
        )

    def _now(self) -> tuple[object, ...]:
        journal = self._journal()
        standings = tuple(
            (leader_id, self._watch.is_there(leader_id), self._is_measured(journal, leader_id))
            for leader_id in journal.durable.leaders
        )
        return journal.slot, standings

    def _is_measured(self, journal: Journal, leader_id: LeaderId) -> bool:
        at = journal.durable.leaders[leader_id].endpoint
        return at is not None and self.book.leader(leader_id, at.log_epoch) is not None

    def _nothing_is_new(self) -> bool:
        has_news = self.book.take_news()
        return not has_news and self._quiet_at == self._now()

    def _is_quiet(self, look: Look) -> bool:
        """Whether nothing is to be done until something changes."""
        if look.plan.moves or look.view.moving:
            return False
        quiet = _QUIET if self.book.has_resting else _QUIET | {Verdict.NO_MOVE_PAYS}
        return all(pool.verdict in quiet for pool in look.plan.pools)

    def _call_off_what_hangs(self) -> None:
        """Moves whose next leader does not come up, so that others can be made."""
        journal, now_s = self._journal(), self._clock.monotonic()
        hanging = []
        for name, (target, ordered_s) in list(self._ordered.items()):
            topic = journal.planned.topic(name.topic)
            present = None if topic is None or name.number >= len(topic.partitions) else topic.partitions[name.number]
            if present is None or present.moving_to != target:
                del self._ordered[name]
            elif now_s - ordered_s > self._limits.move_s_max:
                del self._ordered[name]
                hanging.append(Move(topic=name.topic, partition=name.number))
        if hanging:
            records, _ = move_partitions(journal.planned, hanging)
            journal.submit(records)
            self._log.warning("moves that did not begin are called off", extra=fields(partitions=len(hanging)))

    def _add_leaders(self, look: Look) -> bool:
        """Leaders for those that want one for themselves, or a first shared one of a WAL class; whether any was added."""
        journal, rules = self._journal(), self._rules()
        is_any = False
        for shortage in look.plan.shortages:
            if shortage.wal_class not in rules.wal_classes or not can_be_placed(shortage.wal_class, rules.nodes):
                continue
            wanted = min(shortage.partitions, look.goals.moves_max) if shortage.dedicated else 1
            added = new_leaders(journal.planned, rules.nodes, shortage.wal_class, wanted, dedicated=shortage.dedicated)
            journal.submit(added)
            is_any = True
        return is_any

    def _order(self, moves: Sequence[PlannedMove]) -> None:
        if not moves:
            return
        journal, now_s = self._journal(), self._clock.monotonic()
        records, results = move_partitions(
            journal.planned,
            [Move(topic=move.name.topic, partition=move.name.number, to_leader=move.target) for move in moves],
        )
        journal.submit(records)
        for move, result in zip(moves, results, strict=True):
            if not result.error_code:  # what has been refused has changed since it was seen
                self._ordered[move.name] = move.target, now_s
                self._metrics.balance_moves.labels(move.reason.value).inc()
        self._log.info("partitions are moved by load", extra=fields(partitions=len(moves), first=str(moves[0].name)))


def _look(seen: Sight, goals: Goals) -> Look:
    """In a thread."""
    view = view_of(seen)
    return Look(view, goals, plan(view, goals))
