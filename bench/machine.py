"""Where the figures come from: they mean nothing without it."""

import os
import platform
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil
from confluent_kafka import libversion


def describe() -> dict[str, str]:
    described = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{os.cpu_count()} cores ({_cpu()}), {psutil.virtual_memory().total / 2**30:.0f} GiB, {_file_system()}",
        "system": f"Linux {platform.release()}, Python {platform.python_version()}",
        "versions": ", ".join(
            (
                f"raylog {version('raylog')}{_commit()}",
                f"ray {version('ray')}",
                f"confluent-kafka {version('confluent-kafka')} (librdkafka {libversion()[0]})",
            )
        ),
    }
    if java := _java():
        described["java"] = java
    return described


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system() -> str:
    folder = Path(tempfile.gettempdir()).resolve()
    mounts = [p for p in psutil.disk_partitions(all=True) if folder.is_relative_to(p.mountpoint)]
    return max(mounts, key=lambda p: len(p.mountpoint)).fstype if mounts else "unknown file system"


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        check=False,
    )
    return f" ({done.stdout.strip()})" if done.returncode == 0 else ""


def _java() -> str | None:
    if shutil.which("java") is None:
        return None
    done = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)
    return done.stderr.splitlines()[0] if done.stderr else None
