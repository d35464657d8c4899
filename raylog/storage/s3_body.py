"""An S3 request's body made of many buffers, sent one after another without being joined.

botocore sees a file (``read``, ``seek``, ``tell``: it hashes the body where it signs it), aiohttp a payload that it can write as
often as it must. The buffers stay the caller's and are not changed until the request is over.
"""

import io
from collections.abc import Sequence
from typing import Any

from aiohttp import payload
from aiohttp.abc import AbstractStreamWriter

from raylog.model.buffers import Buffer

_WRITE_BYTES_MAX = 1 << 20
"""Longer buffers are written in pieces, so that a slow connection pushes back."""


class BuffersPayload(payload.Payload):
    _autoclose = True

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        super().__init__(buffers, content_type="application/octet-stream")
        self._views = [memoryview(buffer).cast("B") for buffer in buffers if len(buffer)]
        self._size = sum(len(view) for view in self._views)
        self._position = 0

    def __len__(self) -> int:
        return self._size or 0

    def __bool__(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self)}[whence]
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes from the position; joins only what is asked for."""
        end = len(self) if size < 0 else min(len(self), self._position + size)
        parts: list[memoryview] = []
        start = 0
        for view in self._views:
            if start < end and start + len(view) > self._position:
                parts.append(view[max(0, self._position - start) : end - start])
            start += len(view)
        self._position = max(self._position, end)
        return b"".join(parts)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return b"".join(self._views).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        assert content_length is None or content_length == len(self)
        for view in self._views:
            for start in range(0, len(view), _WRITE_BYTES_MAX):
                await writer.write(view[start : start + _WRITE_BYTES_MAX])

    def __deepcopy__(self, memo: dict[int, Any]) -> "BuffersPayload":
        """botocore copies a request's parameters; the body stays shared."""
        return self
