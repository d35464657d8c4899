"""The controller: topics, settings, which leader leads what, and the routing table. The server side of ``ControllerClient``.

It decides and tells; no byte of records passes through it, and neither producing nor consuming waits for it. All it knows
is the metadata log, which it fences at its start; versions of routes and assignments are slot numbers of that log, so they rise
across restarts. A controller that is fenced answers RetryError to whoever still asks it, and ends.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from prometheus_client import CollectorRegistry

from controller.balance.balancer import Balancer
from controller.balance.describe import describe as describe_balance
from controller.balance.describe import moved
from controller.balance.views import PartitionName
from controller.brokers import register_broker
from controller.evacuation import Evacuation
from controller.journal import Journal, open_journal
from controller.launcher import LeaderEnder, LeaderKeeper, LeaderLauncher, LeaderSite
from controller.leader_desk import LeaderDesk
from controller.leader_watch import LeaderWatch
from controller.metrics import ControllerMetrics
from controller.moves import move_partitions
from controller.new_ids import new_cluster_id, new_topic_id
from controller.node_desk import NodeDesk
from controller.node_keeper import NodeKeeper, NodeLauncher
from controller.nodes import Node, waits_for_a_node
from controller.offers import HandoverOffers
from controller.records import (
    ClusterCreated,
    DeploymentStarted,
    ProducerIdsAllocated,
    Record,
)
from controller.rests import Rests
from controller.routes import RouteMaker
from controller.rules import ClusterRules
from controller.scaling.describe import describe as describe_size
from controller.scaling.gateways import GatewayBook
from controller.scaling.scaler import RoomAsker, Scaler
from controller.status import describe
from controller.surplus import SurplusEnder
from controller.topic_desk import TopicDesk
from controller.topics import create_topic
from raylog.model import broker_config
from raylog.model.admin import (
    Adopted,
    ConfigAlteration,
    ConfigResult,
    HandoverOffer,
    LeaderAssignments,
    Move,
    MoveResult,
    NewTopic,
    Released,
    TopicResult,
    TopicSelector,
)
from raylog.model.clock import Clock, Random
from raylog.model.errors import InvalidError, RetryError
from raylog.model.ids import LeaderId, LogEpoch, TopicPartition
from raylog.model.limits import Limits
from raylog.model.load import LoadReport
from raylog.model.logs import role_logger
from raylog.model.routing import EMPTY_ROUTING_TABLE, BrokerEndpoint, GroupsTopic, LeaderEndpoint, RoutingTable
from raylog.storage.object_store import ObjectStore

_AWAY = "The controller is not serving; its successor will."


class Controller:
    """``start`` returns when it serves; ``closed`` resolves when it serves no more.

    Its methods are those of ``raylog.model.admin.ControllerClient``; see there for what they mean.
    """

    closed: asyncio.Future[None]
    """None after ``close``; FencedError, or whatever else ended it: its process is to exit then."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        deployment_id: str,
        launcher: LeaderLauncher,
        clock: Clock,
        rng: Random,
        limits: Limits,
        wal_classes: Sequence[str],
        default_wal: str,
        leaders_per_class: int,
        broker_configs: dict[str, str],
        registry: CollectorRegistry,
        nodes: Sequence[Node] = (),
        node_launcher: NodeLauncher | None = None,
        leader_ender: LeaderEnder | None = None,
        room_asker: RoomAsker | None = None,
        own_node: str = "",
    ) -> None:
        """``deployment_id`` is the same for as long as leaders and gateways can outlive the controller, and another one when all
        were started anew. ``nodes`` are those of now, later ones come by ``see_nodes``; none where nobody tells of nodes.
        ``node_launcher`` starts and ends what belongs to a node; None where the caller does that. ``leader_ender`` ends leaders
        that have nothing to do; None where all run for ever. ``room_asker`` is told how many nodes there should be; None where
        nodes neither come nor go. ``own_node`` is the one that this runs on.

        Raises InvalidError for a default class that does not exist or a broker setting that is no good.
        """
        if default_wal not in wal_classes:
            raise InvalidError(f"The default WAL class '{default_wal}' is not one of: {', '.join(wal_classes)}.")
        self._store = store
        self._deployment_id = deployment_id
        self._clock = clock
        self._rng = rng
        self._limits = limits
        self._rules = ClusterRules(
            wal_classes=tuple(wal_classes),
            default_wal=default_wal,
            leaders_per_class=max(1, leaders_per_class),
            topic_partitions_max=limits.controller.topic_partitions_max,
            broker_configs=broker_config.validate(broker_configs),
        )
        self._metrics = ControllerMetrics(registry)
        self._log = role_logger("controller")
        self._routes = RouteMaker(self._rules)
        self._table = EMPTY_ROUTING_TABLE
        self._keeper = LeaderKeeper(launcher, self._needed_leaders, clock, limits.controller.launch_retry_s, self._log)
        self._watch = LeaderWatch(
            launcher, self._startable_leaders, clock, limits.controller.leader_silence_s_max, self._log
        )
        self._node_keeper = (
            NodeKeeper(
                node_launcher,
                self._forget_leader,
                self._serving,
                lambda: self._rules.nodes,
                clock,
                limits.controller.launch_retry_s,
                self._log,
            )
            if node_launcher is not None
            else None
        )
        self._evacuation = Evacuation(
            journal=self._serving,
            nodes=lambda: self._rules.nodes,
            is_there=self._watch.is_there,
            look_s=limits.controller.launch_retry_s,
        )
        self._node_desk = NodeDesk(
            nodes,
            journal=self._serving,
            rules=lambda: self._rules,
            settled=self._use_nodes,
            evacuation=self._evacuation,
            keeper=self._node_keeper,
            watch=self._watch,
            metrics=self._metrics,
        )
        self._balancer = Balancer(
            journal=self._serving,
            rules=lambda: self._rules,
            watch=self._watch,
            is_resting=self._is_resting,
            clock=clock,
            limits=limits.balance,
            metrics=self._metrics,
            log=self._log,
        )
        self._desk = LeaderDesk(
            journal=self._serving,
            rules=lambda: self._rules,
            until=self._until,
            watch=self._watch,
            book=self._balancer.book,
            offers=HandoverOffers(
                journal=self._serving,
                until=self._until,
                changed=self._wake_all,
                watch=self._watch,
                poll_s_max=limits.controller.poll_s_max,
                read_s_max=limits.controller.offer_s_max,
            ),
            poll_s_max=limits.controller.leader_poll_s_max,
        )
        self._topics = TopicDesk(
            journal=self._serving, rules=lambda: self._rules, until=self._until, new_topic_id=lambda: new_topic_id(rng)
        )
        self._rests = (
            Rests(
                leader_ender,
                journal=self._serving,
                idle_s_min=lambda: self._broker_config().raylog_leader_idle_ms / 1000,
                forget=self._forget_leader,
                wake=self._keeper.look,
                book=self._balancer.book,
                watch=self._watch,
                clock=clock,
                look_s=limits.balance.report_s,
                log=self._log,
            )
            if leader_ender is not None
            else None
        )
        self._surplus_ender = (
            SurplusEnder(
                leader_ender,
                journal=self._serving,
                nodes=lambda: self._rules.nodes,
                forget=self._forget_leader,
                clock=clock,
                look_s=limits.balance.report_s,
                log=self._log,
            )
            if leader_ender is not None
            else None
        )
        self._gateways = GatewayBook(clock, limits.balance.report_s)
        self._scaler = (
            Scaler(
                room_asker,
                journal=self._serving,
                rules=lambda: self._rules,
                changed=self._node_desk.drains_changed,
                is_cleared=self._node_desk.is_cleared,
                is_resting=self._is_resting,
                own_node=own_node,
                book=self._balancer.book,
                gateways=self._gateways,
                clock=clock,
                limits=limits,
                metrics=self._metrics,
                log=self._log,
            )
            if room_asker is not None
            else None
        )
        self._journal: Journal | None = None
        self._routes_version = 0
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.closed = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Take the metadata log over and replay it; see to the cluster's id and its internal topic; begin to serve."""
        journal = await open_journal(
            self._store,
            clock=self._clock,
            rng=self._rng,
            limits=self._limits.log,
            checkpoint_slots=self._limits.controller.checkpoint_slots,
            metrics=self._metrics,
            role_log=self._log,
        )
        self._journal = journal
        # Above every version that an earlier controller can have given out.
        self._routes_version = journal.slot
        self._desk.begin(journal.slot)
        self._own(journal.run(self._committed))
        self._own(journal.run_checkpoints())
        if not journal.planned.cluster_id:
            journal.submit([ClusterCreated(cluster_id=new_cluster_id(self._rng))])
        if journal.planned.deployment_id != self._deployment_id:
            journal.submit([DeploymentStarted(deployment_id=self._deployment_id)])
        self._node_desk.begin()
        if journal.planned.topic(GroupsTopic) is None:
            groups = create_topic(journal.planned, self._rules, NewTopic(name=GroupsTopic), new_topic_id(self._rng))
            journal.submit(groups.records)
        await journal.settled()
        self._metrics.show(journal.durable)
        parts = (
            self._keeper,
            self._watch,
            self._balancer,
            self._evacuation,
            self._node_keeper,
            self._scaler,
            self._rests,
            self._surplus_ender,
        )
        for part in parts:
            if part is not None:
                self._own(part.run())

    async def close(self) -> None:
        """Release all callers and stop. Idempotent. Leaders and gateways go on without it."""
        if not self.closed.done():
            self.closed.set_result(None)
        self._release()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._journal is not None:
            await self._journal.close()

    # -- leaders

    async def register_leader(self, endpoint: LeaderEndpoint) -> LeaderAssignments:
        return await self._desk.register(endpoint)

    async def watch_assignments(
        self, leader_id: LeaderId, log_epoch: LogEpoch, version: int, load: LoadReport | None = None
    ) -> LeaderAssignments | None:
        return await self._desk.watch_assignments(leader_id, log_epoch, version, load)

    async def wake_leader(self, leader_id: LeaderId) -> None:
        self._serving()
        if self._rests is not None:
            self._rests.wake([leader_id])

    async def report_gateway(self, node_id: str, index: int, cpu: float) -> None:
        self._serving()
        self._gateways.report(node_id, index, cpu)

    async def report_adopted(self, leader_id: LeaderId, log_epoch: LogEpoch, adopted: Sequence[Adopted]) -> None:
        await self._desk.report_adopted(leader_id, log_epoch, adopted)

    async def report_released(self, leader_id: LeaderId, log_epoch: LogEpoch, reports: Sequence[Released]) -> None:
        await self._desk.report_released(leader_id, log_epoch, reports)

    async def offer_handover(
        self, leader_id: LeaderId, log_epoch: LogEpoch, handover: int, partitions: Sequence[TopicPartition]
    ) -> None:
        await self._desk.offer_handover(leader_id, log_epoch, handover, partitions)

    async def watch_offers(
        self, leader_id: LeaderId, log_epoch: LogEpoch, read: Sequence[HandoverOffer]
    ) -> tuple[HandoverOffer, ...]:
        return await self._desk.watch_offers(leader_id, log_epoch, read)

    async def deleted_of(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        return self._desk.deleted_of(partitions)

    # -- gateways

    async def watch_routes(self, version: int) -> RoutingTable:
        await self._until(lambda: self._routes_version > version, self._limits.controller.poll_s_max)
        if self._table.version != self._routes_version:
            self._table = self._routes.table(self._serving().durable, self._routes_version)
        return self._routes.since(self._table, version)

    async def register_broker(self, node_id: str, host: str, port: int, rack: str | None) -> BrokerEndpoint:
        journal = self._serving()
        endpoint, records = register_broker(journal.planned, node_id=node_id, host=host, port=port, rack=rack)
        journal.submit(records)
        await journal.settled()
        return endpoint

    # -- nodes

    async def see_nodes(self, nodes: Sequence[Node]) -> None:
        """These nodes are there, and no others; for whoever knows (Ray does). Clients are sent no more to others."""
        await self._node_desk.see(nodes)

    async def drain_node(self, name: str, *, drain: bool = True) -> None:
        """Have a node emptied, until it is gone or that is taken back (``drain`` False). Returns once it is durably wanted.

        Raises InvalidError for a node that is not there, or is the last one.
        """
        await self._node_desk.drain(name, drain=drain)

    # -- where partitions are led

    async def move_partitions(self, moves: Sequence[Move]) -> list[MoveResult]:
        journal = self._serving()
        records, results = move_partitions(journal.planned, moves)
        journal.submit(records)
        await journal.settled()
        return results

    async def balance(self, explain: tuple[str, int] | None = None) -> dict[str, object]:
        look = await self._balancer.look()
        seen = describe_balance(
            look,
            self._serving().durable,
            self._balancer.book,
            is_enabled=self._balancer.is_enabled(),
            asked=None if explain is None else PartitionName(*explain),
        )
        return {**seen, "size": self._size()}

    async def balance_now(self) -> dict[str, list[int]]:
        look = await self._balancer.balance()
        return moved(look.plan.moves)

    # -- topics and settings

    async def create_topics(
        self, topics: Sequence[NewTopic], *, validate_only: bool = False, timeout_ms: int = 30_000
    ) -> list[TopicResult]:
        return await self._topics.create(topics, validate_only=validate_only, timeout_ms=timeout_ms)

    async def create_partitions(
        self, counts: dict[str, int], *, validate_only: bool = False, timeout_ms: int = 30_000
    ) -> list[TopicResult]:
        return await self._topics.create_partitions(counts, validate_only=validate_only, timeout_ms=timeout_ms)

    async def delete_topics(self, topics: Sequence[TopicSelector], *, timeout_ms: int = 30_000) -> list[TopicResult]:
        return await self._topics.delete(topics)

    async def alter_configs(
        self, alterations: Sequence[ConfigAlteration], *, validate_only: bool = False
    ) -> list[ConfigResult]:
        return await self._topics.alter_configs(alterations, validate_only=validate_only)

    # -- the rest

    async def allocate_producer_ids(self, count: int) -> int:
        if count < 1:
            raise InvalidError(f"A block of producer ids has at least one, not {count}.")
        journal = self._serving()
        first = journal.planned.next_producer_id
        journal.submit([ProducerIdsAllocated(next_id=first + count)])
        await journal.settled()
        return first

    async def status(self) -> dict[str, object]:
        journal = self._serving()
        seen = describe(
            journal.durable,
            self._rules,
            version=self._routes_version,
            epoch=journal.epoch,
            is_there=self._watch.is_there,
            is_cleared=self._node_desk.is_cleared,
            is_resting=self._is_resting,
        )
        return {**seen, "size": self._size()}

    def _size(self) -> dict[str, object] | None:
        """How large the cluster should be and why; None where its size is nobody's business."""
        latest = None if self._scaler is None else self._scaler.latest
        return None if latest is None else describe_size(latest)

    def led_partitions(self) -> frozenset[TopicPartition]:
        """Those that records may be in: adopted, or on their way from one leader to the next, when no leader's log has them.
        Raises RetryError while it does not serve."""
        return frozenset(
            TopicPartition(topic.topic_id, number)
            for topic in self._serving().durable.topics.values()
            for number, partition in enumerate(topic.partitions)
            if partition.was_led
        )

    def _serving(self) -> Journal:
        if self._journal is None or self.closed.done():
            raise RetryError(_AWAY)
        return self._journal

    async def _until(self, reached: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until ``reached``, looked at after each commit; False if that took too long."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    self._serving()
                    if reached():
                        return True
                    await self._changed.wait()
        except TimeoutError:
            return False

    def _committed(self, slot: int, records: Sequence[Record], affected: frozenset[LeaderId]) -> None:
        """A slot is durable: show it to all that wait."""
        if any(not isinstance(record, ProducerIdsAllocated) for record in records):
            self._routes_version = slot
        self._desk.committed(slot, affected)
        self._balancer.committed(records)
        if self._rests is not None:
            self._rests.committed(affected)
        if affected:
            self._keeper.look()
        self._node_desk.committed()
        self._metrics.show(self._serving().durable)
        self._wake_all()

    def _wake_all(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _use_nodes(self, nodes: tuple[Node, ...]) -> None:
        self._rules = replace(self._rules, nodes=nodes)

    def _forget_leader(self, leader_id: LeaderId) -> None:
        self._keeper.forget(leader_id)
        self._watch.forget(leader_id)
        self._keeper.look()

    def _is_resting(self, leader_id: LeaderId) -> bool:
        return self._rests is not None and self._rests.is_resting(leader_id)

    def _broker_config(self) -> broker_config.BrokerConfig:
        return self._rules.broker_config(self._serving().durable)

    def _needed_leaders(self) -> dict[LeaderId, LeaderSite]:
        state = self._serving().durable
        return {
            id_: LeaderSite(wal_class=leader.wal_class, node=leader.node, mount=leader.mount)
            for id_, leader in state.leaders.items()
            if state.is_needed(id_) and not self._is_resting(id_)
        }

    def _startable_leaders(self) -> dict[LeaderId, LeaderSite]:
        """Those needed that can run: one whose WAL is with a node that is away gets no successor, which would wait as well."""
        state, nodes = self._serving().durable, self._rules.nodes
        needed = self._needed_leaders()
        return {id_: site for id_, site in needed.items() if not waits_for_a_node(state.leaders[id_], nodes)}

    def _own(self, part: Coroutine[Any, Any, None]) -> None:
        """Run a part of the controller; if it ends in an error, so does the controller."""
        task = asyncio.get_running_loop().create_task(part)
        task.add_done_callback(self._part_ended)
        self._tasks.append(task)

    def _part_ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        if not self.closed.done():
            self._log.error("the controller ends", exc_info=error)
            self.closed.set_exception(error)
        self._release()

    def _release(self) -> None:
        """Let all who wait find that it is over."""
        if self._journal is not None:
            self._journal.end(_AWAY)
        self._wake_all()
        for task in self._tasks:
            task.cancel()
