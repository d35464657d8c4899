"""kafka-python in its default configuration."""

import uuid
import warnings

import pytest

with warnings.catch_warnings():
    # It reads its message schemas at import, by a function that Python has deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    from kafka import KafkaConsumer, KafkaProducer, TopicPartition
    from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewPartitions, NewTopic

RECORDS = 300


def produce(bootstrap, topic, values, **config):
    producer = KafkaProducer(bootstrap_servers=bootstrap, **config)
    try:
        futures = [producer.send(topic, value, key=b"%d" % n) for n, value in enumerate(values)]
        producer.flush(30)
        return [future.get(10) for future in futures]
    finally:
        producer.close()


def consume(bootstrap, topic, count, **config):
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=str(uuid.uuid4()),
        auto_offset_reset="earliest",
        consumer_timeout_ms=20_000,
        **config,
    )
    found = []
    try:
        for record in consumer:
            found.append(record)
            if len(found) == count:
                break
    finally:
        consumer.close()
    return found


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
def test_every_codec_comes_back(shared_cluster, new_topic, codec):
    topic = new_topic(3)
    values = [b"%d-" % n * (n % 50 + 1) for n in range(RECORDS)]
    produce(shared_cluster.bootstrap, topic, values, compression_type=codec)
    found = consume(shared_cluster.bootstrap, topic, RECORDS)
    assert sorted(record.value for record in found) == sorted(values)


def test_records_keep_key_headers_and_time(shared_cluster, new_topic):
    topic = new_topic(1)
    producer = KafkaProducer(bootstrap_servers=shared_cluster.bootstrap)
    producer.send(topic, b"value", key=b"key", headers=[("h", b"1")], timestamp_ms=1234567).get(10)
    producer.close()
    (record,) = consume(shared_cluster.bootstrap, topic, 1)
    assert (record.key, record.value, list(record.headers), record.timestamp) == (
        b"key",
        b"value",
        [("h", b"1")],
        1234567,
    )


def test_offsets_for_times(shared_cluster, new_topic):
    topic = new_topic(1)
    partition = TopicPartition(topic, 0)
    producer = KafkaProducer(bootstrap_servers=shared_cluster.bootstrap)
    for n in range(5):
        producer.send(topic, b"x", timestamp_ms=1000 * n).get(10)
    producer.close()
    consumer = KafkaConsumer(bootstrap_servers=shared_cluster.bootstrap)
    assert consumer.beginning_offsets([partition]) == {partition: 0}
    assert consumer.end_offsets([partition]) == {partition: 5}
    assert consumer.offsets_for_times({partition: 2500})[partition].offset == 3
    consumer.close()


def test_the_admin_client(shared_cluster):
    name, group = f"kp-{uuid.uuid4()}", f"kp-{uuid.uuid4()}"
    admin = KafkaAdminClient(bootstrap_servers=shared_cluster.bootstrap)
    try:
        admin.create_topics([NewTopic(name=name, num_partitions=2, replication_factor=1)])
        assert name in admin.list_topics()
        (described,) = admin.describe_topics([name])
        assert len(described["partitions"]) == 2
        admin.create_partitions({name: NewPartitions(total_count=4)})
        (described,) = admin.describe_topics([name])
        assert len(described["partitions"]) == 4
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, {"retention.ms": "60000"})])
        assert admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
        produce(shared_cluster.bootstrap, name, [b"x"] * 10)
        consumer = KafkaConsumer(
            name,
            bootstrap_servers=shared_cluster.bootstrap,
            group_id=group,
            auto_offset_reset="earliest",
            consumer_timeout_ms=20_000,
        )
        for _ in range(10):
            next(consumer)
        consumer.commit()
        consumer.close()
        assert group in str(admin.list_groups())
        offsets = admin.list_group_offsets(group)
        assert offsets
        admin.delete_groups([group])
        assert group not in str(admin.list_groups())
        admin.delete_topics([name])
        assert name not in admin.list_topics()
    finally:
        admin.close()
