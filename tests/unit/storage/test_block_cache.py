"""The block cache: right bytes, one GET per block, a budget that holds, errors that pass through."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from raylog.model.clock import SystemClock
from raylog.model.errors import CorruptError, NotFoundError, RetryError
from raylog.protocol.file_range import FILE_BYTES_MIN, FileRange
from raylog.storage.block_cache import BlockCache
from raylog.storage.local_store import LocalStore
from raylog.storage.memory_store import MemoryStore
from raylog.storage.object_store import Priority

BLOCK = 64
CONTENT = bytes(index % 251 for index in range(20 * BLOCK + 17))


class GatedStore(MemoryStore):
    """Counts the GETs of each block and holds them back while the gate is closed."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.gate = asyncio.Event()
        self.gate.set()
        self.gets: Counter[int] = Counter()
        self.under_way = 0
        self.under_way_max = 0
        self.error: Exception | None = None

    async def get(
        self, key: str, *, start: int = 0, length: int | None = None, priority: Priority = Priority.TAIL
    ) -> bytes:
        self.gets[start // BLOCK] += 1
        self.under_way += 1
        self.under_way_max = max(self.under_way_max, self.under_way)
        try:
            await self.gate.wait()
            if self.error is not None:
                raise self.error
            return await super().get(key, start=start, length=length, priority=priority)
        finally:
            self.under_way -= 1


async def make(*, blocks: int = 64, ahead: int = 4) -> tuple[GatedStore, BlockCache]:
    store = GatedStore()
    await store.put("object", [CONTENT])
    cache = BlockCache(
        store,
        capacity_bytes=blocks * BLOCK,
        block_bytes=BLOCK,
        read_ahead_blocks_max=ahead,
        registry=CollectorRegistry(),
    )
    return store, cache


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


RANGES = st.integers(0, len(CONTENT) - 1).flatmap(
    lambda start: st.tuples(st.just(start), st.integers(1, len(CONTENT) - start))
)


@given(st.lists(RANGES, max_size=12), st.integers(1, 30))
def test_every_range_reads_as_the_object_has_it(ranges: list[tuple[int, int]], blocks: int) -> None:
    async def read_all() -> None:
        _, cache = await make(blocks=blocks)
        answers = await asyncio.gather(*(cache.read("object", start, size) for start, size in ranges))
        for (start, size), views in zip(ranges, answers, strict=True):
            assert b"".join(views) == CONTENT[start : start + size]
        assert len(cache._blocks) <= blocks
        await cache.close()

    asyncio.run(read_all())


async def test_concurrent_readers_share_one_get() -> None:
    store, cache = await make()
    store.gate.clear()
    readers = [asyncio.create_task(cache.read("object", 10, 2 * BLOCK)) for _ in range(5)]
    await turns()
    readers[0].cancel()
    store.gate.set()
    for reader in readers[1:]:
        assert b"".join(await reader) == CONTENT[10 : 10 + 2 * BLOCK]
    assert store.gets == {0: 1, 1: 1, 2: 1}
    await cache.close()


async def test_a_large_range_is_asked_for_at_once() -> None:
    store, cache = await make()
    store.gate.clear()
    reader = asyncio.create_task(cache.read("object", 0, 8 * BLOCK))
    await turns()
    assert store.under_way == 8
    store.gate.set()
    assert b"".join(await reader) == CONTENT[: 8 * BLOCK]
    await cache.close()


async def test_who_reads_on_finds_the_next_blocks_there() -> None:
    store, cache = await make()
    await cache.read("object", 0, BLOCK)
    assert store.gets.keys() == {0}
    await cache.read("object", BLOCK, BLOCK)
    await turns()
    assert store.gets.keys() == {0, 1, 2}
    await cache.read("object", 2 * BLOCK, BLOCK)
    await turns()
    assert store.gets.keys() == {0, 1, 2, 3, 4}
    for start in range(3 * BLOCK, len(CONTENT), BLOCK):
        await cache.read("object", start, min(BLOCK, len(CONTENT) - start))
    await turns()
    assert store.gets.keys() <= set(range(21 + 4)), "past the object's end it reads no more than one window"
    assert set(store.gets.values()) == {1}
    await cache.close()


async def test_what_a_reader_is_going_to_ask_for_is_read_ahead_across_objects_up_to_the_limit() -> None:
    store, cache = await make(ahead=3)
    await store.put("next", [CONTENT])
    store.gate.clear()
    cache.read_on([("object", 10, 20), ("object", 40, 10), ("next", 5 * BLOCK - 1, 2), ("next", 9 * BLOCK, 500)])
    await turns()
    assert store.gets == {0: 1, 4: 1, 5: 1}
    store.gate.set()
    assert b"".join(await cache.read("next", 5 * BLOCK - 1, 2)) == CONTENT[5 * BLOCK - 1 : 5 * BLOCK + 1]
    assert store.gets == {0: 1, 4: 1, 5: 1}
    await cache.close()


async def test_random_readers_are_not_read_ahead() -> None:
    store, cache = await make()
    for start in (9, 3, 15):
        await cache.read("object", start * BLOCK, BLOCK)
    await turns()
    assert store.gets.keys() == {9, 3, 15}
    await cache.close()


async def test_at_the_budget_readers_wait_and_nothing_is_read_ahead() -> None:
    store, cache = await make(blocks=2)
    store.gate.clear()
    readers = [asyncio.create_task(cache.read("object", block * BLOCK, BLOCK)) for block in range(6)]
    await turns()
    assert store.under_way == 2
    store.gate.set()
    for block, reader in enumerate(readers):
        assert b"".join(await reader) == CONTENT[block * BLOCK : (block + 1) * BLOCK]
    assert store.under_way_max == 2
    await cache.close()


async def test_a_waiting_reader_that_goes_away_holds_up_nobody() -> None:
    store, cache = await make(blocks=1)
    store.gate.clear()
    readers = [asyncio.create_task(cache.read("object", block * BLOCK, BLOCK)) for block in range(3)]
    await turns()
    readers[1].cancel()
    store.gate.set()
    assert b"".join(await readers[2]) == CONTENT[2 * BLOCK : 3 * BLOCK]
    await cache.close()


async def test_the_least_recently_used_block_goes_first() -> None:
    store, cache = await make(blocks=2)
    for block in (0, 5, 0, 9, 0):
        await cache.read("object", block * BLOCK, BLOCK)
    assert store.gets == {0: 1, 5: 1, 9: 1}
    await cache.close()


async def test_what_was_kept_needs_no_get() -> None:
    store, cache = await make()
    cache.keep("object", [CONTENT[:100], memoryview(CONTENT)[100:]])
    assert b"".join(await cache.read("object", 0, len(CONTENT))) == CONTENT
    await turns()
    assert not store.gets
    await cache.close()


async def test_what_is_kept_takes_the_place_of_the_oldest_and_waits_for_none() -> None:
    store, cache = await make(blocks=3)
    await cache.read("object", 0, BLOCK)
    store.gate.clear()
    reader = asyncio.create_task(cache.read("object", 5 * BLOCK, BLOCK))
    await turns()
    cache.keep("other", [CONTENT[: 4 * BLOCK]])
    assert [name for name, block in cache._blocks.items() if block.data is not None] == [("other", 2), ("other", 3)]
    store.gate.set()
    assert b"".join(await reader) == CONTENT[5 * BLOCK : 6 * BLOCK]
    await cache.close()


async def test_a_reader_keeps_no_block_in_memory_of_which_it_wants_little() -> None:
    _, cache = await make()
    for start, size in ((0, BLOCK), (10, 20), (BLOCK - 10, 20), (5, 3 * BLOCK)):
        views = await cache.read("object", start, size)
        assert sum(len(view.obj) for view in views) <= 2 * size
    await cache.close()


async def test_errors_reach_every_reader_and_are_not_kept() -> None:
    store, cache = await make()
    store.gate.clear()
    store.error = RetryError("throttled")
    readers = [asyncio.create_task(cache.read("object", 0, 10)) for _ in range(3)]
    await turns()
    store.gate.set()
    assert [type(error) for error in await asyncio.gather(*readers, return_exceptions=True)] == [RetryError] * 3
    store.error = None
    assert b"".join(await cache.read("object", 0, 10)) == CONTENT[:10]
    await cache.close()


async def test_a_deleted_object_is_not_found() -> None:
    _, cache = await make()
    with pytest.raises(NotFoundError):
        await cache.read("absent", 0, 10)
    await cache.close()


async def test_a_range_past_the_objects_end_is_corrupt() -> None:
    _, cache = await make()
    with pytest.raises(CorruptError, match="before the range"):
        await cache.read("object", len(CONTENT) - 5, 10)
    with pytest.raises(CorruptError, match="before the range"):
        await cache.read("object", len(CONTENT) + 3 * BLOCK, 10)
    await cache.close()


async def test_close_ends_what_is_under_way() -> None:
    store, cache = await make()
    store.gate.clear()
    reader = asyncio.create_task(cache.read("object", 0, 10))
    await turns()
    await cache.close()
    assert store.under_way == 0
    with pytest.raises(asyncio.CancelledError):
        await reader


async def test_what_the_system_has_in_memory_is_at_hand_as_a_part_of_a_file_or_as_its_bytes(tmp_path: Path) -> None:
    store = await LocalStore.open(tmp_path)
    await store.put("object", [bytes(FILE_BYTES_MIN), CONTENT])
    cache = BlockCache(
        store, capacity_bytes=1 << 20, block_bytes=FILE_BYTES_MIN, registry=CollectorRegistry(), read_ahead_blocks_max=0
    )
    await cache.read("object", 0, 10)
    assert isinstance(cache.at_hand("object", 0, FILE_BYTES_MIN), FileRange)
    assert cache.at_hand("object", FILE_BYTES_MIN, 10) == CONTENT[:10]
    assert cache.at_hand("object", FILE_BYTES_MIN, len(CONTENT) + 1) is None
    await cache.close()
    await store.close()
