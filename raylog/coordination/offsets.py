"""The offsets that one group has committed, and those that open transactions have written but not yet committed.

Keyed by topic name and partition, as the records are. The topic's id is kept with each offset, so that a topic that was deleted
and made again under its old name does not inherit them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from raylog.coordination.records import CommittedOffset
from raylog.model.ids import ProducerId, TopicId

TopicName = str
Partitions = dict[int, CommittedOffset]


@dataclass(slots=True, eq=False)
class GroupOffsets:
    committed: dict[TopicName, Partitions] = field(default_factory=dict)
    pending: dict[ProducerId, dict[tuple[TopicName, int], CommittedOffset]] = field(default_factory=dict)
    """Of transactions that are still open (KIP-98): neither fetched nor expired until ``settle``."""

    def __bool__(self) -> bool:
        return bool(self.committed or self.pending)

    def put(self, topic: str, partition: int, offset: CommittedOffset) -> None:
        self.committed.setdefault(topic, {})[partition] = offset

    def discard(self, topic: str, partition: int) -> None:
        partitions = self.committed.get(topic)
        if partitions is not None and partitions.pop(partition, None) is not None and not partitions:
            del self.committed[topic]

    def get(self, topic: str, partition: int, topic_id: TopicId | None = None) -> CommittedOffset | None:
        """The committed offset; None if there is none, or only one of an earlier topic of that name."""
        found = self.committed.get(topic, {}).get(partition)
        if found is None or (topic_id is not None and found.topic_id is not None and found.topic_id != topic_id):
            return None
        return found

    def items(self) -> Iterator[tuple[str, int, CommittedOffset]]:
        for topic, partitions in self.committed.items():
            for partition, offset in partitions.items():
                yield topic, partition, offset

    def stage(self, producer_id: ProducerId, topic: str, partition: int, offset: CommittedOffset) -> None:
        """An offset of an open transaction."""
        self.pending.setdefault(producer_id, {})[topic, partition] = offset

    def settle(self, producer_id: ProducerId, *, is_commit: bool) -> None:
        """The producer's transaction has ended."""
        staged = self.pending.pop(producer_id, {})
        if is_commit:
            for (topic, partition), offset in staged.items():
                self.put(topic, partition, offset)

    def is_unstable(self, topic: str, partition: int) -> bool:
        return any((topic, partition) in staged for staged in self.pending.values())

    def validate(self) -> None:
        assert all(self.committed.values()), "a topic without partitions is kept"
        assert all(self.pending.values()), "a producer without offsets is kept"
