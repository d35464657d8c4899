"""Backups as docs/operations.md has them: a server on the copy of a bucket has everything acknowledged before the copy began."""

import importlib.util
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest

from tests.harness.load import Load, create_topic, read_all
from tests.harness.s3_servers import MotoServer

pytestmark = pytest.mark.timeout(300)
_UNDELETE = Path(__file__).parents[2] / "deploy" / "aws" / "undelete.py"


def copy_bucket(source: str, target: Path, *options: str, env: dict[str, str] | None = None) -> None:
    command = [
        sys.executable,
        "-m",
        "raylog.cli.main",
        "store",
        "copy",
        "--from",
        source,
        "--to",
        str(target),
        *options,
    ]
    done = subprocess.run(command, env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "nothing is missing" in done.stdout


def test_a_copy_taken_under_load_serves_all_that_was_acknowledged_before(start_serve, tmp_path: Path) -> None:
    server = start_serve(None, "--default-wal", "object")
    create_topic(server.bootstrap, "load", "object")
    with Load(server.bootstrap, "load", idempotent=True) as load:
        load.acknowledges(500)
        before = dict(load.acknowledged)
        copy_bucket(server.store, tmp_path / "copy", "--verify")
        load.acknowledges(500)
    server.stop()
    restored = start_serve(str(tmp_path / "copy"), "--default-wal", "object")
    found = read_all(restored.bootstrap, "load")
    assert before.items() <= found.items()
    assert found.items() <= load.acknowledged.items()


def test_a_versioned_bucket_that_was_emptied_is_brought_back_as_it_was(start_serve, tmp_path: Path) -> None:
    with MotoServer(tmp_path) as moto:
        store = moto.store_url("cluster")
        s3 = _client(store, moto.environment)
        s3.put_bucket_versioning(Bucket="raylog", VersioningConfiguration={"Status": "Enabled"})
        server = start_serve(store, "--default-wal", "object", env=moto.environment)
        create_topic(server.bootstrap, "load", "object")
        with Load(server.bootstrap, "load", idempotent=True) as load:
            load.acknowledges(500)
        server.stop()
        moment = datetime.now(UTC).isoformat()
        objects = s3.list_objects_v2(Bucket="raylog", Prefix="cluster/")["Contents"]
        s3.delete_objects(Bucket="raylog", Delete={"Objects": [{"Key": found["Key"]} for found in objects]})
        assert "Contents" not in s3.list_objects_v2(Bucket="raylog", Prefix="cluster/")

        assert _undelete()(s3, "raylog", "cluster/") >= len(objects)
        copy_bucket(store, tmp_path / "copy", "--until", moment, env=moto.environment)
    restored = start_serve(str(tmp_path / "copy"), "--default-wal", "object")
    assert read_all(restored.bootstrap, "load") == load.acknowledged


def _client(store: str, environment: dict[str, str]) -> Any:
    options = parse_qs(urlsplit(store).query)
    return boto3.client(
        "s3",
        endpoint_url=options["endpoint"][0],
        region_name=options["region"][0],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )


def _undelete() -> Any:
    spec = importlib.util.spec_from_file_location("undelete", _UNDELETE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.undelete
