"""An embedded Ray that does not start is told in a sentence."""

import os
from pathlib import Path
from unittest.mock import patch

import pytest

from actors.local_cluster import LocalCluster
from raylog.model.clock import SystemClock
from raylog.model.config import ClusterConfig
from raylog.model.errors import RetryError


def test_a_ray_that_does_not_start_is_an_error_with_its_reason(tmp_path: Path) -> None:
    config = ClusterConfig(
        store=tmp_path.as_uri(),
        wal={"object": "object:"},
        default_wal="object",
        listen="127.0.0.1:0",
        metrics="",
        run_dir=str(tmp_path / "run"),
    )
    cluster = LocalCluster(config, SystemClock())
    too_long_for_sockets = str(tmp_path / ("a" * 100))
    with patch.dict(os.environ, RAY_TMPDIR=too_long_for_sockets):
        with pytest.raises(RetryError, match=r"Ray did not start here \(.*107 bytes.*: try again"):
            cluster.start(lambda _: None, lambda: None)
        cluster.stop(lambda _: None)
