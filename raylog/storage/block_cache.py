"""The gateway's reader of data objects: aligned blocks in a cache with a byte budget, with read-ahead for those who read on.

Rules:

- Objects are immutable, so a block is never stale; it leaves when it is the least recently used and room is needed.
- Who has put an object may leave it here, for readers to come.
- A block is asked of the bucket once, however many readers wait for it; a reader that goes away does not take it from the others.
- A view keeps its whole block in memory for as long as its reader holds it, so of a block of which little is wanted a copy is
  given: what readers hold beyond the budget is at most twice what they asked for.
- What the system has in memory, of a bucket in a folder, needs no second copy here.
- Blocks under way count against the budget. Where only those are left, readers wait and read-ahead does not happen.
- Errors of the bucket go to every reader that waited, and are not kept: NotFoundError tells the gateway to ask the leader for a
  new plan.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge

from raylog.model.buffers import Buffer
from raylog.model.errors import CorruptError, RaylogError
from raylog.protocol.file_range import FILE_BYTES_MIN, FileRange, Part
from raylog.storage.object_store import ObjectStore, Priority

_SEQUENCES_MAX = 4096
"""Readers whose last position is remembered."""


@dataclass(slots=True)
class _Block:
    task: "asyncio.Task[bytes | RaylogError] | None" = None
    """None: it was not read."""
    data: bytes | None = None


class BlockCache:
    def __init__(
        self,
        store: ObjectStore,
        *,
        capacity_bytes: int,
        registry: CollectorRegistry,
        block_bytes: int = 1 << 20,
        read_ahead_blocks_max: int = 8,
    ) -> None:
        self._store = store
        self.has_files = store.has_files
        self._block_bytes = block_bytes
        self._capacity_blocks = max(1, capacity_bytes // block_bytes)
        self._read_ahead_blocks_max = read_ahead_blocks_max
        self.read_ahead_bytes_max = read_ahead_blocks_max * block_bytes
        self._blocks: OrderedDict[tuple[str, int], _Block] = OrderedDict()
        self._sequences: OrderedDict[tuple[str, int], int] = OrderedDict()
        """(key, position a read ended at): blocks to read ahead when the next one goes on there."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._hits = Counter("raylog_block_cache_hits", "Blocks read from memory.", registry=registry)
        self._misses = Counter("raylog_block_cache_misses", "Blocks that a reader waited for.", registry=registry)
        self._ahead = Counter("raylog_block_cache_read_ahead", "Blocks read ahead of need.", registry=registry)
        self._held = Gauge(
            "raylog_block_cache_bytes", "Bytes of blocks held.", registry=registry, multiprocess_mode="livesum"
        )

    async def read(self, key: str, position: int, size_bytes: int) -> list[memoryview]:
        """The bytes of an object's range, in order (not joined).

        Raises NotFoundError when the object is gone, CorruptError when it is shorter, RetryError as the store does.
        """
        first, last = position // self._block_bytes, (position + size_bytes - 1) // self._block_bytes
        for block in range(first, last + 1):
            # Asked for together and awaited in order, so that a large range costs the time of one request.
            self._start(key, block)
        self._read_ahead(key, position, size_bytes, last)
        return [await self._view(key, block, position, position + size_bytes) for block in range(first, last + 1)]

    def read_on(self, ranges: Iterable[tuple[str, int, int]]) -> None:
        """Read ahead these ranges (key, position, size), in whatever objects they lie, for a reader that is going to ask for them
        in this order: up to the limit, and while there is room."""
        left = self._read_ahead_blocks_max
        last = ("", -1)
        for key, position, size_bytes in ranges:
            for block in range(position // self._block_bytes, (position + size_bytes - 1) // self._block_bytes + 1):
                if (key, block) == last:
                    continue
                last = key, block
                if last not in self._blocks:
                    if self._start(key, block) is None:
                        return
                    self._ahead.inc()
                left -= 1
                if not left:
                    return

    def file_at_hand(self, key: str, position: int, size_bytes: int) -> FileRange | None:
        """The range as a part of a file, if the system has it in memory, as what is read ahead here is soon."""
        return self._store.file_range(key, position, size_bytes) if self.has_files else None

    def at_hand(self, key: str, position: int, size_bytes: int) -> Part | None:
        """The range, if the system has it in memory: as a part of a file, or its bytes where they are few. None: it has to be
        read."""
        found = self.file_at_hand(key, position, size_bytes)
        try:
            return found if found is None or size_bytes >= FILE_BYTES_MIN else found.read()
        except OSError:
            return None

    def keep(self, key: str, content: Sequence[Buffer]) -> None:
        """An object that was put just now, as if it had been read; as much of it as there is room for."""
        joined = b"".join(content)
        for start in range(0, len(joined), self._block_bytes):
            name = key, start // self._block_bytes
            if name in self._blocks or not self._make_room():
                return
            data = joined[start : start + self._block_bytes]
            self._blocks[name] = _Block(data=data)
            self._held.inc(len(data))

    async def close(self) -> None:
        tasks = [block.task for block in self._blocks.values() if block.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._blocks.clear()
        self._held.set(0)
        self._wake()

    async def _view(self, key: str, block: int, start: int, end: int) -> memoryview:
        data = await self._data(key, block)
        base = block * self._block_bytes
        view = memoryview(data)[max(0, start - base) : min(self._block_bytes, end - base)]
        if base + len(data) < min(end, base + self._block_bytes):
            raise CorruptError(f"{key} ends at byte {base + len(data)}, before the range up to {end}.")
        return view if 2 * len(view) >= len(data) else memoryview(bytes(view))

    async def _data(self, key: str, block: int) -> bytes:
        while (found := self._start(key, block)) is None:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter
        self._blocks.move_to_end((key, block))
        if found.data is not None:
            self._hits.inc()
            return found.data
        self._misses.inc()
        assert found.task is not None, "what nobody has read was put here"
        outcome = await asyncio.shield(found.task)
        if isinstance(outcome, RaylogError):
            raise outcome
        return outcome

    def _start(self, key: str, block: int) -> _Block | None:
        """The block, being fetched if it was not here; None when there is no room for another one under way."""
        found = self._blocks.get((key, block))
        if found is None and self._make_room():
            task = asyncio.create_task(self._fetch(key, block), name=f"read {key} block {block}")
            found = self._blocks[key, block] = _Block(task)
        return found

    def _make_room(self) -> bool:
        while len(self._blocks) >= self._capacity_blocks:
            oldest = next((name for name, block in self._blocks.items() if block.data is not None), None)
            if oldest is None:
                return False
            self._held.dec(len(self._blocks.pop(oldest).data or b""))
        return True

    async def _fetch(self, key: str, block: int) -> bytes | RaylogError:
        """The block, or the error that its readers get; one read ahead in vain is asked for again by who needs it."""
        name = key, block
        outcome: bytes | RaylogError | None = None
        try:
            outcome = await self._store.get(
                key, start=block * self._block_bytes, length=self._block_bytes, priority=Priority.CATCH_UP
            )
        except RaylogError as error:
            outcome = error
        finally:
            if isinstance(outcome, bytes):
                self._blocks[name].data = outcome
                self._held.inc(len(outcome))
            else:
                self._blocks.pop(name, None)
            self._wake()
        return outcome

    def _wake(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)

    def _read_ahead(self, key: str, position: int, size_bytes: int, last: int) -> None:
        """A reader that goes on where one ended gets twice as much read ahead as that one, up to the limit."""
        window = self._sequences.pop((key, position), None)
        ahead = 0 if window is None else min(self._read_ahead_blocks_max, max(1, 2 * window))
        self._sequences[key, position + size_bytes] = ahead
        if len(self._sequences) > _SEQUENCES_MAX:
            self._sequences.popitem(last=False)
        for block in range(last, last + ahead):
            if self._is_end(key, block):
                return
            if (key, block + 1) not in self._blocks:
                if self._start(key, block + 1) is None:
                    return
                self._ahead.inc()

    def _is_end(self, key: str, block: int) -> bool:
        found = self._blocks.get((key, block))
        return found is not None and found.data is not None and len(found.data) < self._block_bytes
