"""Parts of a local bucket's files for sending (``raylog.protocol.file_range``), of files that the system has in memory.

Whether it has is asked by reading a byte every so often without waiting for the disk (RWF_NOWAIT): the system reads and
forgets neighbouring pages together. If it is wrong in between, sending waits for the disk, as Kafka's does.

A reader comes back to its file within milliseconds, and to open it costs more than all else here, so files stay open for a
moment. One that is deleted meanwhile keeps its room on the disk for so long.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from raylog.protocol.file_range import FileRange, OpenFile

_STEP_BYTES: Final = 128 * 1024
_FILES_MAX: Final = 256
"""Open at once; readers that would need more have the bytes read."""
_UNUSED_S: Final = 1.0
"""A file that nobody holds is closed when it has not been used for so long, and within twice that."""


class FileRanges:
    """Used from one event loop only."""

    def __init__(self) -> None:
        self._open: WeakValueDictionary[str, OpenFile] = WeakValueDictionary()
        self._used: dict[str, OpenFile] = {}
        """Since the timer's last stroke, and between that and the one before:"""
        self._used_before: dict[str, OpenFile] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._byte = bytearray(1)

    def range_in_memory(self, key: str, path: Callable[[], Path], start: int, length: int) -> FileRange | None:
        """A part of the object whose file is at ``path()``. None if the file is shorter, or the disk would have to be asked.
        Raises OSError."""
        file = self._open.get(key)
        if file is None:
            if not self._may_open():
                return None
            file = OpenFile(os.open(path(), os.O_RDONLY | os.O_CLOEXEC))
            self._open[key] = file
        self._keep_open(key, file)
        end = start + length
        if end > file.size_bytes or not self._is_in_memory(file.fd, start, end):
            return None
        return FileRange(file, start, length)

    def close_unused(self) -> None:
        """Close what nobody holds."""
        self._used_before.clear()
        self._used.clear()

    def _may_open(self) -> bool:
        if len(self._open) >= _FILES_MAX:
            self.close_unused()
        return len(self._open) < _FILES_MAX

    def _keep_open(self, key: str, file: OpenFile) -> None:
        self._used[key] = file
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_UNUSED_S, self._strike)

    def _strike(self) -> None:
        self._timer = None
        self._used_before, self._used = self._used, {}
        if self._used_before:
            self._timer = asyncio.get_running_loop().call_later(_UNUSED_S, self._strike)

    def _is_in_memory(self, fd: int, start: int, end: int) -> bool:
        byte = [self._byte]
        try:
            for position in range(start, end, _STEP_BYTES):
                os.preadv(fd, byte, position, os.RWF_NOWAIT)
            os.preadv(fd, byte, end - 1, os.RWF_NOWAIT)
        except BlockingIOError:
            return False
        return True
