"""Nodes of a real Ray are emptied under load, as an operator or Ray says: nothing is lost or doubled, and clients go on."""

import json

import pytest

from lab.ray_cluster import RayCluster, RayNode, StartRaylog
from tests.harness.busy import busy
from tests.harness.load import broker_ports, create_topic, until

pytestmark = pytest.mark.timeout(480)


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
    with busy(a.bootstrap, b.bootstrap) as work:
        assert _drain(cluster, "b") == {"node": "b", "drained": True}
        until(lambda: _is_empty(b), "the processes of what was ended are gone")
        assert list(broker_ports(a.bootstrap).values()) == [a.port]
        assert _status(cluster, "b")["drain"] == {"partitions": 0, "staying": {}, "is_over": True}
        refused = cluster.raylog("drain", "a", "--address", cluster.address, check=False)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "start another node first" in refused.stderr
        work.goes_on(500)
        assert _drain(cluster, "b", "--undo") == {"node": "b", "drained": False}
        until(lambda: sorted(broker_ports(a.bootstrap).values()) == sorted((a.port, b.port)), "the broker is back")
        create_topic(b.bootstrap, "later", "file")
        until(lambda: b.roles("LeaderActor"), "the node has its share again")
        work.goes_on(500)
        _drain(cluster, "b")
        b.kill()
        work.goes_on(500)


def test_a_node_that_ray_will_take_away_is_emptied_under_load(cluster: RayCluster, start_raylog: StartRaylog) -> None:
    a = cluster.add_node("a", is_head=True)
    b = cluster.add_node("b")
    start_raylog()
    with busy(a.bootstrap, b.bootstrap) as work:
        cluster.give_notice(b)
        until(lambda: list(broker_ports(a.bootstrap).values()) == [a.port], "clients are sent elsewhere")
        until(lambda: _is_empty(b), "nothing is left on the node")
        work.goes_on(500)
        b.kill()
        work.goes_on(500)
