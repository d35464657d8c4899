"""MinIO, built from its sources through Go's module proxy by ``make minio`` or at the first use, and kept in ``.cache/``.

A test tool only: nothing of it is linked into, shipped with or needed by Raylog.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

_MODULE = "github.com/minio/minio"
_VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"
_CACHE = Path(__file__).parents[2] / ".cache" / "minio"


class NoMinioError(Exception):
    """It cannot be built here; the message says what is missing, in one sentence."""


def minio_program() -> Path:
    """The program, which is built first unless it is there; that takes minutes. Raises NoMinioError."""
    program = _CACHE / _VERSION / "minio"
    if not program.exists():
        _build(program)
    return program


def _build(program: Path) -> None:
    if shutil.which("go") is None:
        raise NoMinioError("MinIO is built with Go: install Go 1.24 or newer, and have 'go' on the PATH.")
    print(f"building MinIO {_VERSION}, which takes some minutes", file=sys.stderr, flush=True)
    unfinished = program.parent / "unfinished"
    unfinished.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["go", "install", f"{_MODULE}@{_VERSION}"],
        env={**os.environ, "GOBIN": str(unfinished), "CGO_ENABLED": "0"},
        stdout=sys.stderr,
        check=False,
    )
    if done.returncode:
        raise NoMinioError(
            f"MinIO could not be built ('go install' ended with {done.returncode}): "
            "it needs Go 1.24 or newer, and Go's module proxy."
        )
    (unfinished / "minio").rename(program)  # at once, so that a build that was interrupted is never taken for a program
    unfinished.rmdir()


def main() -> int:
    try:
        print(minio_program())
    except NoMinioError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
