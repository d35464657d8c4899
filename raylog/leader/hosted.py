"""The partitions that a leader leads, by id and by name, and who wants to know when one comes or goes."""

from typing import Protocol

from raylog.model.ids import TopicId, TopicPartition


class HostedPartition:
    """One led partition: its state machine and what the shell keeps beside it."""

    __slots__ = ("configs", "partition", "topic_name")

    partition: TopicPartition
    topic_name: str
    configs: dict[str, str]


class PartitionObserver(Protocol):
    """A coordinator, told on the event loop; neither call may wait or raise."""

    def partition_opened(self, hosted: HostedPartition) -> None:
        """The partition serves: recovered, or newly adopted."""
        ...

    def partition_closed(self, hosted: HostedPartition) -> None:
        """It does not serve any more: released, deleted, or the leader closes."""
        ...


class HostedPartitions:
    def get(self, partition: TopicPartition) -> HostedPartition | None: ...

    def topic_id(self, topic_name: str) -> TopicId | None: ...

    def observe(self, observer: PartitionObserver) -> None:
        """Tell it of the partitions that serve already, and of each that comes or goes."""
        ...
