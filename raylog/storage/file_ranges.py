"""Parts of a local bucket's files for sending (``raylog.protocol.file_range``), of files that the system has in memory.

Whether it has is asked by reading a byte every so often without waiting for the disk (RWF_NOWAIT): the system reads and
forgets neighbouring pages together. If it is wrong in between, sending waits for the disk, as Kafka's does.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from raylog.protocol.file_range import FileRange, OpenFile

_STEP_BYTES: Final = 128 * 1024
_FILES_MAX: Final = 256
"""Open at once; readers that would need more have the bytes read."""


class FileRanges:
    def __init__(self) -> None:
        self._open: WeakValueDictionary[str, OpenFile] = WeakValueDictionary()
        self._byte = bytearray(1)

    def range_in_memory(self, key: str, path: Callable[[], Path], start: int, length: int) -> FileRange | None:
        """A part of the object whose file is at ``path()``. None if the file is shorter, or the disk would have to be asked.
        Raises OSError."""
        file = self._open.get(key)
        if file is None:
            if len(self._open) >= _FILES_MAX:
                return None
            file = OpenFile(os.open(path(), os.O_RDONLY | os.O_CLOEXEC))
            self._open[key] = file
        end = start + length
        if end > file.size_bytes or not self._is_in_memory(file.fd, start, end):
            return None
        return FileRange(file, start, length)

    def _is_in_memory(self, fd: int, start: int, end: int) -> bool:
        byte = [self._byte]
        try:
            for position in range(start, end, _STEP_BYTES):
                os.preadv(fd, byte, position, os.RWF_NOWAIT)
            os.preadv(fd, byte, end - 1, os.RWF_NOWAIT)
        except BlockingIOError:
            return False
        return True
