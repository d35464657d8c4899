"""A store that keeps If-None-Match passes; one that does not, alone or in a race, is refused with one sentence."""

import asyncio
from collections.abc import Sequence
from random import Random

import pytest

from raylog.model.buffers import Buffer
from raylog.model.clock import SystemClock
from raylog.model.errors import AlreadyExistsError, InvalidError, RetryError
from raylog.storage.memory_store import MemoryStore
from raylog.storage.object_store import ObjectStore, Priority
from raylog.storage.retrying_store import RetryingStore
from raylog.storage.store_selftest import self_test

CLOCK = SystemClock()


async def test_every_backend_passes_and_nothing_is_left_behind(store: ObjectStore) -> None:
    await self_test(store, rng=Random(1))
    await self_test(RetryingStore(store, clock=CLOCK, rng=Random(2)), rng=Random(2))
    assert [meta.key async for meta in store.list("")] == []


class IgnoringStore(MemoryStore):
    """Does not know the header."""

    async def put_if_absent(self, key: str, body: Sequence[Buffer], *, priority: Priority = Priority.WAL) -> None:
        await self.put(key, body)


class DeafStore(MemoryStore):
    """Answers that the object exists, and overwrites it all the same."""

    async def put_if_absent(self, key: str, body: Sequence[Buffer], *, priority: Priority = Priority.WAL) -> None:
        try:
            await super().put_if_absent(key, body)
        except AlreadyExistsError:
            await self.put(key, body)
            raise


class RacyStore(MemoryStore):
    """Looks and writes in two steps."""

    async def put_if_absent(self, key: str, body: Sequence[Buffer], *, priority: Priority = Priority.WAL) -> None:
        if [meta async for meta in self.list(key)]:
            raise AlreadyExistsError(key)
        await asyncio.sleep(0)
        await self.put(key, body)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (IgnoringStore, "overwrites objects in spite of If-None-Match"),
        (DeafStore, "overwrites objects in spite of If-None-Match"),
        (RacyStore, "let 8 of 8 concurrent PUTs with If-None-Match win"),
    ],
)
@pytest.mark.parametrize("retries", [False, True])
async def test_a_store_that_overwrites_is_refused(kind: type[MemoryStore], reason: str, retries: bool) -> None:
    bucket = kind(CLOCK)
    store: ObjectStore = RetryingStore(bucket, clock=CLOCK, rng=Random(2)) if retries else bucket
    with pytest.raises(InvalidError, match=reason):
        await self_test(store, rng=Random(1))
    assert [meta.key async for meta in bucket.list("")] == []


async def test_a_store_that_is_away_is_not_called_unsafe() -> None:
    class AwayStore(MemoryStore):
        async def put_if_absent(self, key: str, body: Sequence[Buffer], *, priority: Priority = Priority.WAL) -> None:
            raise RetryError("away")

    with pytest.raises(RetryError):
        await self_test(AwayStore(CLOCK), rng=Random(1))
