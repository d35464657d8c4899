"""What clients see of killed and restarted roles: nothing, in the end. Acknowledged records are there, once and in order."""

import pytest
from confluent_kafka import Consumer

from tests.harness.cluster import running
from tests.harness.steady_producer import PARTITIONS, SteadyProducer, assert_exactly_what_was_acknowledged


@pytest.mark.parametrize("wal", ["file", "object"])
def test_leaders_are_killed_and_restarted_under_load(make_cluster, make_topic, wal):
    cluster = make_cluster()
    topic = make_topic(cluster)(PARTITIONS, raylog_wal=wal)
    producer = SteadyProducer(cluster.bootstrap, topic)
    leaders = {cluster.leader_of(topic, partition) for partition in range(PARTITIONS)}
    assert len(leaders) == 2
    producer.advance()
    for leader in leaders:
        cluster.kill_leader(leader)
        producer.advance()
    for leader in leaders:
        cluster.restart_leader(leader)
        producer.advance()
    assert_exactly_what_was_acknowledged(cluster.bootstrap, topic, producer.finish())


def test_gateways_are_killed_under_load(make_cluster, make_topic):
    cluster = make_cluster(gateways=2)
    topic = make_topic(cluster)(PARTITIONS)
    producer = SteadyProducer(cluster.bootstrap, topic)
    producer.advance()
    for index in (0, 1, 0):
        cluster.kill_gateway(index)
        producer.advance()
    assert_exactly_what_was_acknowledged(cluster.bootstrap, topic, producer.finish())


def test_producing_and_consuming_go_on_without_the_controller(make_cluster, make_topic):
    cluster = make_cluster()
    topic = make_topic(cluster)(PARTITIONS)
    producer = SteadyProducer(cluster.bootstrap, topic)
    producer.advance()
    cluster.stop_controller()
    producer.advance()
    acknowledged = producer.finish()
    assert_exactly_what_was_acknowledged(cluster.bootstrap, topic, acknowledged)
    cluster.start_controller()
    make_topic(cluster)(1)


@pytest.mark.parametrize("wal", ["file", "object"])
def test_a_cluster_started_anew_on_its_folder_has_everything(tmp_path, make_topic, wal):
    with running(tmp_path) as cluster:
        topic = make_topic(cluster)(PARTITIONS, raylog_wal=wal)
        producer = SteadyProducer(cluster.bootstrap, topic)
        producer.advance()
        acknowledged = producer.finish()
        committing = Consumer(
            {"bootstrap.servers": cluster.bootstrap, "group.id": "g", "auto.offset.reset": "earliest"}
        )
        committing.subscribe([topic])
        read = committing.consume(100, timeout=3)
        committing.close()
    with running(tmp_path) as cluster:
        assert_exactly_what_was_acknowledged(cluster.bootstrap, topic, acknowledged)
        resumed = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": "g", "auto.offset.reset": "earliest"})
        resumed.subscribe([topic])
        total = sum(map(len, acknowledged.values()))
        rest = []
        while len(rest) < total - len(read):
            message = resumed.poll(20)
            assert message is not None and not message.error()
            rest.append(message)
        resumed.close()
        seen = {(m.partition(), m.offset()) for m in read + rest}
        assert len(seen) == total
