"""A leader that is killed starts again in a worker that was waiting for it."""

import os
import signal

from actors.spares import SPARE_TITLE
from tests.harness.load import Load, create_topic, read_all, until


def test_a_killed_leader_starts_again_in_a_spare_worker_which_is_replaced(start_serve) -> None:
    server = start_serve(None, "--spares", "1")
    create_topic(server.bootstrap, "load", "file")

    def pids(title: str) -> set[int]:
        return {process.pid for process in server.processes(title)}

    spares = until(lambda: pids(SPARE_TITLE), "a spare worker")
    assert len(spares) == 1
    with Load(server.bootstrap, "load", idempotent=True) as load:
        load.acknowledges(100)
        killed = min(pids("LeaderActor"))
        os.kill(killed, signal.SIGKILL)
        until(lambda: spares <= pids("LeaderActor"), "the leader in the spare worker")
        load.acknowledges(100)
        until(lambda: pids(SPARE_TITLE) - spares, "another spare worker")
    load.check(read_all(server.bootstrap, "load"))
