"""The files of one leader's WAL folder, behind a port small enough for a test to lose unsynced writes in.

Rules that every implementation keeps:

- ``create`` and ``write_fence`` have made the file, its length and its name durable when they return.
- ``write`` may be lost, in part and in any order, until ``sync`` has returned.
- ``read_fence`` opens the file anew each time: NFS shows other machines' writes at open, not at read.
- Errors are ``OSError``; calls block and may run in a thread.
"""

import contextlib
import errno
import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from raylog.model.buffers import Buffer
from raylog.storage.gathered_write import write_at
from raylog.storage.wal_format import FENCE_BYTES

_FENCE_NAME = "fence"
_ASIDE = ".aside"
_ZERO_CHUNK = bytes(1 << 20)
_BLOCK_BYTES = 4096
"""Reads that pass the page cache by begin and end at multiples of it."""


class SegmentFile(Protocol):
    """A segment of fixed length, open for reading and writing."""

    name: str
    size_bytes: int

    def write(self, buffers: Sequence[Buffer], position: int) -> None: ...

    def sync(self) -> None: ...

    def read(self, position: int, length: int) -> bytes:
        """Short only at the file's end."""
        ...

    def close(self) -> None: ...


class WalDisk(Protocol):
    def exists(self) -> bool:
        """Has a WAL been here before?"""
        ...

    def names(self) -> list[str]:
        """The names of the segments, and of those set aside, sorted."""
        ...

    def create(self, name: str, size_bytes: int) -> SegmentFile:
        """A new segment of zeros."""
        ...

    def open(self, name: str) -> SegmentFile:
        """A segment as the disk has it, for reading."""
        ...

    def set_aside(self, names: Sequence[str]) -> None:
        """Rename segments, at once, as ``aside`` says: who looks for segments finds them no more, who has them open goes on.

        After a power loss they may have their names again.
        """
        ...

    def remove(self, names: Sequence[str]) -> None: ...

    def read_fence(self) -> bytes: ...

    def write_fence(self, position: int, mark: bytes) -> None:
        """Write a mark; makes the folder and the fence file when they are missing."""
        ...


def aside(name: str) -> str:
    """A segment's name once it is set aside."""
    return name + _ASIDE


def is_set_aside(name: str) -> bool:
    return name.endswith(_ASIDE)


class PosixSegment:
    __slots__ = ("_fd", "name", "size_bytes")

    def __init__(self, fd: int, name: str) -> None:
        self._fd = fd
        self.name = name
        self.size_bytes = os.fstat(fd).st_size

    def write(self, buffers: Sequence[Buffer], position: int) -> None:
        write_at(self._fd, buffers, position)

    def sync(self) -> None:
        os.fdatasync(self._fd)

    def read(self, position: int, length: int) -> bytes:
        parts: list[bytes] = []
        while length > 0 and (part := os.pread(self._fd, length, position)):
            parts.append(part)
            position += len(part)
            length -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class _SegmentOnDisk(PosixSegment):
    """Reads what the disk has, not what the page cache has (O_DIRECT)."""

    __slots__ = ()

    def read(self, position: int, length: int) -> bytes:
        skipped_bytes = position % _BLOCK_BYTES
        start = position - skipped_bytes
        wanted_bytes = skipped_bytes + length
        blocks_bytes = -(-wanted_bytes // _BLOCK_BYTES) * _BLOCK_BYTES
        with mmap.mmap(-1, blocks_bytes) as blocks:  # memory that begins at a block, too
            done = 0
            with memoryview(blocks) as view:
                while done < len(view):
                    read_bytes = os.preadv(self._fd, [view[done:]], start + done)
                    done += read_bytes
                    if not read_bytes or read_bytes % _BLOCK_BYTES:
                        break  # the file's end
            return blocks[skipped_bytes : min(done, wanted_bytes)]


class PosixDisk:
    """A folder ``{mount}/{name}``. The mount itself is never made: where it is missing, its volume is."""

    def __init__(self, mount: Path, name: str) -> None:
        self.mount = mount
        self.folder = mount / name
        self._fence = self.folder / _FENCE_NAME

    def exists(self) -> bool:
        if not self.mount.is_dir():
            raise FileNotFoundError(errno.ENOENT, "the WAL's mount is not there", str(self.mount))
        return self._fence.exists()

    def names(self) -> list[str]:
        return sorted(name for name in os.listdir(self.folder) if name != _FENCE_NAME)

    def create(self, name: str, size_bytes: int) -> PosixSegment:
        path = self.folder / name
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            os.posix_fallocate(fd, 0, size_bytes)
            _fill_with_zeros(fd, size_bytes)
            os.fsync(fd)
            _sync_folder(self.folder)
        except OSError:
            os.close(fd)
            path.unlink()
            raise
        return PosixSegment(fd, name)

    def open(self, name: str) -> PosixSegment:
        # What a crashed process left in the page cache must be on the disk before anyone builds on it; and after a sync that
        # failed, only the disk itself says what it holds. Where there is no way past the cache, it is emptied of the file: all of
        # it, which takes milliseconds.
        path, flags = self.folder / name, os.O_RDWR | os.O_CLOEXEC
        kind: type[PosixSegment] = _SegmentOnDisk
        try:
            fd = os.open(path, flags | os.O_DIRECT)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            fd, kind = os.open(path, flags), PosixSegment
        try:
            os.fdatasync(fd)
            if kind is PosixSegment:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError:
            os.close(fd)
            raise
        return kind(fd, name)

    def set_aside(self, names: Sequence[str]) -> None:
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                (self.folder / name).rename(self.folder / aside(name))

    def remove(self, names: Sequence[str]) -> None:
        for name in names:
            (self.folder / name).unlink(missing_ok=True)
        _sync_folder(self.folder)

    def read_fence(self) -> bytes:
        fd = os.open(self._fence, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(fd, FENCE_BYTES, 0)
        finally:
            os.close(fd)

    def write_fence(self, position: int, mark: bytes) -> None:
        self.folder.mkdir(exist_ok=True)
        # O_DSYNC also keeps an NFS client from widening the write to the page, over another machine's mark.
        fd = os.open(self._fence, os.O_WRONLY | os.O_CREAT | os.O_DSYNC | os.O_CLOEXEC, 0o644)
        try:
            os.pwrite(fd, mark, position)
            os.fsync(fd)
        finally:
            os.close(fd)
        _sync_folder(self.folder)
        _sync_folder(self.mount)


def _fill_with_zeros(fd: int, size_bytes: int) -> None:
    """Turn reserved extents into written ones, a piece at a time so that other files' syncs do not queue behind one large one.

    Without this each commit pays for the conversion in its own sync: 0.9 ms against 0.55 ms for 1 MiB on ext4, and 8 ms
    against 1 ms at the 99th percentile.
    """
    for position in range(0, size_bytes, len(_ZERO_CHUNK)):
        os.pwrite(fd, memoryview(_ZERO_CHUNK)[: size_bytes - position], position)
        os.fdatasync(fd)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
