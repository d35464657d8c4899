"""The topic settings that a partition's state machine looks at, by Kafka's meaning and defaults."""

from dataclasses import dataclass

from raylog.model.config_key import UNLIMITED
from raylog.model.topic_config import TopicConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionConfig:
    max_message_bytes: int = 1_048_588
    """``max.message.bytes``: the size of a whole batch, its 12-byte prefix included."""
    log_append_time: bool = False
    """``message.timestamp.type`` is LogAppendTime: the broker stamps each batch."""
    timestamp_before_max_ms: int = UNLIMITED
    """``message.timestamp.before.max.ms``: how far in the past a record's CreateTime may lie."""
    timestamp_after_max_ms: int = 3_600_000
    """``message.timestamp.after.max.ms``: how far in the future."""
    compacted: bool = False
    """``cleanup.policy`` has ``compact``: every record needs a key."""
    deletable: bool = True
    """``cleanup.policy`` has ``delete``: DeleteRecords is allowed, and retention takes old records."""
    retention_ms: int = 604_800_000
    """``retention.ms``; -1: for ever."""
    retention_bytes: int = -1
    """``retention.bytes``; -1: no limit."""
    producer_id_expiration_ms: int = 86_400_000
    """``producer.id.expiration.ms``, a broker setting: an idle producer is forgotten after this."""
    producers_max: int = 100_000
    """Above this the producer that has been idle longest is forgotten, so that invented ids cannot grow the state."""

    @property
    def reads_records(self) -> bool:
        """Whether an append must decode records, not only headers."""
        return self.compacted or (not self.log_append_time and self.timestamp_before_max_ms != UNLIMITED)


def partition_config(topic: TopicConfig, *, producer_id_expiration_ms: int) -> PartitionConfig:
    """What a topic's settings, and the broker's ``producer.id.expiration.ms``, come to for its partitions."""
    return PartitionConfig(
        max_message_bytes=topic.max_message_bytes,
        log_append_time=topic.log_append_time,
        timestamp_before_max_ms=topic.message_timestamp_before_max_ms,
        timestamp_after_max_ms=topic.message_timestamp_after_max_ms,
        compacted=topic.compacted,
        deletable=topic.deletable,
        retention_ms=topic.retention_ms,
        retention_bytes=topic.retention_bytes,
        producer_id_expiration_ms=producer_id_expiration_ms,
    )
