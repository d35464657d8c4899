"""Where the figures come from: they mean nothing without it."""

import shutil
import subprocess

from lab import machine
from raylog.model.clock import SystemClock


def describe() -> dict[str, str]:
    described = machine.describe(SystemClock())
    if java := _java():
        described["java"] = java
    return described


def _java() -> str | None:
    if shutil.which("java") is None:
        return None
    done = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)
    return done.stderr.splitlines()[0] if done.stderr else None
