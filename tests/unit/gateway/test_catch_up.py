"""Catch-up consumers at a gateway: what their reads cost the bucket and the leader, and that none of them harms another."""

import asyncio
from dataclasses import replace

import pytest
from kio.schema.errors import ErrorCode

from gateway import plan_cache
from gateway.messages import make, response_types
from raylog.protocol.wire import to_ms
from raylog.storage.local_store import LocalStore
from raylog.storage.memory_store import MemoryStore

from .old_log import BATCH_VALUE_BYTES, BLOCK, HEAD, read_all
from .test_fetch import errors_of, fetch, records_of


async def test_many_consumers_of_a_range_cost_one_get_of_each_block(old):
    world, store, log = await old(20)
    clients = [await world.client() for _ in range(12)]
    store.gate.clear()
    readers = [asyncio.create_task(read_all(client, log)) for client in clients]
    await world.until(lambda: log.asked == len(clients) and store.under_way)
    store.gate.set()
    for found in await asyncio.gather(*readers):
        assert found == b"".join(log.contents[0])
    blocks = -(-(len(HEAD) + sum(map(len, log.contents[0]))) // BLOCK)
    assert {block for _, block in store.gets} >= set(range(blocks))
    assert set(store.gets.values()) == {1}


async def test_a_leader_is_asked_once_for_each_fetch_and_gives_a_plan_instead_of_records(old):
    world, _, log = await old(20)
    client = await world.client()
    found = await read_all(client, log)
    assert log.asked == -(-20 // (BLOCK // BATCH_VALUE_BYTES))
    assert log.given_bytes < len(found) / 1000


async def test_a_consumer_that_reads_on_finds_its_next_blocks_read_ahead(old):
    world, store, log = await old(20)
    client = await world.client()
    offset = 0
    for _ in range(3):
        answer = await client.ask(fetch({("t", 0): offset}, part_bytes=BLOCK))
        offset += len(records_of(answer)["t", 0]) // len(log.contents[0][0])
    await world.until(lambda: not store.under_way)
    needed = (len(HEAD) + sum(map(len, log.contents[0][:offset])) - 1) // BLOCK
    assert store.gets.keys() >= {("o/0", block) for block in range(needed + 2)}
    store.gate.clear()
    answer = await client.ask(fetch({("t", 0): offset}, part_bytes=BLOCK))
    assert records_of(answer)["t", 0] == b"".join(log.contents[0][offset : offset + 3])


async def test_the_cache_never_holds_more_than_its_budget(old):
    blocks = 4
    world, store, log = await old(*[14] * 6, block_cache_bytes=blocks * BLOCK)
    clients = [await world.client() for _ in range(12)]
    readers = [read_all(client, log, number % 6) for number, client in enumerate(clients)]
    for number, found in enumerate(await asyncio.gather(*readers)):
        assert found == b"".join(log.contents[number % 6])
    assert 0 < store.held_blocks_max <= blocks


async def test_a_consumer_that_goes_away_takes_nothing_from_those_that_wait_with_it(old):
    world, store, log = await old(6)
    gone, stays = await world.client(), await world.client()
    store.gate.clear()
    gone.send(fetch({("t", 0): 0}))
    await world.until(lambda: store.under_way)
    stays.send(fetch({("t", 0): 0}))
    await world.until(lambda: log.asked == 2)
    await gone.close()
    await world.until(lambda: len(world.gateway._server._connections) == 1)
    assert store.under_way
    store.gate.set()
    assert records_of((await stays.receive())[1])["t", 0] == b"".join(log.contents[0][:3])
    assert set(store.gets.values()) == {1}
    assert world.gateway._server.services.answers.taken_bytes == 0


async def test_a_get_that_fails_for_a_while_is_tried_again_and_nobody_notices(old):
    world, store, log = await old(3, retried=True)
    store.failures = 3
    assert await read_all(await world.client(), log) == b"".join(log.contents[0])
    assert store.failures == 0


async def test_a_get_that_keeps_failing_is_a_storage_error_for_now_and_is_not_kept(old):
    world, store, log = await old(3)
    clients = [await world.client() for _ in range(2)]
    store.failures = 1
    store.gate.clear()
    for client in clients:
        client.send(fetch({("t", 0): 0}))
    await world.until(lambda: log.asked == 2 and store.under_way)
    store.gate.set()
    for client in clients:
        assert errors_of((await client.receive())[1]) == {("t", 0): ErrorCode.kafka_storage_error}
    for client in clients:
        assert await read_all(client, log) == b"".join(log.contents[0])
    assert store.gets["o/0", 0] == 2


PER_FETCH = BLOCK // BATCH_VALUE_BYTES
"""Batches."""


async def test_a_plan_that_leads_further_serves_the_fetches_that_follow_it(old):
    world, _, log = await old(20)
    log.ahead_bytes = 30 * BATCH_VALUE_BYTES
    client = await world.client()
    assert await read_all(client, log) == b"".join(log.contents[0])
    # Its last bytes are fewer than the client takes, but there are no more.
    assert log.asked == 1


async def test_the_next_plan_is_asked_for_while_there_is_as_much_left_as_is_read_ahead(old):
    world, _, log = await old(40, ahead_bytes=10 * BATCH_VALUE_BYTES)
    log.ahead_bytes = 20 * BATCH_VALUE_BYTES
    client = await world.client()
    asked_at, offset = [], 0
    while offset < 36:
        asked = log.asked
        answer = await client.ask(fetch({("t", 0): offset}, part_bytes=BLOCK))
        assert records_of(answer)["t", 0] == b"".join(log.contents[0][offset : offset + PER_FETCH])
        asked_at += [offset] * (log.asked - asked)
        offset += PER_FETCH
    # At 0 and at 12 it leads 24 batches on, of which 14 have to be there, and at 24 to the log's end.
    assert asked_at == [0, 12, 24]


async def test_each_consumer_follows_a_plan_of_its_own(old):
    world, _, log = await old(20)
    log.ahead_bytes = 30 * BATCH_VALUE_BYTES
    readers = [read_all(await world.client(), log, start=start) for start in (0, 5, 11)]
    for start, found in zip((0, 5, 11), await asyncio.gather(*readers), strict=True):
        assert found == b"".join(log.contents[0][start:])
    assert log.asked == 3


async def test_a_consumer_that_reads_transactions_follows_a_plan_of_its_own_kind(old):
    world, _, log = await old(20)
    log.ahead_bytes = 30 * BATCH_VALUE_BYTES
    client = await world.client()
    for isolation in (0, 1):
        assert await read_all(client, log, isolation=isolation) == b"".join(log.contents[0])
    assert log.asked == 2


async def test_aborted_transactions_are_asked_for_with_each_fetch(old):
    world, _, log = await old(20)
    log.ahead_bytes = 30 * BATCH_VALUE_BYTES
    log.aborted = (make(response_types(1, 12).AbortedTransaction, {"producer_id": 1, "first_offset": 0}),)
    assert await read_all(await world.client(), log, isolation=1) == b"".join(log.contents[0])
    assert log.asked == -(-20 // PER_FETCH)


async def test_a_plan_that_is_old_is_not_followed(old):
    world, _, log = await old(20, plan_s_max=0.0)
    log.ahead_bytes = 30 * BATCH_VALUE_BYTES
    assert await read_all(await world.client(), log) == b"".join(log.contents[0])
    assert log.asked == -(-20 // PER_FETCH)


async def test_a_consumer_that_goes_back_or_on_by_itself_or_knows_another_epoch_has_the_leader_asked(old):
    world, _, log = await old(20)
    log.ahead_bytes = 30 * BATCH_VALUE_BYTES
    client = await world.client()

    async def asks(offset, epoch=-1):
        asked = log.asked
        request = fetch({("t", 0): offset}, part_bytes=BLOCK)
        topic = request.topics[0]
        partition = replace(topic.partitions[0], current_leader_epoch=epoch)
        answer = await client.ask(replace(request, topics=(replace(topic, partitions=(partition,)),)))
        assert records_of(answer)["t", 0] == b"".join(log.contents[0][offset : offset + PER_FETCH])
        return log.asked > asked

    assert await asks(3)
    assert not await asks(6)
    assert not await asks(12)
    assert await asks(6), "what was passed is forgotten"
    assert not await asks(9)
    assert await asks(0)
    assert await asks(3, epoch=7)
    assert not await asks(6, epoch=7)
    assert await asks(9, epoch=8)


async def test_only_what_has_no_plan_is_asked_for_and_nobody_waits_for_it(old):
    world, _, log = await old(20, 20, 0)
    log.ahead_bytes = 30 * BATCH_VALUE_BYTES
    client = await world.client()
    await client.ask(fetch({("t", 0): 0}, part_bytes=BLOCK))
    leader = world.leaders[1]

    async def ask(*, at_once=True, **offsets):
        """What of each partition is given, and which partitions the leader is asked for."""
        seen = len(leader.requests)
        wanted = {("t", int(name[1:])): at for name, at in offsets.items()}
        answer = await client.ask(fetch(wanted, part_bytes=BLOCK, max_bytes=10 * BLOCK))
        for (_, partition), records in records_of(answer).items():
            at = wanted["t", partition]
            assert records == b"".join(log.contents[partition][at : at + PER_FETCH])
        asked = leader.requests[seen:]
        assert all((request.min_bytes == to_ms(request.max_wait) == 0) == at_once for request in asked)
        return [part.partition for request in asked for topic in request.topics for part in topic.partitions]

    assert await ask(p0=PER_FETCH, p1=0) == [1]
    assert await ask(p0=2 * PER_FETCH, p1=PER_FETCH) == []
    assert await ask(p0=3 * PER_FETCH, p1=2 * PER_FETCH, p2=0) == [2], "which has nothing yet"
    assert sorted(await ask(p0=4 * PER_FETCH, p1=0, at_once=False)) == [0, 1], "the first plan is half used"
    assert await ask(p0=5 * PER_FETCH, p1=PER_FETCH) == []


@pytest.mark.parametrize("isolation", [0, 1])
@pytest.mark.parametrize("has_files", [False, True])
async def test_what_is_at_its_end_is_not_asked_for_at_once_again_while_others_have_records(
    old, tmp_path, monkeypatch, has_files, isolation
):
    monkeypatch.setattr(plan_cache, "_END_S", 10.0)
    store = await LocalStore.open(tmp_path / "bucket") if has_files else None
    world, store, log = await old(20, 3, store=store, plan_s_max=100.0)
    log.ahead_bytes = 30 * BATCH_VALUE_BYTES
    client = await world.client()

    async def asks(first, second, **options):
        """Whether the leader is asked; both partitions' records are looked at."""
        asked = log.asked
        wanted = {("t", 0): first, ("t", 1): second}
        answer = await client.ask(fetch(wanted, part_bytes=BLOCK, max_bytes=10 * BLOCK, isolation=isolation, **options))
        for (_, partition), records in records_of(answer).items():
            at = wanted["t", partition]
            assert records == b"".join(log.contents[partition][at : at + PER_FETCH])
        assert set(errors_of(answer).values()) == {ErrorCode.none}
        return log.asked > asked

    assert await asks(0, 3)
    assert not await asks(PER_FETCH, 3)
    assert await asks(2 * PER_FETCH, 2), "it has records there"
    assert not await asks(3 * PER_FETCH, 3), "its plan led to its end"
    assert not await asks(4 * PER_FETCH, 3)
    world.clock.added_s += 11
    assert await asks(5 * PER_FETCH, 3), "it may have new ones"
    assert await asks(20, 3, max_wait_ms=0), "neither has, and the leader knows first"
    assert await asks(20, 3, max_wait_ms=0)
    await store.close()


async def test_a_plan_whose_object_is_gone_is_replaced_for_all_fetches_that_follow(old):
    world, store, log = await old(20, block_cache_bytes=BLOCK)
    log.ahead_bytes = 30 * BATCH_VALUE_BYTES
    client = await world.client()
    await client.ask(fetch({("t", 0): 0}, part_bytes=BLOCK))
    await world.until(lambda: not store.under_way)
    await store.put("o/compacted", [await MemoryStore.get(store, "o/0")])
    await store.delete(["o/0"])
    log.ranges[0] = [replace(at, key="o/compacted") for at in log.ranges[0]]
    found = await read_all(client, log, start=PER_FETCH)
    assert found == b"".join(log.contents[0][PER_FETCH:])
    assert log.asked == 2


async def test_blocks_of_other_objects_are_read_ahead_along_a_plan(old):
    world, store, log = await old(3, 3, 3, 3)
    log.ahead_bytes = 30 * BATCH_VALUE_BYTES
    for partition in (1, 2, 3):  # one partition, in an object for each three batches
        log.ranges[0] += [
            replace(at, first_offset=at.first_offset + 3 * partition, last_offset=at.last_offset + 3 * partition)
            for at in log.ranges[partition]
        ]
        log.contents[0] += log.contents[partition]
    client = await world.client()
    await client.ask(fetch({("t", 0): 0}, part_bytes=3 * 301_000))
    await client.ask(fetch({("t", 0): 3}, part_bytes=3 * 301_000))
    await world.until(lambda: not store.under_way)
    assert {key for key, _ in store.gets} == {f"o/{number}" for number in range(4)}
    assert log.asked == 1


async def test_an_answer_that_is_half_full_of_what_is_in_files_waits_for_no_more(old, tmp_path):
    store = await LocalStore.open(tmp_path / "bucket")
    world, _, log = await old(20, 20, 20, store=store)
    log.ahead_bytes = 30 * BATCH_VALUE_BYTES
    log.ranges[1] = [replace(at, key="o/gone") for at in log.ranges[1]]
    client = await world.client()
    size = len(log.contents[0][0])

    async def counts(*offsets, batches_max):
        wanted = {("t", partition): offset for partition, offset in enumerate(offsets)}
        answer = await client.ask(fetch(wanted, part_bytes=3 * size, max_bytes=batches_max * size))
        found = records_of(answer)
        for (_, partition), offset in wanted.items():
            records = found["t", partition]
            assert records == b"".join(log.contents[partition][offset : offset + len(records) // size])
        return [len(records) // size for records in found.values()], set(errors_of(answer).values())

    none, gone = {ErrorCode.none}, {ErrorCode.none, ErrorCode.kafka_storage_error}
    assert await counts(0, 0, 0, batches_max=4) == ([3, 0, 1], none), "what is gone is not even looked for"
    assert await counts(3, 0, 0, batches_max=3) == ([3, 0, 0], none)
    assert await counts(6, 0, 0, batches_max=9) == ([3, 0, 3], gone), "less than half was there without it"
    await store.close()


async def test_what_is_in_files_goes_from_there_to_the_client(old, tmp_path):
    store = await LocalStore.open(tmp_path / "bucket")
    world, _, log = await old(20, store=store)
    log.ahead_bytes = 30 * BATCH_VALUE_BYTES
    clients = [await world.client() for _ in range(3)]
    for found in await asyncio.gather(*(read_all(client, log) for client in clients)):
        assert found == b"".join(log.contents[0])
    assert world.registry.get_sample_value("raylog_block_cache_misses_total") == 0
    small = await clients[0].ask(fetch({("t", 0): 4}, part_bytes=BATCH_VALUE_BYTES // 2))
    assert records_of(small)["t", 0] == log.contents[0][4]
    await store.close()


async def test_a_part_of_a_range_goes_from_its_file_as_well(old, tmp_path):
    store = await LocalStore.open(tmp_path / "bucket")
    world, _, log = await old(9, 9, store=store)
    size = log.ranges[0][0].size_bytes
    for partition, ranges in log.ranges.items():
        log.ranges[partition] = [ranges[at].joined(ranges[at + 1]).joined(ranges[at + 2]) for at in (0, 3, 6)]
    log.ahead_bytes = 30 * BATCH_VALUE_BYTES
    client = await world.client()

    async def batches(*offsets, part_bytes):
        wanted = {("t", partition): offset for partition, offset in enumerate(offsets)}
        answer = await client.ask(fetch(wanted, part_bytes=part_bytes, max_bytes=64 << 20))
        assert set(errors_of(answer).values()) == {ErrorCode.none}
        found = records_of(answer)
        for (_, partition), offset in wanted.items():
            records = found["t", partition]
            assert records == b"".join(log.contents[partition][offset : offset + len(records) // size])
        return [len(records) // size for records in found.values()]

    assert await batches(0, 0, part_bytes=2 * size + 1) == [2, 2]
    assert await batches(1, 3, part_bytes=size) == [1, 1], "from the middle of a range, and from the start of one"
    assert await batches(2, 2, part_bytes=4 * size) == [4, 4], "what follows the rest of a range"
    assert await batches(2, 2, part_bytes=3 * size) == [1, 1], "no whole range fits behind it"
    assert await batches(6, 6, part_bytes=size // 2) == [1, 0], "the first one, however large, and no other"
    assert world.registry.get_sample_value("raylog_block_cache_misses_total") == 0
    await store.close()
