"""aiokafka in its default configuration."""

import asyncio
import uuid

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

RECORDS = 300


async def produce(bootstrap, topic, values, **config):
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, **config)
    await producer.start()
    try:
        futures = [await producer.send(topic, value, key=b"%d" % n) for n, value in enumerate(values)]
        return [await future for future in futures]
    finally:
        await producer.stop()


async def consume(bootstrap, topic, count, **config):
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id=str(uuid.uuid4()), auto_offset_reset="earliest", **config
    )
    await consumer.start()
    try:
        async with asyncio.timeout(30):
            return [await consumer.getone() for _ in range(count)]
    finally:
        await consumer.stop()


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
async def test_every_codec_comes_back(shared_cluster, new_topic, codec):
    topic = new_topic(3)
    values = [b"%d-" % n * (n % 50 + 1) for n in range(RECORDS)]
    await produce(shared_cluster.bootstrap, topic, values, compression_type=codec)
    found = await consume(shared_cluster.bootstrap, topic, RECORDS)
    assert sorted(record.value for record in found) == sorted(values)


async def test_an_idempotent_producer(shared_cluster, new_topic):
    topic = new_topic(2)
    values = [b"%d" % n for n in range(RECORDS)]
    sent = await produce(shared_cluster.bootstrap, topic, values, enable_idempotence=True)
    assert len({(record.partition, record.offset) for record in sent}) == RECORDS
    found = await consume(shared_cluster.bootstrap, topic, RECORDS, isolation_level="read_committed")
    assert sorted(record.value for record in found) == sorted(values)


async def test_seeks_and_offsets(shared_cluster, new_topic):
    topic = new_topic(1)
    partition = TopicPartition(topic, 0)
    await produce(shared_cluster.bootstrap, topic, [b"%d" % n for n in range(10)])
    consumer = AIOKafkaConsumer(bootstrap_servers=shared_cluster.bootstrap)
    await consumer.start()
    try:
        consumer.assign([partition])
        assert await consumer.beginning_offsets([partition]) == {partition: 0}
        assert await consumer.end_offsets([partition]) == {partition: 10}
        consumer.seek(partition, 7)
        assert [(await consumer.getone()).value for _ in range(3)] == [b"7", b"8", b"9"]
    finally:
        await consumer.stop()


async def test_a_group_rebalances_as_members_come_and_go(shared_cluster, new_topic):
    topic = new_topic(4)
    group = str(uuid.uuid4())
    values = [b"%04d" % n for n in range(400)]
    await produce(shared_cluster.bootstrap, topic, values)
    seen = []

    async def member():
        consumer = AIOKafkaConsumer(
            topic, bootstrap_servers=shared_cluster.bootstrap, group_id=group, auto_offset_reset="earliest"
        )
        await consumer.start()
        return consumer

    async def read(consumer, count):
        async with asyncio.timeout(30):
            seen.extend([(await consumer.getone()).value for _ in range(count)])

    first = await member()
    await read(first, 100)
    second = await member()
    await first.commit()
    await first.stop()
    await read(second, 300)
    await second.stop()
    assert sorted(seen) == values


async def test_the_admin_client(shared_cluster):
    name = f"aio-{uuid.uuid4()}"
    admin = AIOKafkaAdminClient(bootstrap_servers=shared_cluster.bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name=name, num_partitions=3, replication_factor=1)])
        assert name in await admin.list_topics()
        (described,) = await admin.describe_topics([name])
        assert len(described["partitions"]) == 3
        resource = ConfigResource(ConfigResourceType.TOPIC, name, {"retention.ms": "60000"})
        await admin.alter_configs([resource])
        (configs,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
        assert {entry[0]: entry[1] for entry in configs.resources[0][4]}["retention.ms"] == "60000"
        await admin.delete_topics([name])
        assert name not in await admin.list_topics()
    finally:
        await admin.close()
