"""What Ray says of a leader's process: that it is starting, and not merely silent, until it is up."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from lab.ray_cluster import RayCluster
from tests.harness.load import until

pytestmark = pytest.mark.timeout(480)

DRIVER = """\
import asyncio, os, sys
from actors.settings import NAMESPACE, leader_name, prepare_environment
prepare_environment(os.environ)
import ray
from actors.launcher import RayLauncher, leader_placement, start_actor
from actors.nodes import RayNodes
from raylog.model.config import ClusterConfig

class OnlyOnB:
    pass

ray.init(address=sys.argv[1], namespace=NAMESPACE, log_to_driver=False, configure_logging=False)
start_actor(OnlyOnB, leader_name(1, 1), placement=leader_placement({"raylog.io/node": "b"}, "", None))
launcher = RayLauncher(ClusterConfig(), RayNodes(ClusterConfig()), is_alone=False)
for _ in sys.stdin:
    print("starting", asyncio.run(launcher.is_starting(1)), asyncio.run(launcher.is_starting(2)), flush=True)
"""


@contextmanager
def asking(address: str) -> Iterator[Callable[[], tuple[bool, bool]]]:
    """Whether leader 1, which runs only on node b, is starting, and leader 2, which there is not."""
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        questions, answers = driver.stdin, driver.stdout
        assert questions is not None and answers is not None

        def ask() -> tuple[bool, bool]:
            questions.write("\n")
            questions.flush()
            # Ray itself tells there of nodes that have died.
            [_, one, two] = next(line for line in answers if line.startswith("starting")).split()
            return one == "True", two == "True"

        try:
            yield ask
        finally:
            driver.kill()


def test_a_leader_is_starting_until_its_process_is_up_for_the_first_time_and_again(cluster: RayCluster) -> None:
    cluster.add_node("a", is_head=True)
    with asking(cluster.address) as ask:
        assert ask() == (True, False)
        b = cluster.add_node("b")
        until(lambda: ask() == (False, False), "it is up")
        b.kill()
        until(lambda: ask() == (True, False), "Ray has seen that the node is gone")
        cluster.add_node("b")
        until(lambda: ask() == (False, False), "it is up again")
