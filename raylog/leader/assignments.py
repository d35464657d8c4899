"""What this leader is to lead, as the controller says: registered once, followed by long poll for ever.

- A partition is adopted by an event in the leader's own log. It serves, and is reported, once that is durable.
- One that was led before is taken over: it begins as the handover says that its assignment names (``handovers``), and serves
  while the event is on its way (``adoptions``).
- One that the controller knows to be adopted and the log does not was lost with the bucket's objects: CorruptError.
- A partition that another leader waits for stops serving, and is released by an event that names its handover, which the
  controller is told of. One whose topic is deleted is released by an event that says where it ended. That it is not assigned any
  more is not enough for it: the controller is asked, as what is released so is soon garbage.
- Each poll takes along the newest report of the leader's load.
- Serving does not depend on the controller: while it is away, everything goes on as it last was.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from raylog.leader.adoptions import Adoptions
from raylog.leader.append import Appender
from raylog.leader.backoff import backoff
from raylog.leader.early_calls import EarlyCalls
from raylog.leader.flusher import Flusher
from raylog.leader.handover_reader import HandoverReader, Source, as_released
from raylog.leader.handovers import Handovers
from raylog.leader.hosted import HostedPartition, HostedPartitions
from raylog.leader.incoming import Incoming
from raylog.leader.load_meter import LoadMeter
from raylog.leader.write_buffer import WriteBuffer
from raylog.model.admin import Adopted, Assignment, ControllerClient, LeaderAssignments, TakenFrom
from raylog.model.clock import Clock, Random
from raylog.model.errors import CorruptError, RetryError
from raylog.model.ids import TopicPartition
from raylog.model.limits import LeaderLimits
from raylog.model.logs import RoleLogger, fields
from raylog.model.routing import LeaderEndpoint
from raylog.partition.flushed_state import PartitionSnapshot
from raylog.storage.object_store import ObjectStore
from raylog.storage.slot_events import Adopt, TakeOver


class AssignmentFollower:
    def __init__(
        self,
        *,
        endpoint: LeaderEndpoint,
        controller: ControllerClient,
        partitions: HostedPartitions,
        appender: Appender,
        buffer: WriteBuffer,
        flusher: Flusher,
        adoptions: Adoptions,
        handovers: Handovers,
        incoming: Incoming,
        early_calls: EarlyCalls,
        loads: LoadMeter,
        store: ObjectStore,
        clock: Clock,
        rng: Random,
        limits: LeaderLimits,
        logger: RoleLogger,
        on_broker_configs: Callable[[Mapping[str, str]], None],
    ) -> None:
        self._endpoint = endpoint
        self._controller = controller
        self._partitions = partitions
        self._appender = appender
        self._buffer = buffer
        self._flusher = flusher
        self._adoptions = adoptions
        self._handovers = handovers
        self._incoming = incoming
        self._early_calls = early_calls
        self._loads = loads
        self._store = store
        self._clock = clock
        self._rng = rng
        self._limits = limits
        self._logger = logger
        self._on_broker_configs = on_broker_configs
        self._unreported: list[HostedPartition] = []
        """Adopted, and not yet said so."""

    async def register(self, version: int = -1) -> int:
        """Tell the controller where this leader is and do what it says; returns the version of that.

        Waits while the controller is away, or knows less than ``version``: a predecessor that has not noticed its fence, by which
        nothing may be released. Raises FencedError when a later open of this leader is registered.
        """
        for pause in backoff(self._rng, self._limits.register_backoff_s_max):
            try:
                assignments = await self._controller.register_leader(self._endpoint)
                if assignments.version < version:
                    raise RetryError(
                        f"The controller that answers is at version {assignments.version}, below {version}."
                    )
                await self._follow(assignments)
                self._unreported = [hosted for hosted in self._partitions if hosted.is_serving]
                await self._report()
                return assignments.version
            except RetryError as error:
                self._logger.warning("the controller is away, registering again", extra=fields(error=error))
                await self._clock.sleep(pause)
        raise AssertionError("pauses never end")

    async def run(self, version: int) -> None:
        """Follow the assignments from ``version`` on, for ever. Raises FencedError."""
        while True:
            try:
                assignments = await self._controller.watch_assignments(
                    self._endpoint.leader_id, self._endpoint.log_epoch, version, self._loads.take()
                )
                if assignments is not None:
                    await self._follow(assignments)
                    version = assignments.version
                await self._report()
            except RetryError as error:
                self._logger.warning("the controller is away, the leader goes on", extra=fields(error=error))
                await self._clock.sleep(self._limits.register_backoff_s_max * self._rng.random())
                # The one that comes back may not have heard of this leader.
                version = await self.register(version)

    async def _follow(self, assignments: LeaderAssignments) -> None:
        """Bring what is led in line with what is assigned."""
        wanted = {assigned.partition: assigned for assigned in assignments.partitions}
        self._adoptions.configure(
            {partition: assigned.configs for partition, assigned in wanted.items()},
            assignments.broker_configs,
            self._on_broker_configs,
        )
        handing_over = dict.fromkeys(assignments.handing_over)
        mine = [*handing_over, *(partition for partition, assigned in wanted.items() if assigned.adopted)]
        self._check_known(mine, wanted)
        self._handovers.forget_all_but(mine)
        await self._report_released(mine)  # of an earlier open: they are led nowhere
        await self._handovers.hand_over([hosted for hosted in self._partitions if hosted.partition in handing_over])
        await self._report_released(mine)
        await self._release_deleted([hosted for hosted in self._partitions if hosted.partition not in wanted])
        await self._adopt([a for a in assignments.partitions if not a.adopted and a.partition not in self._partitions])

    async def _release_deleted(self, unassigned: Sequence[HostedPartition]) -> None:
        if not unassigned:
            return
        deleted = frozenset(await self._controller.deleted_of([hosted.partition for hosted in unassigned]))
        for hosted in unassigned:
            if hosted.partition not in deleted:
                self._logger.error(
                    "a partition is assigned to nobody, and its topic is there: it is led as before",
                    extra=fields(topic=hosted.topic_name, partition=hosted.partition.partition),
                )
        await self._handovers.release([hosted for hosted in unassigned if hosted.partition in deleted])

    def _check_known(self, mine: Sequence[TopicPartition], wanted: Mapping[TopicPartition, Assignment]) -> None:
        """Raises CorruptError for a partition that this log has adopted, as it seems, and neither leads nor has handed over: to
        begin it again at offset 0 would hide what was acknowledged."""
        for partition in mine:
            if partition not in self._partitions and not self._handovers.untold([partition]):
                topic = f"'{wanted[partition].topic_name}'" if partition in wanted else str(partition.topic_id)
                raise CorruptError(
                    f"The log of leader {self._endpoint.leader_id} does not know partition {partition.partition} of topic "
                    f"{topic}, which it has adopted: objects are missing in the bucket. Restore them."
                )

    async def _adopt(self, assigned: Sequence[Assignment]) -> None:
        """Returns once the adoptions are in durable slots. A new partition's first leader epoch is 0; one that is taken over gets
        one above all that were seen of it."""
        states = await self._states(assigned)
        written = [
            self._begin(a) if a.taken_from is None else self._take_over(a, a.taken_from, states[a.partition])
            for a in assigned
        ]
        self._early_calls.serve_ready()
        self._flusher.poke()
        await asyncio.gather(*written)
        self._unreported += [self._partitions[a.partition] for a in assigned]

    def _begin(self, a: Assignment) -> asyncio.Future[None]:
        return self._buffer.add_event(
            Adopt(
                partition=a.partition,
                epoch_base=-self._endpoint.log_epoch,
                topic_name=a.topic_name,
                configs=dict(a.configs),
            )
        )

    def _take_over(self, a: Assignment, source: TakenFrom, state: PartitionSnapshot) -> asyncio.Future[None]:
        event = TakeOver(
            partition=a.partition,
            # Bases rise with each adoption, so that a report of an earlier one is known by its base.
            epoch_base=max(source.leader_epoch + 1 - self._endpoint.log_epoch, source.epoch_base + 1),
            topic_name=a.topic_name,
            from_leader=source.leader_id,
            handover=source.handover,
            changes=source.changes,
            configs=dict(a.configs),
        )
        written = self._appender.take_over(event, self._endpoint.log_epoch)
        self._adoptions.take_over(event, state)
        return written

    async def _states(self, assigned: Sequence[Assignment]) -> Mapping[TopicPartition, PartitionSnapshot]:
        """What those begin with that were led before. Waits while the bucket is away; raises CorruptError."""
        states: dict[TopicPartition, PartitionSnapshot] = {}
        unread: list[Source] = []
        for a in assigned:
            if a.taken_from is None:
                continue
            source = Source(a.partition, a.taken_from.leader_id, a.taken_from.handover, a.taken_from.changes)
            handed = self._incoming.take(a.partition, a.taken_from)
            if handed is None:
                unread.append(source)
            else:
                states[a.partition] = as_released(handed, source)
        reader = HandoverReader(self._store)
        return states | await reader.patiently(unread, self._clock, self._rng, self._logger)

    async def _report_released(self, partitions: Sequence[TopicPartition]) -> None:
        """Tell of those that this log has released; they are forgotten when the next assignments show that it is known."""
        released = self._handovers.untold(partitions)
        if released:
            await self._controller.report_released(self._endpoint.leader_id, self._endpoint.log_epoch, released)

    async def _report(self) -> None:
        """Tell of adoptions in durable slots; one that recovery has found in the WAL alone is told of with a later poll."""
        report = [hosted for hosted in self._unreported if hosted.is_adopted]
        if report:
            adopted = [Adopted(partition=hosted.partition, epoch_base=hosted.epoch_base) for hosted in report]
            await self._controller.report_adopted(self._endpoint.leader_id, self._endpoint.log_epoch, adopted)
            self._unreported = [hosted for hosted in self._unreported if not hosted.is_adopted]
