"""One role dies, or hangs and wakes, under load: every acknowledged record is at its acknowledged offset, for everybody."""

import contextlib
import os
import signal

import pytest

from tests.harness.load import Load, create_topic, read_all, until

pytestmark = pytest.mark.timeout(300)


def _pids(server, title: str) -> list[int]:
    return [process.pid for process in server.processes(title)]


def _signal(server, title: str, number: signal.Signals) -> list[int]:
    """Sends it to all processes of that role, which may be starting again at the moment."""
    pids = until(lambda: _pids(server, title), f"a {title} process")
    for pid in pids:
        os.kill(pid, number)
    return pids


@pytest.mark.parametrize("wal", ["file", "object"])
def test_a_killed_role_costs_no_acknowledged_record(start_serve, wal: str) -> None:
    server = start_serve(None, "--gateways", "2")
    create_topic(server.bootstrap, "load", wal)
    with Load(server.bootstrap, "load", idempotent=True) as load:
        load.acknowledges(500)
        for title in ("LeaderActor", "GatewayActor", "ControllerActor", "LeaderActor"):
            killed = _signal(server, title, signal.SIGKILL)
            until(lambda killed=killed, title=title: set(_pids(server, title)) - set(killed), "a new process")
            load.acknowledges(500)
    load.check(read_all(server.bootstrap, "load"))


@pytest.mark.parametrize("wal", ["file", "object"])
def test_a_zombie_leader_acknowledges_nothing_that_others_do_not_have(start_serve, wal: str) -> None:
    server = start_serve()
    create_topic(server.bootstrap, "load", wal)
    with Load(server.bootstrap, "load", idempotent=False) as load:
        load.acknowledges(500)
        stopped = _signal(server, "LeaderActor", signal.SIGSTOP)
        until(lambda: len(set(_pids(server, "LeaderActor")) - set(stopped)) >= len(stopped), "successors")
        load.acknowledges(500)
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        load.acknowledges(500)
    load.check(read_all(server.bootstrap, "load"))
