"""Real ``raylog serve`` processes on real Ray, killed for real: nothing here runs in the test's own process."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.ports import free_port
from lab.ray_cluster import GcsStore, RayCluster, StartRaylog, folder_store
from tests.harness.redis_server import RedisServer
from tests.harness.s3_servers import MotoServer
from tests.harness.serve import ServeProcess

StartServe = Callable[..., ServeProcess]


@pytest.fixture
def free_ports() -> list[int]:
    """Two."""
    return [free_port(), free_port()]


@pytest.fixture
def start_serve(tmp_path: Path) -> Iterator[StartServe]:
    """Starts servers; all of them are killed at the test's end."""
    started: list[ServeProcess] = []

    def start(store: str | None = None, *extra: str, env: dict[str, str] | None = None) -> ServeProcess:
        server = ServeProcess(store or str(tmp_path / "bucket"), tmp_path, extra, env)
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.kill()


@pytest.fixture
def moto_s3(tmp_path: Path) -> Iterator[str]:
    """An S3 server (moto) in its own process with one bucket, as a ``--store`` URL."""
    with MotoServer(tmp_path) as server:
        yield server.store_url("cluster")


@pytest.fixture
def gcs_store(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[GcsStore]:
    """Where Ray's GCS keeps what it knows: a folder, or by an indirect parameter ``redis``."""
    if getattr(request, "param", "folder") == "redis":
        with RedisServer(tmp_path) as server:
            yield server.gcs_store
    else:
        yield folder_store(tmp_path / "gcs")


@pytest.fixture
def cluster(tmp_path: Path, gcs_store: GcsStore) -> Iterator[RayCluster]:
    """A Ray without nodes, so far."""
    made = RayCluster(tmp_path, gcs_store)
    yield made
    made.close()


@pytest.fixture
def start_raylog(cluster: RayCluster, tmp_path: Path) -> StartRaylog:
    """``raylog start`` on a folder as the bucket; Raylog goes on after it."""

    def start(*arguments: str) -> None:
        where = ("--address", cluster.address, "--store", str(tmp_path / "bucket"), "--listen", "127.0.0.1:9092")
        cluster.raylog("start", *where, "--metrics", "", *arguments)

    return start
