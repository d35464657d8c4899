"""What this leader is to lead, as the controller says: registered once, followed by long poll for ever.

- A partition is adopted by an event in the leader's own log. It serves, and is reported, once that is durable.
- A partition that is no longer assigned stops serving at once, and is released by an event that says where it ended.
- Serving does not depend on the controller: while it is away, everything goes on as it last was.
"""

from collections.abc import Callable, Mapping

from raylog.leader.flusher import Flusher
from raylog.leader.hosted import HostedPartition, HostedPartitions, config_of
from raylog.leader.recovery import backoff
from raylog.leader.tail_cache import TailCache
from raylog.leader.write_buffer import WriteBuffer
from raylog.model.admin import Adopted, Assignment, ControllerClient, LeaderAssignments
from raylog.model.clock import Clock, Random
from raylog.model.errors import InvalidError, RetryError
from raylog.model.ids import LeaderEpoch, LogEpoch, TopicPartition
from raylog.model.limits import LeaderLimits
from raylog.model.logs import RoleLogger, fields
from raylog.model.routing import LeaderEndpoint
from raylog.partition.config import PartitionConfig
from raylog.partition.partition import Partition
from raylog.storage.slot_events import Adopt, Release


class AssignmentFollower:
    def __init__(
        self,
        *,
        endpoint: LeaderEndpoint,
        controller: ControllerClient,
        partitions: HostedPartitions,
        buffer: WriteBuffer,
        flusher: Flusher,
        cache: TailCache,
        clock: Clock,
        rng: Random,
        limits: LeaderLimits,
        logger: RoleLogger,
        on_broker_configs: Callable[[Mapping[str, str]], None],
        on_released: Callable[[HostedPartition], None],
    ) -> None:
        self._endpoint = endpoint
        self._controller = controller
        self._partitions = partitions
        self._buffer = buffer
        self._flusher = flusher
        self._cache = cache
        self._clock = clock
        self._rng = rng
        self._limits = limits
        self._logger = logger
        self._on_broker_configs = on_broker_configs
        self._on_released = on_released
        self._broker_configs: Mapping[str, str] = {}
        self._unreported: list[HostedPartition] = []
        """Adopted, and not yet said so."""

    async def register(self) -> int:
        """Tell the controller where this leader is and do what it says; returns the version of that.

        Waits while the controller is away. Raises FencedError when a later open of this leader is registered.
        """
        for pause in backoff(self._rng, self._limits.register_backoff_s_max):
            try:
                assignments = await self._controller.register_leader(self._endpoint)
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
        pauses = backoff(self._rng, self._limits.register_backoff_s_max)
        while True:
            try:
                assignments = await self._controller.watch_assignments(
                    self._endpoint.leader_id, self._endpoint.log_epoch, version
                )
                if assignments.version > version:
                    await self._follow(assignments)
                    version = assignments.version
                await self._report()
                pauses = backoff(self._rng, self._limits.register_backoff_s_max)
            except RetryError as error:
                self._logger.warning("the controller is away, asking again", extra=fields(error=error))
                await self._clock.sleep(next(pauses))

    async def _follow(self, assignments: LeaderAssignments) -> None:
        """Bring what is led in line with what is assigned."""
        wanted = {assigned.partition: assigned for assigned in assignments.partitions}
        self._configure(wanted, assignments.broker_configs)
        await self._release([hosted for hosted in self._partitions if hosted.partition not in wanted])
        await self._adopt([a for a in assignments.partitions if a.partition not in self._partitions])

    def _configure(self, wanted: Mapping[TopicPartition, Assignment], broker_configs: Mapping[str, str]) -> None:
        has_broker_change = broker_configs != self._broker_configs
        if has_broker_change:
            self._broker_configs = dict(broker_configs)
            self._on_broker_configs(self._broker_configs)
        for partition, assigned in wanted.items():
            hosted = self._partitions.get(partition)
            if hosted is not None and (has_broker_change or hosted.configs != assigned.configs):
                hosted.configs = dict(assigned.configs)
                hosted.core.config = self._config(assigned)

    def _config(self, assigned: Assignment) -> PartitionConfig:
        try:
            return config_of(assigned.configs, self._broker_configs)
        except InvalidError as error:
            # The controller has checked them, but a newer one may know values that this leader does not.
            self._logger.error(
                "a topic's settings are not understood, its defaults are used",
                extra=fields(topic=assigned.topic_name, error=error),
            )
            return config_of({}, {})

    async def _adopt(self, assigned: list[Assignment]) -> None:
        epoch = LogEpoch(self._endpoint.log_epoch)
        written = [
            self._buffer.add_event(
                Adopt(partition=a.partition, epoch_base=-epoch, topic_name=a.topic_name, configs=dict(a.configs))
            )
            for a in assigned
        ]
        self._flusher.poke()
        for event in written:
            await event
        for a in assigned:
            core = Partition(partition=a.partition, topic_name=a.topic_name, config=self._config(a))
            core.become_leader(LeaderEpoch(0))
            hosted = HostedPartition(core, self._cache.open(0), epoch_base=-epoch, configs=a.configs)
            self._partitions.add(hosted)
            self._unreported.append(hosted)

    async def _release(self, released: list[HostedPartition]) -> None:
        written = []
        for hosted in released:
            self._partitions.stop_serving(hosted)
            self._on_released(hosted)
            written.append(
                self._buffer.add_event(Release(partition=hosted.partition, end_offset=hosted.core.log_end_offset))
            )
        self._flusher.poke()
        for hosted, event in zip(released, written, strict=True):
            await event
            self._partitions.remove(hosted)
            self._cache.close(hosted.tail)

    async def _report(self) -> None:
        if self._unreported:
            report = [Adopted(partition=hosted.partition, epoch_base=hosted.epoch_base) for hosted in self._unreported]
            await self._controller.report_adopted(self._endpoint.leader_id, self._endpoint.log_epoch, report)
            self._unreported.clear()
