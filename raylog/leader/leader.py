"""A leader: one WAL, one leader log, many partitions. Composes the parts and runs their life; the parts do the work."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from raylog.leader.acks import Acks
from raylog.leader.admission import Admission
from raylog.leader.adoptions import Adoptions
from raylog.leader.append import Appender
from raylog.leader.assignments import AssignmentFollower
from raylog.leader.batch_reader import BatchReader
from raylog.leader.checkpoints import Checkpoints
from raylog.leader.compaction import Compaction
from raylog.leader.compactor import Compactor, StoreCompactor
from raylog.leader.context import LeaderContext
from raylog.leader.coordinator import GroupCoordinators
from raylog.leader.early_calls import EarlyCalls
from raylog.leader.fetch import Fetcher
from raylog.leader.flusher import Flusher
from raylog.leader.handovers import Handovers
from raylog.leader.hosted import HostedPartition, HostedPartitions
from raylog.leader.housekeeping import Housekeeping
from raylog.leader.incoming import Incoming
from raylog.leader.internal_log import LeaderInternalLog
from raylog.leader.listener import Listener
from raylog.leader.load_meter import LoadMeter
from raylog.leader.log_start import LogStarts
from raylog.leader.metrics import LeaderMetrics
from raylog.leader.produce_answers import ProduceAnswers
from raylog.leader.recovery import Recovered, recover
from raylog.leader.registry import served_apis
from raylog.leader.retention import Retention
from raylog.leader.settling import Settling
from raylog.leader.tail_cache import TailCache
from raylog.leader.unflushed_reader import UnflushedReader
from raylog.leader.write_buffer import WriteBuffer
from raylog.model.admin import ControllerClient
from raylog.model.clock import Clock, Random
from raylog.model.errors import FencedError, InvalidError, RaylogError, StaleRouteError
from raylog.model.ids import LeaderId
from raylog.model.limits import Limits
from raylog.model.load import ProcessUsage, process_usage
from raylog.model.logs import fields, role_logger
from raylog.model.routing import LeaderEndpoint, leader_socket
from raylog.storage.fenced_log import FencedLog
from raylog.storage.object_store import ObjectStore
from raylog.storage.wal import Wal

_FLUSH_ON_CLOSE_S_MAX = 20.0
"""When closing, the bucket has so long to take what is not in a slot yet; a file WAL keeps the rest."""


class Leader:
    """``start`` returns when it serves; ``closed`` resolves when it serves no more."""

    def __init__(
        self,
        *,
        leader_id: LeaderId,
        node_id: str,
        store: ObjectStore,
        wal: Wal,
        controller: ControllerClient,
        clock: Clock,
        rng: Random,
        limits: Limits,
        run_dir: Path,
        registry: CollectorRegistry,
        tcp_host: str = "127.0.0.1",
        compactor: Compactor | None = None,
        usage: Callable[[], ProcessUsage] = process_usage,
    ) -> None:
        """To be made on its event loop. ``run_dir`` gets the unix socket; TCP takes a free port of ``tcp_host``.

        ``compactor`` does the compaction jobs; None: they are done in this process. ``usage`` is what its process uses.
        """
        self._leader_id = leader_id
        self._node_id = node_id
        self._store = store
        self._wal = wal
        self._controller = controller
        self._clock = clock
        self._rng = rng
        self._limits = limits
        self._run_dir = run_dir
        self._tcp_host = tcp_host
        self._compactor = compactor or StoreCompactor(store, limits)
        self._usage = usage
        self._metrics = LeaderMetrics(registry, leader_id)
        self._log = role_logger("leader", leader=leader_id, node=node_id)
        self._tasks: set[asyncio.Task[None]] = set()
        self._parts: _Parts | None = None
        self._is_closing = False
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """None after ``close``; FencedError, or the WAL's I/O error, when it had to stop: its process is to exit then."""

    async def start(self) -> None:
        """Recover, listen, register. Waits for bucket, WAL and controller; raises FencedError, CorruptError."""
        recovered = await recover(
            leader_id=self._leader_id,
            store=self._store,
            wal=self._wal,
            clock=self._clock,
            rng=self._rng,
            limits=self._limits,
            logger=self._log,
        )
        if self._is_closing:
            await recovered.log.close()
            raise StaleRouteError("The leader was closed while it started.")
        parts = self._parts = self._compose(recovered)
        self._wal.start(parts.settling.durable, self.fail)
        parts.flusher.poke()
        context = parts.context
        context.partitions.observe(context.coordinators)
        unix_path = leader_socket(self._run_dir, self._leader_id, recovered.log.epoch)
        port = await parts.listener.start(unix_path, self._tcp_host)
        endpoint = LeaderEndpoint(
            leader_id=self._leader_id,
            log_epoch=recovered.log.epoch,
            node_id=self._node_id,
            unix_path=str(unix_path),
            host=self._tcp_host,
            port=port,
        )
        self._own(context.coordinators.run())
        self._own(parts.checkpoints.run())
        self._own(parts.housekeeping.run())
        self._own(parts.retention.run())
        self._own(parts.compaction.run())
        self._own(parts.incoming.run())
        registered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._own(self._follow_assignments(parts, endpoint, registered))
        await asyncio.wait((registered, self.closed), return_when=asyncio.FIRST_COMPLETED)
        if self.closed.done():
            self.closed.result()

    async def run_until_fenced(self) -> None:
        """``start``, then wait for ``closed``; whatever ends it, everything is given back."""
        try:
            await self.start()
            await asyncio.shield(self.closed)
        finally:
            await self.close()

    def fail(self, error: Exception) -> None:
        """Stop at once: nothing more is answered on any connection. The first error is the one that ``closed`` gives."""
        if self.closed.done():
            return
        if isinstance(error, FencedError):
            self._log.error("this leader was fenced, it stops", extra=fields(error=error))
        else:
            self._log.error("this leader cannot go on, it stops", exc_info=error, extra=fields(error=error))
        if self._parts is not None:
            self._parts.stop(error)
        self.closed.set_exception(error)
        # Whoever runs the leader awaits it; until then an error that nobody has asked for yet is no news.
        self.closed.exception()

    async def close(self) -> None:
        """Stop serving, flush to the bucket, close the WAL. Idempotent."""
        if self._is_closing:
            await asyncio.wait((self.closed,))
            return
        self._is_closing = True
        parts = self._parts
        if parts is not None and not self.closed.done():
            await self._settle(parts)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if parts is not None:
            parts.context.coordinators.close()
            await parts.listener.close()
            parts.stop(StaleRouteError("The leader is closed."))
            await parts.flusher.join()
            await parts.context.unflushed.join()
            parts.housekeeping.publish()
        await self._wal.close()
        if parts is not None:
            await self._close_log(parts)
        if not self.closed.done():
            self.closed.set_result(None)

    async def _settle(self, parts: "_Parts") -> None:
        """Give what was appended its answers, and the bucket its batches."""
        parts.listener.stop_reading()
        for hosted in list(parts.context.partitions):
            parts.context.partitions.stop_serving(hosted)
        try:
            async with asyncio.timeout(_FLUSH_ON_CLOSE_S_MAX):
                await parts.flusher.flush()
        except TimeoutError:
            self._log.warning("the bucket did not take the last batches in time; what the WAL has is recovered later")
        except RaylogError as error:
            self.fail(error)

    async def _close_log(self, parts: "_Parts") -> None:
        try:
            async with asyncio.timeout(0 if self.closed.done() else _FLUSH_ON_CLOSE_S_MAX):
                await parts.log.close()
        except TimeoutError:
            self._log.warning("slots of the leader log were still under way when it was closed")

    async def _follow_assignments(
        self, parts: "_Parts", endpoint: LeaderEndpoint, registered: asyncio.Future[None]
    ) -> None:
        context = parts.context
        follower = AssignmentFollower(
            endpoint=endpoint,
            controller=self._controller,
            partitions=context.partitions,
            appender=context.appender,
            buffer=parts.buffer,
            flusher=parts.flusher,
            adoptions=parts.adoptions,
            handovers=parts.handovers,
            incoming=parts.incoming,
            early_calls=context.early_calls,
            loads=parts.loads,
            store=self._store,
            clock=self._clock,
            rng=self._rng,
            limits=context.limits,
            logger=self._log,
            on_broker_configs=self._configure,
        )
        version = await follower.register()
        registered.set_result(None)
        await follower.run(version)

    def _configure(self, broker_configs: Mapping[str, str]) -> None:
        assert self._parts is not None
        try:
            self._parts.context.coordinators.configure(broker_configs)
            self._parts.retention.configure(broker_configs)
        except InvalidError as error:
            self._log.error("the broker's settings are not understood", extra=fields(error=error))

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a part of the leader's life; what ends it with an error ends the leader."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._part_ended)

    def _part_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error if isinstance(error, Exception) else RuntimeError(repr(error)))

    def _compose(self, recovered: Recovered) -> "_Parts":
        limits = self._limits.leader
        clock, metrics, log = self._clock, self._metrics, recovered.log
        partitions = HostedPartitions(self._clock)
        cache = TailCache(limits.tail_cache_bytes)
        buffer = WriteBuffer(
            limits.plan_run_bytes_max,
            held_bytes_max=limits.unflushed_bytes_max,
            rows_max=limits.unflushed_rows_max,
            slot_bytes_max=self._wal.flush_policy.max_bytes,
            spills=self._wal.can_read_back,
        )
        unflushed = UnflushedReader(
            buffer, self._wal, kept_bytes_max=limits.read_back_bytes_max, logger=self._log, on_fatal=self.fail
        )
        fetcher = Fetcher(partitions, unflushed, clock, limits, metrics, prefers_files=self._store.has_files)
        adoptions = Adoptions(
            partitions=partitions, releases=recovered.releases, cache=cache, log_epoch=log.epoch, logger=self._log
        )
        settling = Settling(
            leader_id=self._leader_id,
            partitions=partitions,
            fetcher=fetcher,
            unflushed=unflushed,
            adoptions=adoptions,
            wal=self._wal,
            metrics=metrics,
        )
        acks = Acks(clock, metrics, settling.advance)
        flusher = Flusher(
            log=log,
            buffer=buffer,
            policy=self._wal.flush_policy,
            gather_s=self._wal.flush_policy.gather_s,
            in_flight_max=limits.slots_in_flight_max,
            clock=clock,
            content=unflushed.body,
            on_cut=self._wal.cut,
            on_flushed=settling.flushed,
            on_fatal=self.fail,
        )
        appender = Appender(
            wal=self._wal,
            buffer=buffer,
            cache=cache,
            acks=acks,
            flusher=flusher,
            clock=clock,
            metrics=metrics,
            coordinator_bytes_max=limits.coordinator_bytes_max,
            upload_s_max=max(self._limits.garbage.grace_s, self._limits.log.trim_grace_s) / 4,
            on_fatal=self.fail,
        )
        admission = Admission(appender, clock, metrics)
        early_calls = EarlyCalls(clock, bytes_max=limits.early_bytes_max, s_max=limits.early_s_max)
        log_starts = LogStarts(buffer, flusher)
        checkpoints = Checkpoints(
            leader_id=self._leader_id,
            log=log,
            partitions=partitions,
            releases=recovered.releases,
            clock=clock,
            limits=limits,
            logger=self._log,
            settled_slot=recovered.last_slot,
            replayed_slots=recovered.slots,
            replayed_rows=recovered.rows,
        )
        settling.bind(acks=acks, appender=appender, admission=admission, log_starts=log_starts, checkpoints=checkpoints)
        reader = BatchReader(self._store, unflushed)
        internal_log = LeaderInternalLog(
            partitions=partitions, appender=appender, acks=acks, reader=reader, log_starts=log_starts
        )
        context = LeaderContext(
            leader_id=self._leader_id,
            store_url=self._store.url,
            clock=clock,
            limits=limits,
            log=self._log,
            metrics=metrics,
            partitions=partitions,
            appender=appender,
            acks=acks,
            admission=admission,
            fetcher=fetcher,
            unflushed=unflushed,
            reader=reader,
            log_starts=log_starts,
            produce_answers=ProduceAnswers(),
            internal_log=internal_log,
            early_calls=early_calls,
            coordinators=GroupCoordinators(
                log=internal_log, controller=self._controller, clock=clock, rng=self._rng, logger=self._log
            ),
            fail=self.fail,
        )
        loads = LoadMeter(partitions, clock, self._limits.balance, self._usage, lambda: metrics.requests_ever)
        housekeeping = Housekeeping(
            clock=clock,
            metrics=metrics,
            partitions=partitions,
            appender=appender,
            admission=admission,
            coordinators=context.coordinators,
            cache=cache,
            checkpoints=checkpoints,
            loads=loads,
        )
        _host(recovered, partitions, cache, buffer, appender)
        return _Parts(
            log=log,
            buffer=buffer,
            adoptions=adoptions,
            flusher=flusher,
            settling=settling,
            checkpoints=checkpoints,
            handovers=Handovers(
                leader_id=self._leader_id,
                store=self._store,
                log=log,
                partitions=partitions,
                releases=recovered.releases,
                buffer=buffer,
                flusher=flusher,
                controller=self._controller,
                clock=clock,
                rng=self._rng,
                grace_s=self._limits.log.trim_grace_s,
                logger=self._log,
                on_stopped=fetcher.failed,
            ),
            incoming=Incoming(
                leader_id=self._leader_id,
                log_epoch=log.epoch,
                store=self._store,
                controller=self._controller,
                early_calls=early_calls,
                clock=clock,
                rng=self._rng,
                logger=self._log,
            ),
            housekeeping=housekeeping,
            loads=loads,
            compaction=Compaction(
                leader_id=self._leader_id,
                epoch=log.epoch,
                partitions=partitions,
                checkpoints=checkpoints,
                buffer=buffer,
                flusher=flusher,
                compactor=self._compactor,
                clock=clock,
                rng=self._rng,
                limits=self._limits,
                metrics=metrics,
                logger=self._log,
            ),
            retention=Retention(partitions=partitions, log_starts=log_starts, clock=clock, logger=self._log),
            context=context,
            listener=Listener(context, served_apis()),
        )


def _host(
    recovered: Recovered, partitions: HostedPartitions, cache: TailCache, buffer: WriteBuffer, appender: Appender
) -> None:
    """Recovered partitions serve again, with what only the WAL had as their unflushed tail."""
    for led in recovered.partitions.values():
        tail = cache.open(led.core.flushed_end_offset)
        partitions.add(HostedPartition(led.core, tail, epoch_base=led.epoch_base, configs=led.configs))
    for event in recovered.taken_over:
        partitions[event.partition].is_adopted = False
        buffer.add_event(event)
    for partition, batches in recovered.tail:
        hosted = partitions.get(partition)
        assert hosted is not None, partition
        appender.recovered(hosted, batches)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What is there once the log is open."""

    log: FencedLog
    buffer: WriteBuffer
    adoptions: Adoptions
    flusher: Flusher
    settling: Settling
    checkpoints: Checkpoints
    handovers: Handovers
    incoming: Incoming
    housekeeping: Housekeeping
    loads: LoadMeter
    retention: Retention
    compaction: Compaction
    context: LeaderContext
    listener: Listener

    def stop(self, error: Exception) -> None:
        """Nothing is answered, settled or cut any more. Idempotent."""
        if not isinstance(error, RaylogError):
            error = RaylogError(f"The leader has ended: {error!r}")
        context = self.context
        context.is_stopped = True
        self.settling.stop()
        context.internal_log.stop(error)
        context.acks.stop(error)
        context.admission.stop()
        context.early_calls.stop()
        context.fetcher.stop()
        context.unflushed.stop()
        self.flusher.stop(error)
        context.coordinators.close()
        self.listener.abort()
