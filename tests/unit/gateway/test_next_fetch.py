"""What is made ready for a connection's next fetch: used where that is what it asks for, and never given for anything else."""

from collections import Counter
from itertools import accumulate
from random import Random

import pytest

from gateway import next_fetch
from raylog.protocol.internal import PLAN_BIT
from raylog.storage import file_ranges
from raylog.storage.local_store import LocalStore

from .old_log import BATCH_VALUE_BYTES, BLOCK, OldLog
from .test_fetch import fetch, records_of

PER_FETCH = BLOCK // BATCH_VALUE_BYTES


@pytest.fixture
async def store(tmp_path):
    store = await LocalStore.open(tmp_path / "bucket")
    yield store
    await store.close()


@pytest.fixture
def looked_up(monkeypatch):
    """How often each part of an object was looked for in the system's memory."""
    counts = Counter()
    look = LocalStore.file_range

    def file_range(self, key, start, length):
        counts[key, start] += 1
        return look(self, key, start, length)

    monkeypatch.setattr(LocalStore, "file_range", file_range)
    return counts


@pytest.fixture
async def reading(old, store, looked_up):
    """A world with two old partitions, its log, and a client who has read the first batches of each; what follows is ready."""
    world, _, log = await old(20, 20, store=store, plan_s_max=100.0)
    log.ahead_bytes = 30 * BATCH_VALUE_BYTES
    client = await world.client()
    assert await read(client, log, 0, 0) == [PER_FETCH, PER_FETCH]
    await world.until(lambda: len(looked_up) == 4)
    return world, log, client


async def read(client, log, *offsets, **options):
    """Fetch a batch or more of each partition; how many there were, all of them right."""
    wanted = {("t", partition): offset for partition, offset in enumerate(offsets)}
    found = records_of(await client.ask(fetch(wanted, **{"part_bytes": BLOCK, "max_bytes": 4 * BLOCK, **options})))
    counts = []
    for (_, partition), offset in wanted.items():
        given = batches_of(found["t", partition], log.contents[partition][offset:])
        counts.append(len(given))
    return counts


def batches_of(records, batches):
    """The leading ones that the records are made of."""
    ends = accumulate(map(len, batches))
    given = [batch for batch, end in zip(batches, ends, strict=True) if end <= len(records)]
    assert records == b"".join(given)
    return given


async def test_what_a_consumer_goes_on_to_is_looked_up_once_and_before_it_asks(reading, looked_up):
    world, log, client = reading
    for fetched in range(1, 6):
        before = looked_up.total()
        assert before == 2 * (fetched + 1), "one fetch ahead"
        assert await read(client, log, fetched * PER_FETCH, fetched * PER_FETCH) == [PER_FETCH, PER_FETCH]
        await world.until(lambda before=before: looked_up.total() > before)
    assert set(looked_up.values()) == {1}
    assert log.asked == 1


async def test_a_partition_at_its_end_does_not_keep_the_others_from_being_ready(old, store, looked_up, monkeypatch):
    monkeypatch.setattr("gateway.plan_cache._END_S", 100.0)
    world, _, log = await old(20, PER_FETCH, store=store, plan_s_max=100.0)
    log.ahead_bytes = 30 * BATCH_VALUE_BYTES
    client = await world.client()
    await read(client, log, 0, 0)
    for fetched in range(1, 6):
        await world.until(lambda fetched=fetched: len(looked_up) == fetched + 2)
        assert await read(client, log, fetched * PER_FETCH, PER_FETCH) == [PER_FETCH, 0]
    assert set(looked_up.values()) == {1}
    assert await read(client, log, 6 * PER_FETCH, PER_FETCH) == [2, 0]
    asked = log.asked
    assert await read(client, log, 20, PER_FETCH, max_wait_ms=0) == [0, 0]
    assert log.asked > asked, "where all are at their end a leader knows first of more"


@pytest.mark.parametrize(
    ("sizes", "each"),
    [
        ({"max_bytes": BLOCK}, PER_FETCH),
        ({"max_bytes": BLOCK + BATCH_VALUE_BYTES // 2}, PER_FETCH),
        ({"part_bytes": BATCH_VALUE_BYTES // 2}, 1),
    ],
)
async def test_what_had_no_room_in_an_answer_stays_ready_for_the_next(old, store, looked_up, sizes, each):
    world, _, log = await old(24, 24, 24, store=store, plan_s_max=100.0)
    log.ahead_bytes = 30 * BATCH_VALUE_BYTES
    client = await world.client()
    offsets = {0: 0, 1: 0, 2: 0}
    for turn in range(15):
        order = [(turn + step) % 3 for step in range(3)]  # as clients do that treat partitions alike
        looked_up.clear()
        wanted = {("t", partition): offsets[partition] for partition in order}
        found = records_of(await client.ask(fetch(wanted, **{"part_bytes": BLOCK, "max_bytes": 4 * BLOCK, **sizes})))
        counts = []
        for partition in order:
            given = batches_of(found["t", partition], log.contents[partition][offsets[partition] :])
            offsets[partition] += len(given)
            counts.append(len(given))
        assert counts == [each, 0, 0]
        await world.until(lambda: not is_reading(world))
        assert turn == 0 or {key for key, _ in looked_up} == {f"o/{order[0]}"}, (
            "what follows what was given, and no more"
        )
    assert set(offsets.values()) == {5 * each}
    assert log.asked == 1


@pytest.mark.parametrize(
    ("offsets", "options", "expected", "asked"),
    [
        ((0, PER_FETCH), {}, [PER_FETCH, PER_FETCH], 2),
        ((PER_FETCH + 1, PER_FETCH), {}, [PER_FETCH, PER_FETCH], 1),
        ((PER_FETCH,), {}, [PER_FETCH], 1),
        ((PER_FETCH, PER_FETCH), {"part_bytes": 2 * BLOCK}, [6, 6], 1),
        ((PER_FETCH, PER_FETCH), {"part_bytes": BATCH_VALUE_BYTES + 1000}, [1, 1], 1),
        ((PER_FETCH, PER_FETCH), {"max_bytes": 4 * BATCH_VALUE_BYTES + 1000}, [PER_FETCH, 0], 1),
        ((PER_FETCH, PER_FETCH), {"max_bytes": 2 * BATCH_VALUE_BYTES + 1000}, [2, 0], 1),
        ((PER_FETCH, PER_FETCH), {"min_bytes": 3 * BLOCK, "max_wait_ms": 1}, [PER_FETCH, PER_FETCH], 1),
        ((PER_FETCH, PER_FETCH), {"isolation": 1}, [PER_FETCH, PER_FETCH], 2),
        ((PER_FETCH, PER_FETCH), {"version": 11}, [PER_FETCH, PER_FETCH], 2),
    ],
)
async def test_a_fetch_that_is_not_the_expected_one_gets_what_it_asks_for(reading, offsets, options, expected, asked):
    _, log, client = reading
    assert await read(client, log, *offsets, **options) == expected
    assert log.asked == asked


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_a_consumer_asks_next_it_gets_that(old, store, looked_up, seed):
    world, _, log = await old(30, 20, 10, store=store)
    log.ahead_bytes = 5 * BATCH_VALUE_BYTES
    client = await world.client()
    rng = Random(seed)
    offsets = {0: 0, 1: 0, 2: 0}
    sizes = {"part_bytes": BLOCK, "max_bytes": 4 * BLOCK}
    for _ in range(120):
        if rng.random() < 0.1:
            sizes = {
                "part_bytes": rng.choice((200_000, 400_000, BLOCK, 2 * BLOCK)),
                "max_bytes": rng.choice((BLOCK, 4 * BLOCK)),
            }
        if rng.random() < 0.1:
            offsets[rng.randrange(3)] = rng.randrange(10)
        order = rng.sample(list(offsets), rng.choice((1, 2, 3, 3, 3, 3)))
        answer = await client.ask(fetch({("t", at): offsets[at] for at in order}, max_wait_ms=0, **sizes))
        given_bytes = 0
        for at in order:
            records = records_of(answer)["t", at]
            given = batches_of(records, log.contents[at][offsets[at] :])
            left_bytes = min(sizes["part_bytes"], sizes["max_bytes"] - given_bytes)
            follows = log.contents[at][offsets[at] + len(given) :][:1]
            assert len(records) <= left_bytes or (not given_bytes and len(given) == 1)
            is_full = all(len(records) + len(batch) > left_bytes for batch in follows)
            assert is_full or 2 * given_bytes >= sizes["max_bytes"], (
                "it is as much as it may be, or the answer is half full"
            )
            given_bytes += len(records)
            offsets[at] += len(given)
            if not follows:
                offsets[at] = rng.randrange(10)
        if rng.random() < 0.7:
            before = looked_up.total()
            await world.until(lambda before=before: looked_up.total() > before or not is_reading(world))


def is_reading(world):
    """Whether something is still to be made ready."""
    return any(connection.next_fetch._expected for connection in world.gateway._server._connections)


async def test_what_is_ready_counts_no_more_once_routes_have_changed(reading):
    world, log, client = reading
    other = OldLog()
    other.ranges, other.contents = log.ranges, log.contents
    leader = await world.leader(2, other)
    leader.plan_bit = PLAN_BIT
    await world.topic("t", [2, 2])
    assert await read(client, log, PER_FETCH, PER_FETCH) == [PER_FETCH, PER_FETCH]
    assert (log.asked, other.asked) == (1, 1)


async def test_what_is_ready_is_no_older_than_its_plan(reading):
    world, log, client = reading
    world.clock.added_s += 101
    assert await read(client, log, PER_FETCH, PER_FETCH) == [PER_FETCH, PER_FETCH]
    assert log.asked == 2


@pytest.mark.parametrize("is_gone", [False, True])
async def test_files_are_not_kept_open_for_who_asks_no_more_or_is_gone(old, store, looked_up, monkeypatch, is_gone):
    monkeypatch.setattr(file_ranges, "_UNUSED_S", 0.01)
    monkeypatch.setattr(next_fetch, "_UNUSED_S", 100.0 if is_gone else 0.01)
    world, _, log = await old(20, store=store)
    log.ahead_bytes = 30 * BATCH_VALUE_BYTES
    client = await world.client()
    await read(client, log, 0)
    await world.until(lambda: len(looked_up) == 2)
    if is_gone:
        await client.close()
    await world.until(lambda: not store._files._open)
    if not is_gone:
        assert await read(client, log, PER_FETCH) == [PER_FETCH]
