"""Kafka's primitive types in both encodings, plain and flexible (KIP-482), for the records of ``__consumer_offsets``.

kio has no schema for these records, as they are not messages of the protocol.
"""

import struct
from collections.abc import Mapping

from raylog.model.errors import CorruptError

_I16 = struct.Struct(">h")
_I32 = struct.Struct(">i")
_I64 = struct.Struct(">q")

_I16_MAX = (1 << 15) - 1


def is_writable(*texts: str | None) -> bool:
    """Whether each text is short enough for a record: its length is a 16-bit number, while requests may have longer ones."""
    return all(text is None or len(text) * 4 <= _I16_MAX or len(text.encode()) <= _I16_MAX for text in texts)


class Writer:
    """Appends values; each method gives the writer back, so that a record reads as one chain."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = bytearray()

    def done(self) -> bytes:
        return bytes(self._data)

    def i16(self, value: int) -> "Writer":
        self._data += _I16.pack(value)
        return self

    def i32(self, value: int) -> "Writer":
        self._data += _I32.pack(value)
        return self

    def i64(self, value: int) -> "Writer":
        self._data += _I64.pack(value)
        return self

    def string(self, value: str) -> "Writer":
        data = value.encode()
        self.i16(len(data))
        self._data += data
        return self

    def nullable_string(self, value: str | None) -> "Writer":
        return self.i16(-1) if value is None else self.string(value)

    def compact_string(self, value: str) -> "Writer":
        data = value.encode()
        self._uvarint(len(data) + 1)
        self._data += data
        return self

    def sized_bytes(self, value: bytes) -> "Writer":
        self.i32(len(value))
        self._data += value
        return self

    def tags(self, values: Mapping[int, bytes]) -> "Writer":
        self._uvarint(len(values))
        for tag, data in sorted(values.items()):
            self._uvarint(tag)
            self._uvarint(len(data))
            self._data += data
        return self

    def _uvarint(self, value: int) -> None:
        while value > 0x7F:
            self._data.append((value & 0x7F) | 0x80)
            value >>= 7
        self._data.append(value)


class Reader:
    """Reads values in order. Every method raises CorruptError when the bytes end, or are not what they should be.

    The ``any_`` methods read the encoding that ``is_flexible`` says.
    """

    __slots__ = ("_data", "_position", "is_flexible")

    def __init__(self, data: bytes, *, is_flexible: bool = False) -> None:
        self._data = data
        self._position = 0
        self.is_flexible = is_flexible

    def i16(self) -> int:
        return self._number(_I16)

    def i32(self) -> int:
        return self._number(_I32)

    def i64(self) -> int:
        return self._number(_I64)

    def string(self) -> str:
        return self._text(self.i16())

    def compact_string(self) -> str:
        return self._text(self._uvarint() - 1)

    def any_string(self) -> str:
        return self.compact_string() if self.is_flexible else self.string()

    def any_nullable_string(self) -> str | None:
        size = self._uvarint() - 1 if self.is_flexible else self.i16()
        return None if size < 0 else self._text(size)

    def any_bytes(self) -> bytes:
        return self._take(self._uvarint() - 1 if self.is_flexible else self.i32())

    def any_count(self) -> int:
        count = self._uvarint() - 1 if self.is_flexible else self.i32()
        if not 0 <= count <= len(self._data) - self._position:
            raise CorruptError(f"A record of __consumer_offsets says that it has {count} elements.")
        return count

    def tags(self) -> dict[int, bytes]:
        return {self._uvarint(): self._take(self._uvarint()) for _ in range(self._uvarint())}

    def _number(self, form: struct.Struct) -> int:
        try:
            (value,) = form.unpack_from(self._data, self._position)
        except struct.error:
            raise CorruptError("A record of __consumer_offsets ends within a number.") from None
        self._position += form.size
        return int(value)

    def _text(self, size: int) -> str:
        try:
            return str(self._take(size), "utf-8")
        except UnicodeDecodeError as error:
            raise CorruptError(f"A text in a record of __consumer_offsets is not UTF-8: {error}.") from error

    def _take(self, size: int) -> bytes:
        start = self._position
        end = start + size
        if size < 0 or end > len(self._data):
            raise CorruptError(f"A record of __consumer_offsets ends within a field of {size} bytes.")
        self._position = end
        return self._data[start:end]

    def _uvarint(self) -> int:
        value = shift = 0
        while shift < 35:
            byte = self._take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise CorruptError("A variable-length integer in a record of __consumer_offsets is too long.")
