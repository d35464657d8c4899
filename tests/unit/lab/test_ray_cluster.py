"""A cluster's processes are known by a mark in their environment, and none outlives it."""

import os
import subprocess
from pathlib import Path

import psutil

from lab.ray_cluster import RayCluster


def test_what_was_started_for_a_cluster_ends_with_it_and_nothing_else(tmp_path: Path) -> None:
    cluster, other = RayCluster(tmp_path), RayCluster(tmp_path)
    mine, theirs = (
        subprocess.Popen(["sleep", "600"], env={**os.environ, "RAYLOG_LAB_RAY": f"{os.getpid()}-{one.gcs_port}"})
        for one in (cluster, other)
    )
    try:
        assert [process.pid for process in cluster.processes("sleep")] == [mine.pid]
        cluster.close()
        assert not psutil.pid_exists(mine.pid)
        assert theirs.poll() is None
    finally:
        other.close()
        for ended in (mine, theirs):
            ended.wait(60)
    assert other.processes() == []
