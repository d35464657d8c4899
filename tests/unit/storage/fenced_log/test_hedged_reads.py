"""Reads that the next leader waits for: a slow one is sent again, and what answers first counts."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from raylog.model.errors import CorruptError, RetryError
from raylog.storage.keys import checkpoint_key, checkpoint_prefix, log_prefix, slot_key
from raylog.storage.slot_format import SlotKind

PREFIX = "leaders/000001/"


def hang_the_first_of_each(store):
    """The first listing of each prefix and the first read of each key never answer."""
    asked = Counter()
    get, get_tail, list_ = store.get, store.get_tail, store.list

    async def answered_the_second_time(what):
        asked[what] += 1
        if asked[what] == 1:
            await asyncio.get_running_loop().create_future()

    async def slow_get(key, **options):
        await answered_the_second_time(key)
        return await get(key, **options)

    async def slow_get_tail(key, length, **options):
        await answered_the_second_time(key)
        return await get_tail(key, length, **options)

    async def slow_list(prefix, **options):
        await answered_the_second_time(prefix)
        async for found in list_(prefix, **options):
            yield found

    store.get, store.get_tail, store.list = slow_get, slow_get_tail, slow_list
    return asked


async def checkpointed_at_two_with_two_more(bench):
    log, _ = await bench.open()
    for meta in (b"before", b"first", b"second"):
        await log.append([], meta)
    await log.write_checkpoint(2, b"state")


async def open_from_the_newest_checkpoint(bench):
    log = bench.writer()
    checkpoint = await log.latest_checkpoint()
    slots = [slot async for slot in log.open(checkpoint)]
    return checkpoint, [slot.meta for slot in slots if slot.kind is SlotKind.APPEND]


async def test_each_read_of_an_opening_is_sent_again_when_it_is_slow(bench):
    await checkpointed_at_two_with_two_more(bench)
    bench.limits = replace(bench.limits, hedge_s=0.0, hedges=2)
    asked = hang_the_first_of_each(bench.store)
    checkpoint, metas = await open_from_the_newest_checkpoint(bench)
    assert checkpoint is not None
    assert checkpoint.state == b"state"
    assert metas == [b"first", b"second"]
    assert all(times > 1 for times in asked.values())
    assert asked.keys() == {
        checkpoint_prefix(PREFIX),
        checkpoint_key(PREFIX, 2),
        log_prefix(PREFIX),
        slot_key(PREFIX, 3),
        slot_key(PREFIX, 4),
    }


async def test_a_bucket_that_answers_soon_is_asked_once(bench):
    await checkpointed_at_two_with_two_more(bench)
    bench.limits = replace(bench.limits, hedge_s=600.0)
    bench.store.gets.clear()
    bench.store.lists.clear()
    await open_from_the_newest_checkpoint(bench)
    assert bench.store.lists == [checkpoint_prefix(PREFIX), log_prefix(PREFIX)]
    assert bench.store.gets == [checkpoint_key(PREFIX, 2), slot_key(PREFIX, 3), slot_key(PREFIX, 4)]


async def test_what_a_bucket_refuses_is_not_asked_again_at_once(bench):
    bench.limits = replace(bench.limits, hedge_s=600.0)
    bench.store.fail_reads = 1
    with pytest.raises(RetryError):
        await bench.writer().latest_checkpoint()
    assert bench.store.fail_reads == 0


async def test_a_damaged_checkpoint_ends_the_opening_whatever_the_others_would_answer(bench):
    await bench.store.put(checkpoint_key(PREFIX, 1), [bytes(200)])
    bench.limits = replace(bench.limits, hedge_s=0.0)
    with pytest.raises(CorruptError):
        await bench.writer().latest_checkpoint()
