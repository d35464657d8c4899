"""A cluster's processes are known by a mark in their environment, and none outlives it, or whoever started it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from lab.marked import MARK_VARIABLE
from lab.ray_cluster import RayCluster

GUARDED_AND_KILLED = """\
import os, sys
from lab.guardian import start_guardian
start_guardian(sys.argv[1])
os.kill(os.getpid(), 9)
"""


def test_what_was_started_for_a_cluster_ends_with_it_and_nothing_else(tmp_path: Path) -> None:
    cluster, other = RayCluster(tmp_path), RayCluster(tmp_path)
    mine, theirs = (
        subprocess.Popen(["sleep", "600"], env={**os.environ, MARK_VARIABLE: f"{os.getpid()}-{one.gcs_port}"})
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


def test_what_was_started_ends_when_the_one_who_started_it_is_killed() -> None:
    mark = f"{os.getpid()}-guarded"
    started = subprocess.Popen(["sleep", "600"], env={**os.environ, MARK_VARIABLE: mark})
    subprocess.run([sys.executable, "-c", GUARDED_AND_KILLED, mark], check=False)
    assert started.wait(60) == -signal.SIGKILL
