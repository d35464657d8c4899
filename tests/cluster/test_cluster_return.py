"""The whole cluster is gone, and another one is pointed at its bucket and its WAL's mount: everything is back."""

from pathlib import Path

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Message, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from tests.harness.load import Load, create_topic, read_all
from tests.harness.serve import ServeProcess

pytestmark = pytest.mark.timeout(300)

TOPICS = ("file-topic", "object-topic")
GROUP = "readers"
READ = 100


def consumer(server: ServeProcess) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": server.bootstrap,
            "group.id": GROUP,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )


def read_some(server: ServeProcess) -> dict[tuple[str, int], int]:
    """Read on as a member of the group, and commit; returns the committed offsets."""
    reader = consumer(server)
    reader.subscribe(list(TOPICS))
    try:
        messages: list[Message] = []
        while len(messages) < READ:
            messages += [found for found in reader.consume(READ - len(messages), 5.0) if found.error() is None]
        reader.commit(asynchronous=False)
    finally:
        reader.close()
    return committed(server)


def committed(server: ServeProcess) -> dict[tuple[str, int], int]:
    admin = AdminClient({"bootstrap.servers": server.bootstrap, "log_level": 0})
    (answer,) = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(GROUP)]).values()
    return {(found.topic, found.partition): found.offset for found in answer.result(60).topic_partitions}


def described(server: ServeProcess) -> dict[str, tuple[str, int, str]]:
    """Each topic's id, partitions and WAL class."""
    admin = AdminClient({"bootstrap.servers": server.bootstrap, "log_level": 0})
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in TOPICS]
    wals = {found.name: answer.result(60) for found, answer in admin.describe_configs(resources).items()}
    topics = admin.list_topics(timeout=60).topics
    ids = {
        name: str(answer.result(60).topic_id)
        for name, answer in admin.describe_topics(TopicCollection(list(TOPICS))).items()
    }
    return {name: (ids[name], len(topics[name].partitions), wals[name]["raylog.wal"].value) for name in TOPICS}


def test_another_cluster_has_everything_from_the_bucket_and_the_mount(tmp_path: Path) -> None:
    """In another working folder, with another Ray, on other ports; nothing but bucket and mount is shared."""
    mount = tmp_path / "mount"
    mount.mkdir()

    def server(name: str) -> ServeProcess:
        own = tmp_path / name
        own.mkdir()
        # Long intervals: what was acknowledged last is in the WAL alone.
        wal = ("--wal", f"file=file://{mount}?flush_interval_ms=3600000")
        return ServeProcess(str(tmp_path / "bucket"), own, wal, working_folder=own)

    first, second = server("first"), server("second")
    try:
        first.start()
        loads = []
        for topic in TOPICS:
            create_topic(first.bootstrap, topic, topic.removesuffix("-topic"))
            with Load(first.bootstrap, topic, idempotent=True) as load:
                load.acknowledges(500)
            loads.append(load)
        offsets, topics = read_some(first), described(first)
        assert sum(max(offset, 0) for offset in offsets.values()) == READ
        first.kill()

        second.start()
        assert described(second) == topics
        assert committed(second) == offsets
        for topic, load in zip(TOPICS, loads, strict=True):
            load.check(read_all(second.bootstrap, topic))
        went_on = read_some(second)
        assert sum(max(offset, 0) for offset in went_on.values()) == 2 * READ, "the group goes on where it stood"
        with Load(second.bootstrap, "file-topic", idempotent=True) as load:
            load.acknowledges(500)
    finally:
        first.kill()
        second.kill()
