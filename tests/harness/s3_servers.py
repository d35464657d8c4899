"""S3 servers in processes of their own, on loopback and a free port, each with one bucket and nothing left behind."""

import contextlib
import http.client
import os
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from lab.ports import free_port
from tests.harness.minio import minio_program

_PROJECT = Path(__file__).parents[2]
_BUCKET = "raylog"
_REGION = "us-east-1"
_LOOKS = 1200
_PAUSE_S = 0.05


class S3Server(ABC):
    """Enter it to start it. ``environment`` is what its clients need beside the URL."""

    access_key: str
    secret_key: str
    health_path: str

    def __init__(self, folder: Path) -> None:
        """``folder`` takes its data and what it prints."""
        self.port = free_port()
        self._folder = folder
        self._process: psutil.Popen | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}

    def store_url(self, prefix: str) -> str:
        """For ``--store``."""
        return f"s3://{_BUCKET}/{prefix}?endpoint={self.endpoint}&region={_REGION}&path_style=true"

    @abstractmethod
    def command(self) -> Sequence[str]:
        """What to run."""

    def server_environment(self) -> dict[str, str]:
        """What the server itself needs."""
        return {}

    @property
    def process(self) -> psutil.Process:
        """For stopping and continuing it."""
        assert self._process is not None, "the server does not run"
        return self._process

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f"{type(self).__name__}-{self.port}.log").open("wb") as output:
            self._process = psutil.Popen(
                self.command(),
                stdout=output,
                stderr=output,
                cwd=_PROJECT,
                env={**os.environ, **self.server_environment()},
            )
        try:
            self._wait_until_healthy()
            self._make_bucket()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _wait_until_healthy(self) -> None:
        patience = threading.Event()
        for _ in range(_LOOKS):
            assert self._process is not None
            assert self._process.poll() is None, f"{type(self).__name__} ended before it was healthy"
            if self._is_healthy():
                return
            patience.wait(_PAUSE_S)
        raise AssertionError(f"{type(self).__name__} was never healthy")

    def _is_healthy(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", self.health_path)
            return connection.getresponse().status == http.client.OK
        return False

    def _make_bucket(self) -> None:
        import boto3

        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=_REGION,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
        )
        with contextlib.closing(client):
            client.create_bucket(Bucket=_BUCKET)


class MotoServer(S3Server):
    """moto's, one request at a time (tests/harness/moto_server.py). It keeps all in memory."""

    access_key = "test"
    secret_key = "test"
    health_path = "/moto-api/data.json"

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", "tests.harness.moto_server", str(self.port)]


class MinioServer(S3Server):
    """MinIO, a real one: conditional PUTs are atomic, and what it has answered for is on disk. ``make minio`` builds it."""

    access_key = "raylog-test"
    secret_key = "raylog-test-secret"
    health_path = "/minio/health/ready"

    def command(self) -> Sequence[str]:
        data = self._folder / "minio"
        address = f"127.0.0.1:{self.port}"
        return [
            *(str(minio_program()), "server", str(data), "--address", address),
            *("--console-address", f"127.0.0.1:{free_port()}", "--quiet"),
        ]

    def server_environment(self) -> dict[str, str]:
        return {
            "MINIO_ROOT_USER": self.access_key,
            "MINIO_ROOT_PASSWORD": self.secret_key,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
        }


SERVERS: dict[str, type[S3Server]] = {"moto": MotoServer, "minio": MinioServer}
