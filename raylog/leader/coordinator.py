"""The group coordinators of a leader: one for each ``__consumer_offsets`` partition that it leads, made and ended with it."""

import asyncio
from collections.abc import Mapping
from uuid import UUID

from raylog.coordination.hashing import group_partition
from raylog.coordination.internal import ClientContext
from raylog.coordination.messages import Answer
from raylog.coordination.settings import GroupSettings
from raylog.leader.coordinator_shell import CoordinatorShell, InternalLog, MakeEvent
from raylog.leader.hosted import HostedPartition
from raylog.model.admin import ControllerClient
from raylog.model.clock import Clock, Random
from raylog.model.errors import StaleRouteError
from raylog.model.ids import TopicId
from raylog.model.logs import RoleLogger
from raylog.model.routing import GroupsTopic

__all__ = ["GroupCoordinators", "InternalLog"]


class GroupCoordinators:
    """A ``PartitionObserver``. The leader owns ``run`` and takes its failure as its own."""

    def __init__(
        self, *, log: InternalLog, controller: ControllerClient, clock: Clock, rng: Random, logger: RoleLogger
    ) -> None:
        self._log = log
        self._controller = controller
        self._clock = clock
        self._rng = rng
        self._logger = logger
        self._settings = GroupSettings()
        self._shells: dict[int, CoordinatorShell] = {}
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._changed = asyncio.Event()
        self._is_closed = False

    def configure(self, broker_configs: Mapping[str, str]) -> None:
        """The cluster's broker settings, for all that is done from now on. Raises InvalidError."""
        self._settings = GroupSettings.from_broker_configs(broker_configs)
        for shell in self._shells.values():
            shell.configure(self._settings)

    # What a PartitionObserver is told

    def partition_opened(self, hosted: HostedPartition) -> None:
        if hosted.topic_name != GroupsTopic or self._is_closed:
            return
        number = hosted.partition.partition
        self.partition_closed(hosted)
        shell = self._shells[number] = CoordinatorShell(
            partition=hosted.partition,
            log=self._log,
            settings=self._settings,
            clock=self._clock,
            existing_topics=self._existing_topics,
            logger=self._logger,
        )
        self._tasks[asyncio.get_running_loop().create_task(shell.run())] = None
        self._changed.set()

    def partition_closed(self, hosted: HostedPartition) -> None:
        shell = self._shells.pop(hosted.partition.partition, None) if hosted.topic_name == GroupsTopic else None
        if shell is not None:
            shell.close()

    async def run(self) -> None:
        """Watch over the coordinators until ``close``; raises the first failure of one."""
        try:
            while not self._is_closed:
                self._changed.clear()
                changed = asyncio.ensure_future(self._changed.wait())
                try:
                    await asyncio.wait((changed, *self._tasks), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    changed.cancel()
                for task in [task for task in self._tasks if task.done()]:
                    del self._tasks[task]
                    task.result()
        finally:
            self.close()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def retry(self) -> None:
        """The leader may have room again for requests that wait."""
        for shell in list(self._shells.values()):
            shell.retry()

    def close(self) -> None:
        """End every coordinator: who waits is told that it is gone. Idempotent."""
        self._is_closed = True
        for shell in self._shells.values():
            shell.close()
        self._shells.clear()
        self._changed.set()

    # What handlers ask

    def ask(self, client: ClientContext, group_id: str, make_event: MakeEvent) -> asyncio.Future[Answer]:
        """The answer of the group's coordinator. Raises StaleRouteError (also later, from the future), RetryError while it
        loads."""
        number = group_partition(group_id, client.partition_count)
        shell = self._shells.get(number)
        if shell is None:
            raise StaleRouteError(f"{GroupsTopic}-{number} is not led here.")
        return shell.ask(make_event)

    def ask_all(self, make_event: MakeEvent) -> list[asyncio.Future[Answer]]:
        """The answers of all coordinators here. Raises RetryError while one loads."""
        return [shell.ask(make_event) for _, shell in sorted(self._shells.items())]

    def new_uuid(self) -> str:
        """For a member id."""
        return str(UUID(int=self._rng.getrandbits(128), version=4))

    async def _existing_topics(self) -> dict[str, TopicId]:
        """The cluster's topics at this moment. Raises RetryError."""
        table = await self._controller.watch_routes(0)
        return {name: topic.topic_id for name, topic in table.topics.items()}
