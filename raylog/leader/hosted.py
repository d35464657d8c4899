"""The partitions that a leader leads, by id and by name, and who wants to know when one comes or goes."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Protocol

from raylog.leader.load_meter import PartitionWork
from raylog.leader.tail_cache import PartitionTail
from raylog.model.clock import Clock
from raylog.model.ids import TopicId, TopicPartition
from raylog.model.topic_config import effective
from raylog.partition.config import PartitionConfig, partition_config
from raylog.partition.partition import Partition

_EXPIRATION = "producer.id.expiration.ms"
_EXPIRATION_MS_DEFAULT = PartitionConfig().producer_id_expiration_ms
_CONFIGS_KEPT = 256
_Items = tuple[tuple[str, str], ...]


class HostedPartition:
    """One led partition: its state machine, and what the shell keeps beside it."""

    __slots__ = ("configs", "core", "epoch_base", "is_adopted", "is_leaving", "is_serving", "since_s", "tail", "work")

    def __init__(self, core: Partition, tail: PartitionTail, *, epoch_base: int, configs: Mapping[str, str]) -> None:
        self.core = core
        self.tail = tail
        self.epoch_base = epoch_base
        self.configs = dict(configs)
        """The topic's own settings."""
        self.work = PartitionWork()
        self.since_s = 0.0
        """When it began to be led here, by the monotonic clock."""
        self.is_serving = True
        """False once it is being released: nothing is appended or read any more, what was appended is settled."""
        self.is_adopted = True
        """False while the adoption is in no durable slot: it serves already, as the WAL has the adoption before its batches."""
        self.is_leaving = False
        """What its next leader begins with is being written: its batches stay where they are."""

    @property
    def partition(self) -> TopicPartition:
        return self.core.partition

    @property
    def topic_name(self) -> str:
        return self.core.topic_name


class PartitionObserver(Protocol):
    """A coordinator, told on the event loop; neither call may wait or raise."""

    def partition_opened(self, hosted: HostedPartition) -> None:
        """The partition serves: recovered, or newly adopted."""
        ...

    def partition_closed(self, hosted: HostedPartition) -> None:
        """It does not serve any more: released, deleted, or the leader closes."""
        ...


class HostedPartitions:
    """Every partition that the leader log has adopted and not released."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._all: dict[TopicPartition, HostedPartition] = {}
        self._by_name: dict[tuple[str, int], HostedPartition] = {}
        self._observers: list[PartitionObserver] = []

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[HostedPartition]:
        """Those being released included."""
        return iter(self._all.values())

    def __contains__(self, partition: TopicPartition) -> bool:
        return partition in self._all

    def __getitem__(self, partition: TopicPartition) -> HostedPartition:
        return self._all[partition]

    def get(self, partition: TopicPartition) -> HostedPartition | None:
        """The partition, if it serves."""
        hosted = self._all.get(partition)
        return hosted if hosted is not None and hosted.is_serving else None

    def find(self, topic: str | TopicId, number: int) -> HostedPartition | None:
        """The partition of a topic by name or id, if it serves."""
        if isinstance(topic, str):
            return self._by_name.get((topic, number))
        return self.get(TopicPartition(topic, number))

    def settling(self, partition: TopicPartition) -> HostedPartition | None:
        """The partition, also while it is being released."""
        return self._all.get(partition)

    def add(self, hosted: HostedPartition) -> None:
        """It serves from now on."""
        hosted.since_s = self._clock.monotonic()
        self._all[hosted.partition] = hosted
        self._by_name[hosted.topic_name, hosted.partition.partition] = hosted
        for observer in self._observers:
            observer.partition_opened(hosted)

    def stop_serving(self, hosted: HostedPartition) -> None:
        """It is being released, or the leader closes."""
        if not hosted.is_serving:
            return
        hosted.is_serving = False
        name = (hosted.topic_name, hosted.partition.partition)
        if self._by_name.get(name) is hosted:
            del self._by_name[name]
        for observer in self._observers:
            observer.partition_closed(hosted)

    def remove(self, hosted: HostedPartition) -> None:
        """Its release is durable."""
        del self._all[hosted.partition]

    def observe(self, observer: PartitionObserver) -> None:
        """Tell it of the partitions that serve already, and of each that comes or goes."""
        self._observers.append(observer)
        for hosted in self._all.values():
            if hosted.is_serving:
                observer.partition_opened(hosted)


def config_of(configs: Mapping[str, str], broker_configs: Mapping[str, str]) -> PartitionConfig:
    """What a partition looks at, from a topic's own settings and the cluster's. Raises InvalidError for an impossible value."""
    return _config_of(tuple(configs.items()), tuple(broker_configs.items()))


@lru_cache(maxsize=_CONFIGS_KEPT)
def _config_of(configs: _Items, broker_configs: _Items) -> PartitionConfig:
    """All partitions of a topic have the same, and a recovery asks for each of them."""
    broker = dict(broker_configs)
    expiration_ms = broker.get(_EXPIRATION, _EXPIRATION_MS_DEFAULT)
    return partition_config(effective(dict(configs), broker), producer_id_expiration_ms=int(expiration_ms))
