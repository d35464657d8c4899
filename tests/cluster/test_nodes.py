"""Raylog on a Ray of several nodes: clients see a broker on each, and go on when nodes end and join."""

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from confluent_kafka.admin import AdminClient

from lab.ray_cluster import RayCluster, RayNode, StartRaylog
from tests.harness.load import Load, broker_ports, create_topic, read_all, until

pytestmark = pytest.mark.timeout(480)


def _admin(bootstrap: str, client_id: str = "test") -> AdminClient:
    return AdminClient({"bootstrap.servers": bootstrap, "client.id": client_id, "log_level": 0})


def _leaders(bootstrap: str, topic: str, client_id: str = "test") -> list[int]:
    """The broker that a client is sent to for each partition, once there is one: gateways hear of a topic one after another."""
    admin = _admin(bootstrap, client_id)

    def all_led() -> list[int]:
        partitions = admin.list_topics(topic, timeout=30).topics[topic].partitions
        leaders = [partitions[number].leader for number in sorted(partitions)]
        return [] if -1 in leaders else leaders

    return until(all_led, f"{topic} is led")


async def _round_trip(producing: RayNode, consuming: RayNode, topic: str) -> bytes:
    """By aiokafka: in through one node, out through another."""
    async with AIOKafkaProducer(bootstrap_servers=producing.bootstrap) as producer:
        sent = await producer.send_and_wait(topic, b"by aiokafka")
    async with AIOKafkaConsumer(bootstrap_servers=consuming.bootstrap, auto_offset_reset="earliest") as consumer:
        from aiokafka import TopicPartition

        partition = TopicPartition(topic, sent.partition)
        consumer.assign([partition])
        consumer.seek(partition, sent.offset)
        return (await consumer.getone()).value


def test_each_node_is_a_broker_and_serves_every_partition(cluster: RayCluster, start_raylog: StartRaylog) -> None:
    a = cluster.add_node("a", is_head=True, zone="east")
    b = cluster.add_node("b", zone="west")
    start_raylog()
    ports = broker_ports(a.bootstrap)
    assert sorted(ports.values()) == sorted((a.port, b.port))
    brokers = {port: id_ for id_, port in ports.items()}
    create_topic(a.bootstrap, "spread", "file")
    assert asyncio.run(_round_trip(a, b, "spread")) == b"by aiokafka"
    assert asyncio.run(_round_trip(b, a, "spread")) == b"by aiokafka"
    # Each node has a leader, and both are reached through either: the zone is what the client says, or the answering node's.
    assert set(_leaders(b.bootstrap, "spread", "zone=nowhere")) == set(ports)
    assert set(_leaders(a.bootstrap, "spread", "app,zone=west")) == {brokers[b.port]}
    assert set(_leaders(b.bootstrap, "spread", "app,zone=east")) == {brokers[a.port]}
    assert len(set(_leaders(a.bootstrap, "spread"))) == 1
    # What those clients and the round trips have sent from zone to zone is shown.
    (_, zones) = cluster.raylog("status", "--address", cluster.address).stdout.split("other end's zone")
    assert {"client", "leader_produce", "leader_fetch"} <= set(zones.split())


def _shown(cluster: RayCluster) -> str:
    """By ``raylog status``; nothing while the controller is on its way to another node."""
    return cluster.raylog("status", "--address", cluster.address, check=False).stdout


def test_a_killed_node_costs_no_acknowledged_record_and_comes_back_as_it_was(
    cluster: RayCluster, start_raylog: StartRaylog
) -> None:
    a = cluster.add_node("a", is_head=True)
    b = cluster.add_node("b")
    start_raylog()
    before = broker_ports(a.bootstrap)
    create_topic(a.bootstrap, "load", "file")
    assert set(_leaders(a.bootstrap, "load")) == set(before)
    with Load(f"{a.bootstrap},{b.bootstrap}", "load", idempotent=True) as load:
        load.acknowledges(500)
        b.kill()
        load.acknowledges(500)
        until(lambda: list(broker_ports(a.bootstrap).values()) == [a.port], "the node's broker is retired")
        assert set(_leaders(a.bootstrap, "load")) == set(broker_ports(a.bootstrap))
        c = cluster.add_node("b")
        until(
            lambda: sorted(broker_ports(a.bootstrap).values()) == sorted((a.port, c.port)), "the node's broker is back"
        )
        load.acknowledges(500)
    assert set(broker_ports(c.bootstrap)) == set(before), "a node keeps its broker id"
    load.check(read_all(c.bootstrap, "load"))
    # The node has a leader again, which new partitions are given to.
    create_topic(a.bootstrap, "later", "file")
    assert set(_leaders(a.bootstrap, "later")) == set(before)
    # What was started on the other node meanwhile is emptied, and ends.
    cluster.raylog("balance", "--now", "--bootstrap-server", a.bootstrap)
    until(lambda: len(a.roles("LeaderActor")) == 1, "the survivor gathers no leaders")
    assert read_all(c.bootstrap, "load").keys() >= load.acknowledged.keys()


def test_raylog_outlives_the_commands_that_start_and_show_it(cluster: RayCluster, start_raylog: StartRaylog) -> None:
    a = cluster.add_node("a", is_head=True)
    where = ("--address", cluster.address)
    for command in ("status", "stop"):
        refused = cluster.raylog(command, *where, check=False)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr == (
            "raylog: Raylog does not run on this Ray: start it with 'raylog start --address ADDRESS'.\n"
        )
    start_raylog()
    create_topic(a.bootstrap, "kept", "file")
    again = cluster.raylog("start", *where, check=False)
    assert again.returncode == 1
    assert "runs on this Ray already" in again.stderr
    cluster.raylog("start", "--if-not-running", *where)
    assert "serves" in cluster.raylog("status", *where).stdout
    cluster.raylog("stop", *where)
    assert a.roles() == []
    start_raylog()
    assert "kept" in _admin(a.bootstrap).list_topics(timeout=30).topics
    cluster.raylog("stop", *where)


def test_a_command_without_a_ray_says_so(cluster: RayCluster) -> None:
    refused = cluster.raylog("start", "--address", cluster.address, check=False)
    assert refused.returncode == 1
    assert "start one with 'ray start'" in refused.stderr.splitlines()[-1]
    assert "Traceback" not in refused.stderr


def test_a_leader_waits_for_a_node_with_its_mount(
    cluster: RayCluster, start_raylog: StartRaylog, tmp_path: Path
) -> None:
    """Its records are nowhere else: it is not started without them, and any node with the same mount will do."""
    mount = tmp_path / "volume"
    mount.mkdir()
    a = cluster.add_node("a", is_head=True)
    b = cluster.add_node("b", disk="vol-1")
    start_raylog(
        "--wal", f"disk=file://{mount}?label=raylog.io/disk&flush_interval_ms=60000", "--default-wal", "object"
    )
    create_topic(a.bootstrap, "load", "disk")
    with Load(f"{a.bootstrap},{b.bootstrap}", "load", idempotent=True) as load:
        load.acknowledges(500)
        b.kill()
        until(
            lambda: "waits for a node with 'vol-1'" in _shown(cluster),
            "the leader waits",
        )
        cluster.add_node("c", disk="vol-2")
        cluster.add_node("d", disk="vol-1")
        load.acknowledges(500)
    load.check(read_all(a.bootstrap, "load"))
