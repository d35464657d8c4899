"""Nodes of a real Ray are emptied under load, as an operator or Ray says: nothing is lost or doubled, and clients go on."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer

from lab.ray_cluster import RayCluster, RayNode, StartRaylog
from tests.harness.load import Load, broker_ports, create_topic, read_all, until

pytestmark = pytest.mark.timeout(480)

TOPIC = "load"


@contextmanager
def _group(bootstrap: str) -> Iterator[set[bytes]]:
    """What the only member of a group has read so far, who commits as it goes."""
    seen: set[bytes] = set()
    stop = threading.Event()
    thread = threading.Thread(target=_read, args=(bootstrap, seen, stop), daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join(60)


def _read(bootstrap: str, seen: set[bytes], stop: threading.Event) -> None:
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "drain", "auto.offset.reset": "earliest", "log_level": 0}
    )
    consumer.subscribe([TOPIC])
    try:
        while not stop.is_set():
            seen.update(message.value() for message in consumer.consume(500, timeout=0.2) if not message.error())
    finally:
        consumer.close()


@contextmanager
def _load_on(a: RayNode, b: RayNode) -> Iterator[Load]:
    """An idempotent producer and a group, under way inside; in the end each record is there once, and the group has read it."""
    create_topic(a.bootstrap, TOPIC, "file")
    both = f"{a.bootstrap},{b.bootstrap}"
    with _group(both) as seen:
        with Load(both, TOPIC, idempotent=True) as load:
            load.acknowledges(500)
            yield load
        log = read_all(a.bootstrap, TOPIC)
        load.check(log)
        until(lambda: seen == set(log.values()), "the group has read every record")


def _is_empty(node: RayNode) -> bool:
    return not node.roles("GatewayActor") and not node.roles("LeaderActor")


def _drain(cluster: RayCluster, *arguments: str) -> object:
    return json.loads(cluster.raylog("drain", *arguments, "--json", "--address", cluster.address).stdout)


def _status(cluster: RayCluster, name: str) -> dict[str, object]:
    """Of a node."""
    seen = json.loads(cluster.raylog("status", "--address", cluster.address, "--json").stdout)
    [node] = [node for node in seen["nodes"] if node["node"] == name]
    return node


def test_an_operator_empties_a_node_under_load_and_takes_it_back(
    cluster: RayCluster, start_raylog: StartRaylog
) -> None:
    a = cluster.add_node("a", is_head=True)
    b = cluster.add_node("b")
    start_raylog()
    with _load_on(a, b) as load:
        assert _drain(cluster, "b") == {"node": "b", "drained": True}
        until(lambda: _is_empty(b), "the processes of what was ended are gone")
        assert list(broker_ports(a.bootstrap).values()) == [a.port]
        assert _status(cluster, "b")["drain"] == {"partitions": 0, "staying": {}, "is_over": True}
        refused = cluster.raylog("drain", "a", "--address", cluster.address, check=False)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "start another node first" in refused.stderr
        load.acknowledges(500)
        assert _drain(cluster, "b", "--undo") == {"node": "b", "drained": False}
        until(lambda: sorted(broker_ports(a.bootstrap).values()) == sorted((a.port, b.port)), "the broker is back")
        create_topic(b.bootstrap, "later", "file")
        until(lambda: b.roles("LeaderActor"), "the node has its share again")
        load.acknowledges(500)
        _drain(cluster, "b")
        b.kill()
        load.acknowledges(500)


def test_a_node_that_ray_will_take_away_is_emptied_under_load(cluster: RayCluster, start_raylog: StartRaylog) -> None:
    a = cluster.add_node("a", is_head=True)
    b = cluster.add_node("b")
    start_raylog()
    with _load_on(a, b) as load:
        cluster.give_notice(b)
        until(lambda: list(broker_ports(a.bootstrap).values()) == [a.port], "clients are sent elsewhere")
        until(lambda: _is_empty(b), "nothing is left on the node")
        load.acknowledges(500)
        b.kill()
        load.acknowledges(500)
