"""Runs ``raylog`` command lines, as an operator would."""

import subprocess
import sys
from collections.abc import Mapping

from raylog.model.errors import RetryError


def raylog(
    *arguments: str, env: Mapping[str, str] | None = None, timeout_s: float | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """In this environment, or one's own. Raises RetryError with what it said last if it fails, unless not to ``check``."""
    done = subprocess.run(
        [sys.executable, "-m", "raylog.cli.main", *arguments],
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if check and done.returncode != 0:
        raise RetryError(f"'raylog {arguments[0]}' failed: {last_line(done.stderr or done.stdout)}")
    return done


def last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]
