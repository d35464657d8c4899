"""Ray's GCS and the controller are away for a minute, on real Ray: connected clients do not notice, and all comes back, with
either store that a GCS can have."""

import time

import psutil
import pytest

from lab.ray_cluster import RayCluster, RayNode, StartRaylog
from tests.harness.busy import busy
from tests.harness.load import Load, broker_ports, create_topic, read_all, until

pytestmark = [pytest.mark.timeout(480), pytest.mark.parametrize("gcs_store", ["folder", "redis"], indirect=True)]

AWAY_S = 60
"""Longer than a raylet would live without a GCS by Ray's defaults is what counts; this is what is promised."""


def _serving(*nodes: RayNode) -> set[int]:
    """Process ids of what clients need."""
    return {pid for node in nodes for role in ("LeaderActor", "GatewayActor") for pid in node.roles(role)}


def test_clients_go_on_for_a_minute_without_gcs_and_controller_and_all_comes_back(
    cluster: RayCluster, start_raylog: StartRaylog
) -> None:
    a = cluster.add_node("a", is_head=True)
    b = cluster.add_node("b")
    start_raylog()
    with busy(a.bootstrap, b.bootstrap) as work:
        serving = _serving(a, b)
        start_again = cluster.kill_gcs()
        [controller] = [*a.roles("ControllerActor"), *b.roles("ControllerActor")]
        psutil.Process(controller).kill()
        until_s = time.monotonic() + AWAY_S
        while time.monotonic() < until_s:
            work.goes_on(500)
        assert not cluster.processes("ControllerActor"), "nobody can have started it"
        start_again()
        until(lambda: cluster.processes("ControllerActor"), "the controller is back")
        # Nothing else was started anew for all this, and Ray starts, takes and finds processes again.
        assert _serving(a, b) == serving
        create_topic(a.bootstrap, "later", "file")
        psutil.Process(b.roles("LeaderActor")[0]).kill()
        work.goes_on(500)
        c = cluster.add_node("c")
        until(lambda: c.port in broker_ports(a.bootstrap).values(), "a node that joins serves")
        work.goes_on(500)


def test_a_head_that_starts_again_on_its_store_brings_raylog_back_without_a_command(
    cluster: RayCluster, start_raylog: StartRaylog
) -> None:
    a = cluster.add_node("a", is_head=True)
    start_raylog()
    create_topic(a.bootstrap, "load", "file")
    with Load(a.bootstrap, "load", idempotent=True, gap_s=0.002) as load:
        load.acknowledges(500)
        cluster.close()  # as if the machine lost its power
        cluster.add_node("a", is_head=True, port=a.port)
        load.acknowledges(500)
    load.check(read_all(a.bootstrap, "load"))
    cluster.raylog("start", "--if-not-running", "--address", cluster.address)
    refused = cluster.raylog("start", "--address", cluster.address, check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
