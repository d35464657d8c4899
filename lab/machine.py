"""Where figures come from: they mean nothing without it."""

import os
import platform
import subprocess
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil
from confluent_kafka import libversion

from raylog.model.clock import Clock

_SOURCES = Path(__file__).parents[1]


def describe(clock: Clock) -> dict[str, str]:
    """The date, the machine, the system and the versions of what matters, as texts."""
    return {
        "date": datetime.fromtimestamp(clock.wall_ms() / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{os.cpu_count()} cores ({_cpu()}), {psutil.virtual_memory().total / 2**30:.0f} GiB, {_file_system()}",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "versions": ", ".join(
            (
                f"raylog {version('raylog')}{_commit()}",
                f"ray {version('ray')}",
                f"confluent-kafka {version('confluent-kafka')} (librdkafka {libversion()[0]})",
            )
        ),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _file_system() -> str:
    folder = Path(tempfile.gettempdir()).resolve()
    mounts = [p for p in psutil.disk_partitions(all=True) if folder.is_relative_to(p.mountpoint)]
    return max(mounts, key=lambda p: len(p.mountpoint)).fstype if mounts else "unknown file system"


def _commit() -> str:
    """Of a clone; empty for an installed package."""
    if not (_SOURCES / ".git").exists():
        return ""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, cwd=_SOURCES, check=False
    )
    return f" ({done.stdout.strip()})" if done.returncode == 0 else ""
