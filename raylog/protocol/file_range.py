"""A part of a file on its way to a socket: the system sends it from its own memory, so that its bytes never enter the process.

Only what the system has in memory may become one, or the event loop that sends it would wait for the disk.
"""

import os
from collections.abc import Iterable
from typing import Final

from raylog.model.buffers import Buffer

FILE_BYTES_MIN: Final = 64 * 1024
"""A smaller part is cheaper read and sent with what surrounds it."""


class OpenFile:
    """A file that is open as long as somebody holds this. It is never written, and may have lost its name."""

    __slots__ = ("__weakref__", "fd", "size_bytes")

    def __init__(self, fd: int) -> None:
        """Owns ``fd`` from here on. Raises OSError when it is no open file."""
        self.fd = fd
        self.size_bytes = os.fstat(fd).st_size

    def __del__(self) -> None:
        os.close(self.fd)


class FileRange:
    """``size_bytes`` of a file from ``start`` on, which it has for certain."""

    __slots__ = ("file", "size_bytes", "start")

    def __init__(self, file: OpenFile, start: int, size_bytes: int) -> None:
        assert 0 < size_bytes <= file.size_bytes - start, (start, size_bytes, file.size_bytes)
        self.file = file
        self.start = start
        self.size_bytes = size_bytes

    def __len__(self) -> int:
        return self.size_bytes

    def without(self, count: int) -> "FileRange":
        """What is left after its first ``count`` bytes, fewer than it has."""
        return FileRange(self.file, self.start + count, self.size_bytes - count)

    def peek(self, position: int, count: int) -> bytes:
        """So many bytes from ``position`` on, counted from its start; fewer at the file's end. Raises OSError."""
        return os.pread(self.file.fd, count, self.start + position)

    def read(self) -> bytes:
        """Its bytes, where no socket takes a file. Raises OSError."""
        content = os.pread(self.file.fd, self.size_bytes, self.start)
        if len(content) < self.size_bytes:
            raise OSError("A file has become shorter since it was opened.")
        return content


Part = Buffer | FileRange
"""What an answer is made of."""


def has_files(parts: Iterable[Part]) -> bool:
    return any(type(part) is FileRange for part in parts)


def in_memory(parts: Iterable[Part]) -> list[Buffer]:
    """The same bytes without files. Raises OSError."""
    return [part.read() if isinstance(part, FileRange) else part for part in parts]
