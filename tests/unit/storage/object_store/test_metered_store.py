"""Every attempt is counted by kind and outcome, its bytes too."""

import asyncio
from random import Random
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from raylog.model.clock import SystemClock
from raylog.model.errors import AlreadyExistsError, NotFoundError, RetryError
from raylog.storage.faulty_store import FaultModel, FaultyStore
from raylog.storage.memory_store import MemoryStore
from raylog.storage.metered_store import MeteredStore, StoreMetrics
from raylog.storage.object_store import ObjectStore

CLOCK = SystemClock()


def metered(inner: ObjectStore | None = None) -> tuple[MeteredStore, CollectorRegistry]:
    registry = CollectorRegistry()
    return MeteredStore(inner or MemoryStore(CLOCK), clock=CLOCK, metrics=StoreMetrics(registry)), registry


def requests(registry: CollectorRegistry, kind: str, outcome: str) -> float | None:
    return registry.get_sample_value("raylog_store_requests_total", {"kind": kind, "outcome": outcome})


async def test_requests_and_bytes_are_counted_by_kind() -> None:
    store, registry = metered()
    await store.put("a", [b"12", b"345"])
    await store.put_if_absent("b", [b"1234567"])
    with pytest.raises(AlreadyExistsError):
        await store.put_if_absent("b", [b"x"])
    with pytest.raises(NotFoundError):
        await store.get("absent")
    await store.get("a", start=1, length=3)
    await store.get_tail("b", 4)
    await store.head("a")
    assert [meta.key async for meta in store.list("")] == ["a", "b"]
    await store.delete(["a", "b"])
    for kind, outcome, count in (
        ("put", "ok", 1), ("put_if_absent", "ok", 1), ("put_if_absent", "exists", 1), ("get", "not_found", 1),
        ("get", "ok", 2), ("head", "ok", 1), ("list", "ok", 1), ("delete", "ok", 1),
    ):  # fmt: skip
        assert requests(registry, kind, outcome) == count, (kind, outcome)
    for kind, size in (("put", 5), ("put_if_absent", 8), ("get", 7)):
        assert registry.get_sample_value("raylog_store_bytes_total", {"kind": kind}) == size
    assert registry.get_sample_value("raylog_store_request_seconds_count", {"kind": "get"}) == 2


async def test_failures_are_told_apart() -> None:
    faulty = FaultyStore(MemoryStore(CLOCK), clock=CLOCK, rng=Random(1), faults=FaultModel(slow_down=1))
    store, registry = metered(faulty)
    with pytest.raises(RetryError):
        await store.put("a", [b"x"])
    with pytest.raises(RetryError):
        await anext(store.list(""))
    assert requests(registry, "put", "retry") == 1
    assert requests(registry, "list", "retry") == 1


async def test_a_request_that_was_given_up_is_counted() -> None:
    class HangingStore(MemoryStore):
        async def get(self, key: str, **options: Any) -> bytes:
            await asyncio.Event().wait()
            return b""

    store, registry = metered(HangingStore(CLOCK))
    get = asyncio.create_task(store.get("a"))
    await asyncio.sleep(0)
    get.cancel()
    await asyncio.gather(get, return_exceptions=True)
    assert requests(registry, "get", "cancelled") == 1
