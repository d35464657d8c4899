"""The port to the bucket. Backends: ``memory``, ``local`` (a folder), ``s3``; wrappers add retries, faults and counting.

Rules that every backend keeps:

- An object appears whole or not at all, and once a put has returned it is durable and visible to every reader and lister.
- ``put_if_absent`` never overwrites: of any number of racing callers exactly one succeeds.
- Keys are ``/``-separated UTF-8 without a leading slash (``object_key``), and no key is the folder of another; listings are
  in the order of the keys' bytes.
- A body is a sequence of buffers, written one after another without joining them where the backend can. They are not
  changed once handed over, not even when the call was cancelled: it may still be under way.
- A conditional body's first 64 bytes say who writes it and which write it is, so that a writer recognises its own
  earlier attempt (``RetryingStore``).
- Errors: ``NotFoundError``, ``AlreadyExistsError``, ``RetryError`` (throttled, timed out, away: the outcome of a put is then
  unknown), ``InvalidError`` (credentials, no such bucket: one sentence with the remedy).
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from raylog.model.buffers import Buffer
from raylog.protocol.file_range import FileRange


class Priority(IntEnum):
    """Who goes first when requests to the bucket queue for a connection."""

    LEADERSHIP = 0
    """Slots that say who leads what: nobody leads it until they are there."""
    WAL = 1
    TAIL = 2
    CATCH_UP = 3
    BACKGROUND = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectMeta:
    key: str
    size: int
    """Bytes."""
    modified_ms: int
    """Milliseconds since 1970, by the store's clock."""


class ObjectStore(Protocol):
    @property
    def url(self) -> str:
        """Where this is, for people (``file:///…``, ``s3://bucket/prefix``, ``memory://``); never with credentials."""
        ...

    async def put(self, key: str, body: Sequence[Buffer], *, priority: Priority = Priority.TAIL) -> None:
        """Write or overwrite. Bodies above the multipart threshold go up in parts, and still appear at once."""
        ...

    async def put_if_absent(self, key: str, body: Sequence[Buffer], *, priority: Priority = Priority.WAL) -> None:
        """Write only if no object has this key (``If-None-Match: *``); else ``AlreadyExistsError``."""
        ...

    async def get(
        self, key: str, *, start: int = 0, length: int | None = None, priority: Priority = Priority.TAIL
    ) -> bytes:
        """Bytes ``start`` to ``start + length`` (to the end when None). Short only at the object's end."""
        ...

    @property
    def has_files(self) -> bool:
        """Whether ``file_range`` ever gives one."""
        ...

    def file_range(self, key: str, start: int, length: int) -> FileRange | None:
        """The bytes as a part of a file, if the object is one on this machine and the system has them in memory; else, and
        whenever anything is wrong, None: ``get`` finds out what."""
        ...

    async def get_tail(self, key: str, length: int, *, priority: Priority = Priority.TAIL) -> bytes:
        """The last ``length`` bytes, or the whole object when it is shorter."""
        ...

    async def head(self, key: str) -> ObjectMeta: ...

    def list(self, prefix: str, *, start_after: str = "") -> AsyncIterator[ObjectMeta]:
        """Every object whose key starts with ``prefix`` and is greater than ``start_after``, in key order."""
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete all of them; one that is absent is no error."""
        ...

    async def close(self) -> None: ...
