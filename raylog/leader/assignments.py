"""What this leader is to lead, as the controller says: registered once, followed by long poll for ever.

- A partition is adopted by an event in the leader's own log. It serves, and is reported, once that is durable.
- One that the controller knows to be adopted and the log does not was lost with the bucket's objects: CorruptError.
- A partition that is no longer assigned stops serving at once, and is released by an event that says where it ended.
- Serving does not depend on the controller: while it is away, everything goes on as it last was.
"""

from collections.abc import Callable, Iterable, Mapping

from raylog.leader.adoptions import Adoptions
from raylog.leader.flusher import Flusher
from raylog.leader.hosted import HostedPartition, HostedPartitions
from raylog.leader.recovery import backoff
from raylog.leader.write_buffer import WriteBuffer
from raylog.model.admin import Adopted, Assignment, ControllerClient, LeaderAssignments
from raylog.model.clock import Clock, Random
from raylog.model.errors import CorruptError, RetryError
from raylog.model.limits import LeaderLimits
from raylog.model.logs import RoleLogger, fields
from raylog.model.routing import LeaderEndpoint
from raylog.storage.slot_events import Adopt, Release, SlotEvent


class AssignmentFollower:
    def __init__(
        self,
        *,
        endpoint: LeaderEndpoint,
        controller: ControllerClient,
        partitions: HostedPartitions,
        buffer: WriteBuffer,
        flusher: Flusher,
        adoptions: Adoptions,
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
        self._adoptions = adoptions
        self._clock = clock
        self._rng = rng
        self._limits = limits
        self._logger = logger
        self._on_broker_configs = on_broker_configs
        self._on_released = on_released
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
                    self._endpoint.leader_id, self._endpoint.log_epoch, version
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
        await self._release([hosted for hosted in self._partitions if hosted.partition not in wanted])
        await self._adopt([a for a in assignments.partitions if a.partition not in self._partitions])

    async def _adopt(self, assigned: list[Assignment]) -> None:
        """A new partition's first leader epoch is 0. Raises CorruptError for one that this log has adopted before, as it seems:
        to begin it again at offset 0 would hide what was acknowledged."""
        lost = [a for a in assigned if a.adopted]
        if lost:
            raise CorruptError(
                f"The log of leader {self._endpoint.leader_id} does not know partition {lost[0].partition.partition} of topic "
                f"'{lost[0].topic_name}', which it has adopted: objects are missing in the bucket. Restore them."
            )
        base = -self._endpoint.log_epoch
        await self._write(
            Adopt(partition=a.partition, epoch_base=base, topic_name=a.topic_name, configs=dict(a.configs))
            for a in assigned
        )
        self._unreported += [self._partitions[a.partition] for a in assigned]

    async def _release(self, released: list[HostedPartition]) -> None:
        for hosted in released:
            self._partitions.stop_serving(hosted)
            self._on_released(hosted)
        await self._write(
            Release(partition=hosted.partition, end_offset=hosted.core.log_end_offset) for hosted in released
        )

    async def _write(self, events: Iterable[SlotEvent]) -> None:
        """Returns once the events are durable and have taken effect."""
        written = [self._buffer.add_event(event) for event in events]
        self._flusher.poke()
        for event in written:
            await event

    async def _report(self) -> None:
        if self._unreported:
            report = [Adopted(partition=hosted.partition, epoch_base=hosted.epoch_base) for hosted in self._unreported]
            await self._controller.report_adopted(self._endpoint.leader_id, self._endpoint.log_epoch, report)
            self._unreported.clear()
