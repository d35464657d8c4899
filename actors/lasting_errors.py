"""Why a role of this node cannot do its work before somebody mends something, told to the command that waits for it.

A role that finds its log in a newer format, or an object missing, ends, and Ray starts it again, for ever: somebody may restore
the object. Its log says so; a person at ``raylog serve`` would wait for two minutes to be told to look there. So the role leaves
its sentence in the node's run folder, too, and the start ends with it. Roles on other nodes are not heard so.
"""

import contextlib
import os
import shutil
from pathlib import Path

from raylog.model.errors import CorruptError, InvalidError

LastingError = CorruptError | InvalidError
"""The same will happen at the next try."""


def _folder(run_dir: Path) -> Path:
    return run_dir / "failed"


def forget_errors(run_dir: Path) -> None:
    """What earlier roles have told is over."""
    shutil.rmtree(_folder(run_dir), ignore_errors=True)


def tell_error(run_dir: Path, error: LastingError) -> None:
    """Best effort: the role's log has it as well."""
    with contextlib.suppress(OSError):
        _folder(run_dir).mkdir(parents=True, exist_ok=True)
        path = _folder(run_dir) / str(os.getpid())
        path.with_suffix(".part").write_text(str(error))
        path.with_suffix(".part").rename(path)


def raise_told_error(run_dir: Path) -> None:
    """Raises CorruptError with the sentence of a role that has told one."""
    told = sorted(_folder(run_dir).glob("*[0-9]"))
    if told:
        raise CorruptError(told[0].read_text())
