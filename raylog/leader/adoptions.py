"""Partitions come and go by durable events of the leader log. The events take effect where their slot settles, so that a
checkpoint taken at that slot has exactly what a replay up to it would have. Also keeps the settings that partitions are given.

A partition that is taken over serves sooner: from when the event is on its way, as the WAL has it before the partition's batches,
of which none is acknowledged before it. No checkpoint has the partition until its slot has settled.
"""

from collections.abc import Callable, Mapping

from raylog.leader.hosted import HostedPartition, HostedPartitions, config_of
from raylog.leader.releases import Releases
from raylog.leader.tail_cache import TailCache
from raylog.model.errors import InvalidError
from raylog.model.ids import LeaderEpoch, LogEpoch, TopicPartition
from raylog.model.logs import RoleLogger, fields
from raylog.partition.config import PartitionConfig
from raylog.partition.flushed_state import PartitionSnapshot
from raylog.partition.partition import Partition
from raylog.storage.slot_events import Adopt, HandOver, Release, TakeOver, WalPosition


class Adoptions:
    def __init__(
        self,
        *,
        partitions: HostedPartitions,
        releases: Releases,
        cache: TailCache,
        log_epoch: LogEpoch,
        logger: RoleLogger,
    ) -> None:
        self._partitions = partitions
        self._releases = releases
        self._cache = cache
        self._log_epoch = log_epoch
        self._logger = logger
        self._broker_configs: Mapping[str, str] = {}
        self._not_understood: set[str] = set()
        """Topics whose settings were found so, and said to be."""

    def configure(
        self,
        topics: Mapping[TopicPartition, Mapping[str, str]],
        broker_configs: Mapping[str, str],
        on_broker_configs: Callable[[Mapping[str, str]], None],
    ) -> None:
        """Settings as they are now: of each partition's topic, and of the cluster (told on when they have changed)."""
        has_broker_change = broker_configs != self._broker_configs
        if has_broker_change:
            self._broker_configs = dict(broker_configs)
            self._not_understood.clear()
            on_broker_configs(self._broker_configs)
        for partition, configs in topics.items():
            hosted = self._partitions.get(partition)
            if hosted is not None and (has_broker_change or hosted.configs != configs):
                hosted.configs = dict(configs)
                hosted.core.config = self._config(hosted.topic_name, configs)

    def adopted(self, event: Adopt) -> None:
        """The adoption is durable: the partition serves."""
        self._releases.led_again(event.partition)
        self._begin(event, None)

    def take_over(self, event: TakeOver, state: PartitionSnapshot) -> None:
        """The take-over is on its way into WAL and log: the partition serves, and begins with ``state``."""
        self._begin(event, state).is_adopted = False

    def taken_over(self, event: TakeOver) -> None:
        """The take-over is in a durable slot."""
        self._releases.led_again(event.partition)
        self._partitions[event.partition].is_adopted = True

    def _begin(self, event: Adopt | TakeOver, state: PartitionSnapshot | None) -> HostedPartition:
        core = Partition(
            partition=event.partition,
            topic_name=event.topic_name,
            config=self._config(event.topic_name, event.configs),
            snapshot=state,
        )
        core.become_leader(LeaderEpoch(event.epoch_base + self._log_epoch))
        tail = self._cache.open(core.log_end_offset)
        hosted = HostedPartition(core, tail, epoch_base=event.epoch_base, configs=event.configs)
        self._partitions.add(hosted)
        return hosted

    def handed_over(self, event: HandOver) -> None:
        """The release for another leader is durable: the log remembers it until the controller knows."""
        hosted = self._partitions[event.partition]
        assert hosted.core.flushed_end_offset == event.end_offset, event
        self.released(event)
        self._releases.handed_over(event, hosted.core)

    def released(self, event: Release | HandOver) -> None:
        """The release is durable: nothing of the partition is left here."""
        hosted = self._partitions.settling(event.partition)
        assert hosted is not None and not hosted.is_serving, event
        self._partitions.remove(hosted)
        self._cache.close(hosted.tail)

    def wal_is_here(self, position: WalPosition) -> None:
        """The position is in a durable slot."""
        self._releases.wal_is_here(position)

    def _config(self, topic_name: str, configs: Mapping[str, str]) -> PartitionConfig:
        try:
            return config_of(configs, self._broker_configs)
        except InvalidError as error:
            # The controller has checked them, but a newer one may know values that this leader does not.
            if topic_name not in self._not_understood:  # it may have a thousand partitions
                self._not_understood.add(topic_name)
                self._logger.error(
                    "a topic's settings are not understood, the defaults are used",
                    extra=fields(topic=topic_name, error=error),
                )
            return config_of({}, {})
