"""``raylog store copy`` of a bucket that is written to: a cluster on the copy has what was acknowledged before the copy began."""

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from raylog.cli.main import run
from tests.harness.steady_producer import PARTITIONS, SteadyProducer, read_all
from tests.wire.test_moves import swapped


def copied(cluster, target, *options):
    assert run(["store", "copy", "--from", cluster.store_url, "--to", str(target), "--verify", *options]) == 0


def commit(bootstrap, topic, offset):
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "readers"})
    consumer.commit(offsets=[TopicPartition(topic, p, offset) for p in range(PARTITIONS)], asynchronous=False)
    consumer.close()


def committed(bootstrap, topic):
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "readers"})
    found = consumer.committed([TopicPartition(topic, p) for p in range(PARTITIONS)], timeout=20)
    consumer.close()
    return [partition.offset for partition in found]


def test_a_copy_taken_while_partitions_move_has_all_that_was_acknowledged_before(make_cluster, make_topic, tmp_path):
    cluster = make_cluster(default_wal="object")
    topic = make_topic(cluster)(PARTITIONS)
    producer = SteadyProducer(cluster.bootstrap, topic)
    producer.advance()
    commit(cluster.bootstrap, topic, 100)
    cluster.order_move(swapped(cluster, topic))
    before = {p: list(values) for p, values in producer.acknowledged.items()}
    copied(cluster, tmp_path / "copy")
    cluster.order_move(swapped(cluster, topic))
    before_again = {p: list(values) for p, values in producer.acknowledged.items()}
    copied(cluster, tmp_path / "copy")
    producer.advance()
    everything = producer.finish()

    restored = make_cluster(tmp_path / "restored", store_url=(tmp_path / "copy").as_uri(), default_wal="object")
    found = read_all(restored.bootstrap, topic)
    for partition in range(PARTITIONS):
        assert before[partition] == before_again[partition][: len(before[partition])]
        assert found[partition][: len(before_again[partition])] == before_again[partition]
        assert found[partition] == everything[partition][: len(found[partition])]
    assert committed(restored.bootstrap, topic) == [100] * PARTITIONS
    assert AdminClient({"bootstrap.servers": restored.bootstrap}).list_topics(timeout=20).topics[topic].error is None
    more = SteadyProducer(restored.bootstrap, topic)
    more.advance()
    more.finish()


def test_an_opened_copy_is_not_copied_to_again(make_cluster, make_topic, tmp_path, capsys):
    cluster = make_cluster(default_wal="object")
    make_topic(cluster)(1)
    copied(cluster, tmp_path / "copy")
    make_cluster(tmp_path / "restored", store_url=(tmp_path / "copy").as_uri(), default_wal="object")
    assert run(["store", "copy", "--from", cluster.store_url, "--to", str(tmp_path / "copy")]) == 1
    assert "A cluster has written to" in capsys.readouterr().err


@pytest.mark.parametrize("is_flushed", [True, False])
def test_a_copy_without_the_wal_volume_is_opened_only_when_told_that_the_volume_is_lost(
    make_cluster, make_topic, tmp_path, is_flushed
):
    """docs/operations.md: an empty fence file per leader says so. What was flushed is there; what the WAL alone had is not."""
    cluster = make_cluster(default_wal="file")
    topic = make_topic(cluster)(PARTITIONS)
    producer = SteadyProducer(cluster.bootstrap, topic)
    producer.advance()
    acknowledged = producer.finish()
    if is_flushed:
        cluster.stop()
    copied(cluster, tmp_path / "copy")
    for folder in (tmp_path / "wal").iterdir():
        fence = tmp_path / "restored" / "wal" / folder.name / "fence"
        fence.parent.mkdir(parents=True)
        fence.touch()
    restored = make_cluster(tmp_path / "restored", store_url=(tmp_path / "copy").as_uri(), default_wal="file")
    found = read_all(restored.bootstrap, topic)
    for partition in range(PARTITIONS):
        assert found[partition] == acknowledged[partition][: len(found[partition])]
        assert not is_flushed or found[partition] == acknowledged[partition]
