"""Ray's own autoscaler, of both versions, follows the load: nodes come and take part, nodes go, and no client notices it. With
version 2 each node has a disk of its own for the WAL."""

import json
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from lab.autoscaling_ray import AutoscalingRay
from lab.ray_cluster import StartRaylog
from tests.harness.group_reader import group_reader
from tests.harness.load import broker_ports, until
from tests.harness.steady_producer import PacedProducer, assert_exactly_what_was_acknowledged

pytestmark = pytest.mark.timeout(600)

TOPIC = "load"
PARTITIONS = range(6)
NODES = ("x", "y")
PATIENCE_S = 120
# Paced requests and a consumer that waits long at the end are far above and far below what one leader is said to take here,
# whatever the machine does.
CONFIG = """
leaders = 1
spares = 0
[broker]
"leader.imbalance.check.interval.seconds" = 1
"leader.imbalance.per.broker.percentage" = 40
"offsets.topic.num.partitions" = 2
"raylog.scaling.nodes.max" = 3
[limits.balance]
report_s = 1.0
half_life_s = 3.0
leader_bytes_max = 400000
move_bytes_min = 2000
rest_s = 5.0
[limits.scaling]
look_s = 1.0
up_s = 3.0
down_s = 10.0
"""


@pytest.fixture
def cluster(tmp_path: Path):
    made = AutoscalingRay(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("version", [1, 2])
def test_nodes_come_and_go_with_the_load_and_nobody_notices(
    cluster: AutoscalingRay, start_raylog: StartRaylog, tmp_path: Path, version: int
) -> None:
    def status():
        return json.loads(cluster.raylog("status", "--address", cluster.address, "--json").stdout)

    def leading():
        """Nodes with the topic's records: those whose leaders lead something."""
        return {row["node"] for row in status()["leaders"] if row["partitions"]}

    def nodes():
        return {node["node"] for node in status()["nodes"]}

    config = tmp_path / "raylog.toml"
    config.write_text(CONFIG)
    cluster.start("head", NODES, version=version, idle_s=6, own_disks=version == 2)
    (tmp_path / "disk").mkdir()
    disks = ("--wal", f"disk=file://{tmp_path}/disk?label=raylog.io/disk", "--default-wal", "disk")
    start_raylog("--config", str(config), *(disks if version == 2 else ()))
    bootstrap = f"127.0.0.1:{cluster.ports['head']}"
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    admin.create_topics([NewTopic(TOPIC, len(PARTITIONS), 1)])[TOPIC].result(60)
    assert nodes() == {"head"}
    with group_reader(bootstrap, TOPIC, fetch_wait_max_ms=5000) as seen:
        producer = PacedProducer(bootstrap, TOPIC, PARTITIONS)
        until(lambda: leading() == {"head", *NODES}, "new nodes have come, and lead partitions")
        assert cluster.raylog("status", "--address", cluster.address).stdout.count("3 nodes serve") == 1
        producer.advance(100, PATIENCE_S)
        producer.every_s = 5.0
        # Not by 'raylog status': that is work to Ray, for whichever of this machine's nodes it comes to.
        until(
            lambda: [*broker_ports(bootstrap).values()] == [cluster.ports["head"]], "clients are sent to the head alone"
        )
        until(
            lambda: len(cluster.processes("raylet/raylet")) == 1, "Ray has taken the nodes that nobody needs any more"
        )
        until(lambda: nodes() == {"head"}, "and Raylog knows it")
        producer.every_s = PacedProducer.every_s
        producer.advance(100, PATIENCE_S)
        until(lambda: leading() > {"head"}, "a node has come again")
        acknowledged = producer.finish()
        until(lambda: len(seen) == sum(map(len, acknowledged.values())), "the group has read every record")
    assert sorted(seen) == sorted(value for values in acknowledged.values() for value in values), "and each once"
    assert_exactly_what_was_acknowledged(bootstrap, TOPIC, acknowledged, PARTITIONS)
