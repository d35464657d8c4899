"""A bucket in memory, for tests, simulation and the command line's trials: the port's rules without I/O.

Nothing is awaited between looking and writing, so each call is atomic on its event loop.
"""

import bisect
from collections.abc import AsyncIterator, Sequence

from raylog.model.buffers import Buffer
from raylog.model.clock import Clock
from raylog.model.errors import AlreadyExistsError, NotFoundError
from raylog.protocol.file_range import FileRange
from raylog.storage.object_key import check_key
from raylog.storage.object_store import ObjectMeta, Priority


class MemoryStore:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._objects: dict[str, tuple[bytes, int]] = {}
        # Sorted by code points, which for UTF-8 is the order of the bytes.
        self._keys: list[str] = []

    @property
    def url(self) -> str:
        return "memory://"

    async def put(self, key: str, body: Sequence[Buffer], *, priority: Priority = Priority.TAIL) -> None:
        if check_key(key) not in self._objects:
            bisect.insort(self._keys, key)
        self._objects[key] = (b"".join(body), self._clock.wall_ms())

    async def put_if_absent(self, key: str, body: Sequence[Buffer], *, priority: Priority = Priority.WAL) -> None:
        if key in self._objects:
            raise AlreadyExistsError(f"The object {key} exists already.")
        await self.put(key, body, priority=priority)

    async def get(
        self, key: str, *, start: int = 0, length: int | None = None, priority: Priority = Priority.TAIL
    ) -> bytes:
        content, _ = self._find(key)
        return content[start : None if length is None else start + length]

    @property
    def has_files(self) -> bool:
        return False

    def file_range(self, key: str, start: int, length: int) -> FileRange | None:
        return None

    async def get_tail(self, key: str, length: int, *, priority: Priority = Priority.TAIL) -> bytes:
        content, _ = self._find(key)
        return content[max(0, len(content) - length) :]

    async def head(self, key: str) -> ObjectMeta:
        return self._meta(key)

    async def list(self, prefix: str, *, start_after: str = "") -> AsyncIterator[ObjectMeta]:
        last = start_after
        while True:
            # Looked up again for each object, because the caller may write and delete between two of them.
            position = max(bisect.bisect_left(self._keys, prefix), bisect.bisect_right(self._keys, last))
            if position == len(self._keys) or not self._keys[position].startswith(prefix):
                return
            last = self._keys[position]
            yield self._meta(last)

    async def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            if self._objects.pop(check_key(key), None) is not None:
                del self._keys[bisect.bisect_left(self._keys, key)]

    async def close(self) -> None:
        """Keeps its content, so that a test can open a cluster on it again."""

    def _find(self, key: str) -> tuple[bytes, int]:
        found = self._objects.get(key)
        if found is None:
            raise NotFoundError(f"There is no object {check_key(key)}.")
        return found

    def _meta(self, key: str) -> ObjectMeta:
        content, modified_ms = self._find(key)
        return ObjectMeta(key=key, size=len(content), modified_ms=modified_ms)
