"""Partitions move between real leaders under load, and each record is found once; also after all leaders were killed."""

import os
import signal

import pytest

from raylog.cli.main import run
from tests.harness.load import Load, create_topic, read_all, until

pytestmark = pytest.mark.timeout(300)

LEADERS = {"file": (1, 2), "object": (3, 4)}
"""The default class's come first."""


@pytest.mark.parametrize("wal", LEADERS)
def test_a_topic_moves_to_and_fro_and_keeps_everything(start_serve, wal: str) -> None:
    server = start_serve(None, "--leaders", "2")
    create_topic(server.bootstrap, "moved", wal)
    with Load(server.bootstrap, "moved", idempotent=True) as load:
        load.acknowledges(500)
        for leader in 2 * LEADERS[wal]:
            assert run(["move", "moved", "--to", str(leader), "--bootstrap-server", server.bootstrap]) == 0
            load.acknowledges(500)
        killed = {process.pid for process in server.processes("LeaderActor")}
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        until(
            lambda: len({process.pid for process in server.processes("LeaderActor")} - killed) == len(killed), "leaders"
        )
        load.acknowledges(500)
    load.check(read_all(server.bootstrap, "moved"))
