from raylog.model.topic_config import default_topic_config, effective
from raylog.partition.config import PartitionConfig, partition_config


def test_the_defaults_are_kafkas():
    assert partition_config(default_topic_config(), producer_id_expiration_ms=86_400_000) == PartitionConfig()


def test_a_topics_settings_are_taken_over():
    topic = effective(
        {
            "cleanup.policy": "compact",
            "max.message.bytes": "10",
            "message.timestamp.type": "LogAppendTime",
            "message.timestamp.before.max.ms": "20",
            "message.timestamp.after.max.ms": "30",
        }
    )
    assert partition_config(topic, producer_id_expiration_ms=40) == PartitionConfig(
        max_message_bytes=10,
        log_append_time=True,
        timestamp_before_max_ms=20,
        timestamp_after_max_ms=30,
        compacted=True,
        deletable=False,
        producer_id_expiration_ms=40,
    )


def test_records_are_decoded_only_where_headers_do_not_tell():
    assert not PartitionConfig().reads_records
    assert PartitionConfig(compacted=True).reads_records
    assert PartitionConfig(timestamp_before_max_ms=5).reads_records
    assert not PartitionConfig(timestamp_before_max_ms=5, log_append_time=True).reads_records
