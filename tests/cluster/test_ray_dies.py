"""Ray itself dies: the server ends, says why, leaves no process behind, and started again has every acknowledged record."""

import psutil
import pytest

from actors.spares import SPARE_TITLE
from tests.harness.load import Load, create_topic, read_all, until

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize(("process", "title", "wal"), [("raylet", "raylet", "file"), ("gcs_server", "GCS", "object")])
def test_a_server_without_its_ray_ends_and_a_start_has_everything_back(
    start_serve, process: str, title: str, wal: str
) -> None:
    server = start_serve()
    create_topic(server.bootstrap, "load", wal)
    with Load(server.bootstrap, "load", idempotent=True) as load:
        load.acknowledges(500)
        spares = until(lambda: server.processes(SPARE_TITLE), "a spare worker")
        roles = server.processes("Actor")
        (victim,) = [found for found in server.processes(process) if found.name() == process]
        victim.kill()
        assert server.wait_for_end(60) == 1
        assert f"Ray's {title} has ended (signal 9)" in server.output.read_text()
        _, left = psutil.wait_procs([*roles, *spares], timeout=30)
        assert left == []
        server.start()
        load.acknowledges(500)
    load.check(read_all(server.bootstrap, "load"))
