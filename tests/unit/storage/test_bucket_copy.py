"""Copies of a bucket: what belongs to a cut, what a copy may be added to, and objects that vanish meanwhile."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from raylog.cli.bucket_copy import copy_and_check
from raylog.model.errors import InvalidError, RetryError
from raylog.model.limits import LogLimits
from raylog.storage.bucket_copy import SETTLE_S, Copied, copy_bucket
from raylog.storage.fenced_log import MAX_IN_FLIGHT, FencedLog
from raylog.storage.keys import METADATA_PREFIX, slot_key
from raylog.storage.memory_store import MemoryStore
from tests.harness.manual_clock import ManualClock

LEADER = "leaders/000001/"


class Bucket(MemoryStore):
    """``before_get`` is called before each read of an object."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.before_get: Callable[[str], None] = lambda key: None
        self.written: list[str] = []

    async def get(self, key: str, **options: Any) -> bytes:
        self.before_get(key)
        return await super().get(key, **options)

    async def put(self, key: str, body: Any, **options: Any) -> None:
        self.written.append(key)
        await super().put(key, body, **options)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def open_log(store: MemoryStore, prefix: str, clock: ManualClock, seed: int = 1) -> FencedLog:
    log = FencedLog(
        store,
        prefix,
        writer_id=random.Random(seed).randbytes(16),
        clock=clock,
        rng=random.Random(seed),
        limits=LogLimits(),
    )
    async for _ in log.open(None):
        pass
    return log


async def written(store: MemoryStore, prefix: str, clock: ManualClock, count: int) -> FencedLog:
    """A log of an open slot and so many others, a second apart."""
    log = await open_log(store, prefix, clock)
    for _ in range(count):
        await clock.sleep(1)
        await log.append([], b"")
    return log


async def copy(source: MemoryStore, target: MemoryStore, cut_ms: int) -> Copied:
    return await copy_bucket(source, target, cut_ms=cut_ms, step=lambda what, done, total: None)


async def keys(store: MemoryStore) -> list[str]:
    return [found.key async for found in store.list("")]


async def test_a_copy_ends_at_its_cut_and_goes_on_from_there(clock: ManualClock) -> None:
    source, target = Bucket(clock), Bucket(clock)
    await written(source, LEADER, clock, 9)
    cut_ms = clock.wall_ms() - 4000
    assert (await copy(source, target, cut_ms)).objects == 6
    assert await keys(target) == [slot_key(LEADER, n) for n in range(1, 7)]
    again = await copy(source, target, clock.wall_ms())
    assert (again.objects, again.present) == (4, 6)
    assert await keys(target) == await keys(source)


async def test_only_raylogs_own_objects_are_copied_and_the_controllers_log_last(clock: ManualClock) -> None:
    source, target = Bucket(clock), Bucket(clock)
    await written(source, METADATA_PREFIX, clock, 3)
    await written(source, LEADER, clock, 3)
    await source.put("self-test/1", [b"left"])
    await source.put("notes.txt", [b"somebody's"])
    await copy(source, target, clock.wall_ms())
    assert {key.split("/")[0] for key in target.written} == {"metadata", "leaders"}
    assert [key.startswith(METADATA_PREFIX) for key in target.written] == [False] * 4 + [True] * 4


async def test_a_copy_that_a_cluster_has_opened_is_left_alone(clock: ManualClock) -> None:
    """Whether it has gone on further than the source, less far, or not at all beyond its opening."""
    for more_in_source, more_in_copy in ((0, 0), (0, 3), (3, 0), (1, 1)):
        source, target = Bucket(clock), Bucket(clock)
        log = await written(source, LEADER, clock, 3)
        await copy(source, target, clock.wall_ms())
        opened = await open_log(target, LEADER, clock, seed=2)
        for _ in range(more_in_copy):
            await opened.append([], b"")
        for _ in range(more_in_source):
            await log.append([], b"")
        before = await keys(target)
        with pytest.raises(InvalidError, match="A cluster has written"):
            await copy(source, target, clock.wall_ms())
        assert await keys(target) == before


async def test_another_buckets_copy_is_left_alone(clock: ManualClock) -> None:
    source, target = Bucket(clock), Bucket(clock)
    await written(source, LEADER, clock, 1)
    await written(target, "leaders/000002/", clock, 1)
    with pytest.raises(InvalidError, match="A cluster has written"):
        await copy(source, target, clock.wall_ms())


async def test_a_copy_is_not_taken_back_to_an_earlier_cut(clock: ManualClock) -> None:
    source, target = Bucket(clock), Bucket(clock)
    await written(source, LEADER, clock, 5)
    await copy(source, target, clock.wall_ms())
    with pytest.raises(InvalidError, match="younger than the copy is to be"):
        await copy(source, target, clock.wall_ms() - 2000)


async def test_a_log_that_has_lost_slots_since_is_refused_and_one_whose_writer_was_at_work_is_not(
    clock: ManualClock,
) -> None:
    source = Bucket(clock)
    await written(source, LEADER, clock, 3 * MAX_IN_FLIGHT)
    await source.delete([slot_key(LEADER, 2 * MAX_IN_FLIGHT + 5)])
    assert (await copy(source, Bucket(clock), clock.wall_ms())).objects == 3 * MAX_IN_FLIGHT
    await source.delete([slot_key(LEADER, 5)])
    with pytest.raises(InvalidError, match="does not have all that it had"):
        await copy(source, Bucket(clock), clock.wall_ms())


async def test_without_what_vanished_meanwhile_the_controllers_log_is_held_back(clock: ManualClock) -> None:
    source, target = Bucket(clock), Bucket(clock)
    await written(source, METADATA_PREFIX, clock, 1)
    await written(source, LEADER, clock, 3)
    gone = slot_key(LEADER, 2)
    source.before_get = lambda key: source._objects.pop(gone, None) and source._keys.remove(gone)
    copied = await copy(source, target, clock.wall_ms())
    assert copied.gone == (gone,)
    assert not [key for key in await keys(target) if key.startswith(METADATA_PREFIX)]


async def checked(source: MemoryStore, target: MemoryStore, clock: ManualClock, until_ms: int | None = None) -> Any:
    return await copy_and_check(
        source,
        target,
        until_ms=until_ms,
        verify=False,
        clock=clock,
        rng=random.Random(1),
        step=lambda what, done, total: None,
    )


async def test_a_later_cut_is_taken_when_something_vanishes(clock: ManualClock) -> None:
    """As garbage collection takes it: here a segment that nothing names."""
    source, target = Bucket(clock), Bucket(clock)
    await written(source, METADATA_PREFIX, clock, 2)
    key = f"segments/{7:020d}"
    await source.put(key, [b"nobody's"])
    source.before_get = lambda _: key in source._objects and (source._keys.remove(key), source._objects.pop(key))
    began_ms = clock.wall_ms()
    outcome = await checked(source, target, clock)
    assert outcome.report.problems == []
    assert outcome.cut_ms >= began_ms + SETTLE_S * 1000
    assert await keys(target) == [slot_key(METADATA_PREFIX, n) for n in (1, 2, 3)]


async def test_the_listing_waits_until_the_cut_has_settled(clock: ManualClock) -> None:
    source = Bucket(clock)
    await written(source, METADATA_PREFIX, clock, 1)
    began_s = clock.now_s
    await checked(source, Bucket(clock), clock)
    assert clock.now_s == began_s + SETTLE_S
    await checked(source, Bucket(clock), clock, until_ms=clock.wall_ms() - 10_000)
    assert clock.now_s == began_s + SETTLE_S


async def test_a_bucket_that_never_holds_still_is_given_up(clock: ManualClock) -> None:
    source = Bucket(clock)
    numbers = iter(range(10**6))

    def lose(key: str) -> None:
        if key in source._objects:
            source._keys.remove(key)
            del source._objects[key]

    source.before_get = lose
    original = clock.sleep

    async def refill(seconds: float) -> None:
        await source.put(f"segments/{next(numbers):020d}", [b"soon gone"])
        clock.sleep = original  # type: ignore[method-assign]
        await original(seconds)
        clock.sleep = refill  # type: ignore[method-assign]

    clock.sleep = refill  # type: ignore[method-assign]
    with pytest.raises(RetryError, match="faster than they can be copied"):
        await checked(source, Bucket(clock), clock)
