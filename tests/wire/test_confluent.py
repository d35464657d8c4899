"""confluent-kafka (librdkafka) in its default configuration, and with what people commonly set."""

import random
import time
import uuid
from collections import defaultdict

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec

RECORDS = 500


def produce(cluster, topic, values, *, partition=None, **config):
    """Produce and wait for every acknowledgement; the delivered messages in order."""
    delivered, errors = [], []

    def on_delivery(error, message):
        (errors if error else delivered).append(error or message)

    producer = Producer({"bootstrap.servers": cluster.bootstrap, **config})
    for n, value in enumerate(values):
        while True:
            try:
                where = {} if partition is None else {"partition": partition}
                producer.produce(topic, value=value, key=str(n).encode(), on_delivery=on_delivery, **where)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    assert producer.flush(60) == 0
    assert errors == []
    return delivered


def consume(cluster, topic, count, *, timeout_s=30, **config):
    """Read ``count`` records of a topic from its start with a group of its own; by partition, in order."""
    consumer = Consumer(
        {
            "bootstrap.servers": cluster.bootstrap,
            "group.id": str(uuid.uuid4()),
            "auto.offset.reset": "earliest",
            **config,
        }
    )
    consumer.subscribe([topic])
    found = defaultdict(list)
    total, deadline = 0, time.monotonic() + timeout_s
    try:
        while total < count and time.monotonic() < deadline:
            for message in consumer.consume(500, timeout=0.5):
                assert not message.error(), message.error()
                found[message.partition()].append(message)
                total += 1
    finally:
        consumer.close()
    for messages in found.values():
        assert [m.offset() for m in messages] == list(range(messages[0].offset(), messages[0].offset() + len(messages)))
    assert total == count
    return found


def values_of(found):
    return sorted(message.value() for messages in found.values() for message in messages)


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
@pytest.mark.parametrize("wal", ["file", "object"])
def test_every_codec_comes_back_byte_for_byte(shared_cluster, new_topic, codec, wal):
    topic = new_topic(3, raylog_wal=wal)
    values = [random.Random(n).randbytes(n % 2000) * 2 for n in range(RECORDS)]
    produce(shared_cluster, topic, values, **{"compression.type": codec, "linger.ms": 5})
    assert values_of(consume(shared_cluster, topic, RECORDS)) == sorted(values)


@pytest.mark.parametrize("acks", ["all", "1", "0"])
def test_one_partition_keeps_the_order_of_its_producer(shared_cluster, new_topic, acks):
    topic = new_topic(1)
    values = [b"%06d" % n for n in range(5000)]
    produce(shared_cluster, topic, values, **{"acks": acks, "linger.ms": 0})
    (messages,) = consume(shared_cluster, topic, len(values)).values()
    assert [message.value() for message in messages] == values


def test_an_idempotent_producer_writes_each_record_once(shared_cluster, new_topic):
    topic = new_topic(4)
    values = [b"%06d" % n for n in range(5000)]
    produce(shared_cluster, topic, values, **{"enable.idempotence": True, "linger.ms": 1})
    assert values_of(consume(shared_cluster, topic, len(values))) == values


def test_large_batches_and_records(shared_cluster, new_topic):
    topic = new_topic(2, max_message_bytes=str(20 << 20))
    values = [random.Random(n).randbytes(3 << 20) for n in range(8)]
    produce(shared_cluster, topic, values, **{"message.max.bytes": 20 << 20})
    assert values_of(consume(shared_cluster, topic, len(values), **{"fetch.max.bytes": 8 << 20})) == sorted(values)


def test_a_record_above_the_topics_limit_is_refused(shared_cluster, new_topic):
    topic = new_topic(1, max_message_bytes="10000")
    with pytest.raises(AssertionError, match="MSG_SIZE_TOO_LARGE"):
        produce(shared_cluster, topic, [bytes(20_000)])


def test_a_topic_is_created_when_it_is_first_produced_to(shared_cluster):
    topic = f"auto-{uuid.uuid4()}"
    produce(shared_cluster, topic, [b"first"])
    assert values_of(consume(shared_cluster, topic, 1)) == [b"first"]


def test_offsets_by_position_and_by_time(shared_cluster, new_topic):
    topic = new_topic(1)
    producer = Producer({"bootstrap.servers": shared_cluster.bootstrap})
    for n in range(10):
        producer.produce(topic, value=b"x", timestamp=1_000_000 + n * 1000)
        producer.flush(10)
    admin = AdminClient({"bootstrap.servers": shared_cluster.bootstrap})
    partition = TopicPartition(topic, 0)
    expected = {
        OffsetSpec.earliest(): 0,
        OffsetSpec.latest(): 10,
        OffsetSpec.max_timestamp(): 9,
        OffsetSpec.for_timestamp(1_003_500): 4,
        OffsetSpec.for_timestamp(0): 0,
        OffsetSpec.for_timestamp(9_999_999_999): -1,
    }
    for spec, offset in expected.items():
        assert admin.list_offsets({partition: spec})[partition].result(10).offset == offset
    consumer = Consumer({"bootstrap.servers": shared_cluster.bootstrap, "group.id": "unused"})
    assert consumer.get_watermark_offsets(partition, timeout=10) == (0, 10)
    consumer.close()


def test_a_consumer_beyond_the_end_is_told_so(shared_cluster, new_topic):
    topic = new_topic(1)
    produce(shared_cluster, topic, [b"x"] * 3)
    consumer = Consumer(
        {"bootstrap.servers": shared_cluster.bootstrap, "group.id": "unused", "auto.offset.reset": "error"}
    )
    consumer.assign([TopicPartition(topic, 0, 100)])
    message = consumer.poll(20)
    assert message.error().code() == KafkaError._AUTO_OFFSET_RESET
    consumer.close()


def test_deleted_records_are_gone_and_the_rest_is_there(shared_cluster, new_topic):
    topic = new_topic(1)
    produce(shared_cluster, topic, [b"%d" % n for n in range(20)])
    admin = AdminClient({"bootstrap.servers": shared_cluster.bootstrap})
    (future,) = admin.delete_records([TopicPartition(topic, 0, 15)]).values()
    assert future.result(20).low_watermark == 15
    assert values_of(consume(shared_cluster, topic, 5)) == [b"15", b"16", b"17", b"18", b"19"]


def test_groups_share_partitions_and_resume_where_they_committed(shared_cluster, new_topic):
    topic = new_topic(6)
    produce(shared_cluster, topic, [b"%06d" % n for n in range(600)])
    group = str(uuid.uuid4())
    config = {
        "bootstrap.servers": shared_cluster.bootstrap,
        "group.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "session.timeout.ms": 10_000,
    }
    members = [Consumer(config) for _ in range(3)]
    for member in members:
        member.subscribe([topic])
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for member in members:
            member.poll(0.1)
        owned = [{p.partition for p in member.assignment()} for member in members]
        if sorted(map(len, owned)) == [2, 2, 2] and len(set.union(*owned)) == 6:
            break
    assert len(set.union(*owned)) == 6 and sorted(map(len, owned)) == [2, 2, 2]
    for member in members:
        member.close()
    reader = Consumer(config)
    reader.subscribe([topic])
    seen = []
    while len(seen) < 600:
        batch = reader.consume(100, timeout=20)
        assert batch
        seen += batch
        reader.commit(asynchronous=False)
    reader.close()
    assert sorted(message.value() for message in seen) == [b"%06d" % n for n in range(600)]
    produce(shared_cluster, topic, [b"later"])
    again = Consumer(config)
    again.subscribe([topic])
    message = None
    while message is None:
        message = again.poll(20)
    assert message.value() == b"later"
    again.close()


def test_admin_lists_describes_alters_and_deletes(shared_cluster, new_topic):
    topic = new_topic(2)
    admin = AdminClient({"bootstrap.servers": shared_cluster.bootstrap})
    metadata = admin.list_topics(timeout=10)
    assert len(metadata.brokers) == 2
    assert len(metadata.topics[topic].partitions) == 2
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    configs = admin.describe_configs([resource])[resource].result(10)
    assert configs["cleanup.policy"].value == "delete"
    assert admin.describe_cluster().result(10).cluster_id == metadata.cluster_id
    admin.delete_topics([topic])[topic].result(10)
    deadline = time.monotonic() + 10
    while topic in admin.list_topics(timeout=10).topics and time.monotonic() < deadline:
        time.sleep(0.05)
    assert topic not in admin.list_topics(timeout=10).topics


def test_a_topic_that_exists_is_not_created_again(shared_cluster, new_topic):
    from confluent_kafka.admin import NewTopic

    topic = new_topic(1)
    admin = AdminClient({"bootstrap.servers": shared_cluster.bootstrap})
    with pytest.raises(KafkaException, match="already exists"):
        admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(10)
