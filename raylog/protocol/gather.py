"""Buffers on their way to a socket: small writes coalesced, record batches passed on by reference, never joined."""

from collections.abc import Iterable, Iterator

from raylog.model.buffers import Buffer
from raylog.protocol.file_range import FileRange, Part, in_memory

BY_REFERENCE_BYTES = 4096
"""From this size on a buffer is passed on as it is; below, copying is cheaper than another entry in ``writev``."""


class RecordsParts:
    """The value of a records field made of many parts (batches, or their prefixes and bodies, or what a file has of them),
    written by reference."""

    __slots__ = ("_size_bytes", "parts")

    def __init__(self, parts: Iterable[Part] = ()) -> None:
        self.parts: list[Part] = list(parts)
        self._size_bytes = sum(map(len, self.parts))

    def __len__(self) -> int:
        """Bytes."""
        return self._size_bytes

    def __iter__(self) -> Iterator[Part]:
        return iter(self.parts)

    def extend(self, parts: Iterable[Part]) -> None:
        for part in parts:
            self.parts.append(part)
            self._size_bytes += len(part)

    def join(self) -> bytes:
        """All parts in one ``bytes``: a copy, for tests and small values."""
        return b"".join(in_memory(self.parts))


class GatherBuffer:
    """What messages are written to; gives the list of buffers in the end.

    A ``bytes`` or view given to it may be referenced until the list is sent, so it must not change meanwhile.
    """

    __slots__ = ("_done", "_done_bytes", "small")

    def __init__(self) -> None:
        self.small = bytearray()
        """Where writers append what is small. Another one after each buffer that is passed on by reference."""
        self._done: list[Part] = []
        self._done_bytes = 0

    def write(self, data: Buffer | RecordsParts) -> None:
        """Append a value of any size."""
        if isinstance(data, RecordsParts):
            for part in data.parts:
                self._write_buffer(part)
        else:
            self._write_buffer(data)

    def _write_buffer(self, data: Part) -> None:
        if len(data) < BY_REFERENCE_BYTES and not isinstance(data, FileRange):
            self.small += data
            return
        self._close_small()
        self._done.append(data)
        self._done_bytes += len(data)

    def _close_small(self) -> None:
        if self.small:
            self._done.append(self.small)
            self._done_bytes += len(self.small)
            self.small = bytearray()

    def __len__(self) -> int:
        """Bytes written so far."""
        return self._done_bytes + len(self.small)

    def finish(self) -> list[Part]:
        """All that was written, in order."""
        self._close_small()
        return self._done


def append_uvarint(small: bytearray, value: int) -> None:
    """Kafka's unsigned varint: 7 bits in a byte, the lowest first, the top bit set when more follow."""
    while value > 0x7F:
        small.append((value & 0x7F) | 0x80)
        value >>= 7
    small.append(value)
