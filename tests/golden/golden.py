"""Golden files: the bytes of every format that reaches the bucket, a WAL's volume or another process, as they were once written.

A file is never made anew: what it holds lies in people's buckets. ``python -m tests.golden`` writes the files that are missing,
and no other. So a format that changes gets a new version in the code, its ``Golden`` here gets the version after it, and the
one before stays, read only (``write=None``), for as long as Raylog reads it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILES = Path(__file__).parent / "files"


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """One version of one format."""

    file: str
    """``{format}-v{version}.bin``."""
    section: str
    """The heading of docs/format.md under which it is described."""
    read: Callable[[bytes], Any]
    """As Raylog reads it. Raises CorruptError."""
    value: Any
    """What ``read`` finds in it."""
    write: Callable[[], bytes] | None = None
    """As Raylog writes ``value`` today; None: it writes a later version."""
    newer: Mapping[str, Callable[[bytes], bytes]] = field(default_factory=dict)
    """By what is newer: the bytes as a newer Raylog might have written them, with good checksums."""
    has_version: bool = True
    """False: of a part that has the version of what it lies in."""

    @property
    def path(self) -> Path:
        return FILES / self.file


def with_bytes(data: bytes, position: int, value: bytes) -> bytes:
    """``data`` with ``value`` at ``position``."""
    return data[:position] + value + data[position + len(value) :]
