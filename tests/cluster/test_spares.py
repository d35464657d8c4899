"""Spare workers: a leader that is killed starts again in one, and nobody else is given them."""

import os
import signal
from pathlib import Path

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


def test_batch_work_leaves_the_spare_workers_to_leaders(start_serve, tmp_path: Path) -> None:
    settings = tmp_path / "raylog.toml"
    settings.write_text(f"run_dir = '{tmp_path}'\n[limits.garbage]\ninterval_s = 4.0\n")
    server = start_serve(None, "--spares", "1", "--config", str(settings))

    def spares() -> set[int]:
        return {process.pid for process in server.processes(SPARE_TITLE)}

    waiting = until(spares, "a spare worker")
    log = tmp_path / "logs" / "garbage.log"
    log.unlink(missing_ok=True)
    until(log.exists, "another garbage collection")
    assert spares() >= waiting
