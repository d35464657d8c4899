"""Checkpoints, trimming, and the proof that a writer was not away while both happened."""

import asyncio

import pytest

from raylog.model.errors import CorruptError, FencedError, RetryError
from raylog.storage.checkpoint import latest_checkpoint
from raylog.storage.keys import checkpoint_key, checkpoint_prefix, log_prefix, slot_key

PREFIX = "leaders/000001/"
GRACE_S = 3600.0


async def numbers(store, prefix):
    return [int(found.key[-20:]) async for found in store.list(prefix)]


async def write(log, count):
    for i in range(count):
        await log.append([], b"%d" % i)


async def test_a_replay_begins_after_the_newest_checkpoint(bench):
    log, _ = await bench.open()
    await write(log, 3)
    await log.write_checkpoint(2, b"old")
    await log.write_checkpoint(3, b"state after 3")
    checkpoint = await latest_checkpoint(bench.store, PREFIX)
    assert (checkpoint.slot, checkpoint.epoch, checkpoint.state) == (3, 1, b"state after 3")
    successor, slots = await bench.open(checkpoint)
    assert [s.number for s in slots] == [4]
    assert (successor.epoch, successor.open_slot) == (2, 5)


async def test_an_epoch_lives_on_in_a_checkpoint_when_its_slots_are_gone(bench):
    for _ in range(3):
        log, _ = await bench.open()
    await log.write_checkpoint(log.open_slot, b"state")
    bench.clock.now_s += GRACE_S
    await log.trim(10)
    assert await numbers(bench.store, log_prefix(PREFIX)) == [3]
    await bench.store.delete([slot_key(PREFIX, 3)])
    successor, slots = await bench.open(await latest_checkpoint(bench.store, PREFIX))
    assert (successor.epoch, successor.open_slot, slots) == (4, 4, [])


async def test_only_an_acknowledged_slot_is_checkpointed(bench):
    log, _ = await bench.open()
    await write(log, 1)
    for slot in (0, 3):
        with pytest.raises(AssertionError):
            await log.write_checkpoint(slot, b"")


async def test_trim_keeps_everything_until_a_checkpoint_is_older_than_the_grace(bench):
    log, _ = await bench.open()
    await write(log, 5)
    bench.clock.now_s += 10 * GRACE_S  # the slots' own age does not count
    await log.write_checkpoint(5, b"five")
    assert await log.trim(100) == 0
    bench.clock.now_s += GRACE_S - 1
    await log.write_checkpoint(6, b"six")
    assert await log.trim(100) == 0
    bench.clock.now_s += 1
    assert await log.trim(3) == 2
    assert await log.trim(100) == 2
    assert await numbers(bench.store, log_prefix(PREFIX)) == [5, 6]
    assert await numbers(bench.store, checkpoint_prefix(PREFIX)) == [5, 6]
    bench.clock.now_s += GRACE_S
    assert await log.trim(100) == 1
    assert await numbers(bench.store, checkpoint_prefix(PREFIX)) == [6]
    assert await bench.replay(await latest_checkpoint(bench.store, PREFIX)) == []


async def trimmed_past_a_sleeper(bench):
    """A writer that slept while its successor checkpointed and trimmed; its next slot, 3, is free again."""
    sleeper, _ = await bench.open()
    await write(sleeper, 1)
    successor, _ = await bench.open()
    await write(successor, 5)
    await successor.write_checkpoint(8, b"state")
    bench.clock.now_s += GRACE_S
    await successor.trim(100)
    assert await numbers(bench.store, log_prefix(PREFIX)) == [8]
    return sleeper, successor


async def test_a_writer_that_slept_through_a_trim_finds_out_before_it_acknowledges(bench):
    sleeper, successor = await trimmed_past_a_sleeper(bench)
    with pytest.raises(FencedError, match="trimmed past slot 3"):
        await sleeper.append([], b"lost")
    with pytest.raises(FencedError):
        await sleeper.append([], b"lost too")
    assert await successor.append([], b"kept") == 9
    checkpoint = await latest_checkpoint(bench.store, PREFIX)
    assert await bench.replay(checkpoint) == [(9, b"kept")]


async def test_a_writer_that_slept_alone_goes_on_after_one_look(bench):
    log, _ = await bench.open()
    await write(log, 1)
    await log.write_checkpoint(2, b"state")
    bench.clock.now_s += 100 * GRACE_S
    bench.store.lists.clear()
    await write(log, 3)
    assert bench.store.lists == [checkpoint_prefix(PREFIX)]


async def test_a_busy_writer_never_looks(bench):
    log, _ = await bench.open()
    bench.store.lists.clear()
    for _ in range(10):
        bench.clock.now_s += GRACE_S / 2 - 1
        await write(log, 1)
    assert bench.store.lists == []


async def test_time_that_a_put_takes_counts_from_before_it_was_sent(bench):
    log, _ = await bench.open()
    bench.store.held = True
    append = asyncio.ensure_future(log.append([], b""))
    await bench.settle()
    bench.clock.now_s += GRACE_S / 2
    bench.store.lists.clear()
    bench.store.put_for(2).respond()
    await append
    assert bench.store.lists == [checkpoint_prefix(PREFIX)]


async def test_an_opener_whose_checkpoint_is_too_old_is_told_to_begin_again(bench):
    await trimmed_past_a_sleeper(bench)
    with pytest.raises(RetryError, match="open it again"):
        await bench.open(None)
    log, _ = await bench.open(await latest_checkpoint(bench.store, PREFIX))
    assert log.open_slot == 9


async def test_an_opener_that_has_just_looked_for_its_checkpoint_does_not_look_again(bench):
    old, _ = await bench.open()
    await write(old, 3)
    await old.write_checkpoint(2, b"state")
    bench.store.lists.clear()
    log = bench.writer()
    checkpoint = await log.latest_checkpoint()
    assert [slot.number async for slot in log.open(checkpoint)] == [3, 4]
    assert bench.store.lists == [checkpoint_prefix(PREFIX), log_prefix(PREFIX)]
    bench.clock.now_s += GRACE_S / 2 - 1
    assert await log.append([], b"next") == 6
    assert len(bench.store.lists) == 2
    bench.clock.now_s += GRACE_S / 2
    assert await log.append([], b"after a rest") == 7
    assert bench.store.lists[2:] == [checkpoint_prefix(PREFIX)]


async def test_an_opener_whose_replay_took_long_looks_again(bench):
    old, _ = await bench.open()
    await write(old, 3)
    log = bench.writer()
    checkpoint = await log.latest_checkpoint()
    bench.clock.now_s += GRACE_S / 2
    bench.store.lists.clear()
    assert [slot.number async for slot in log.open(checkpoint)] == [1, 2, 3, 4]
    assert bench.store.lists == [log_prefix(PREFIX), checkpoint_prefix(PREFIX)]


async def test_an_opener_that_slept_while_the_log_was_trimmed_begins_again(bench):
    opener = bench.writer()
    checkpoint = await opener.latest_checkpoint()
    assert checkpoint is None
    await trimmed_past_a_sleeper(bench)
    with pytest.raises(RetryError, match="open it again"):
        [slot async for slot in opener.open(checkpoint)]


async def test_a_slot_trimmed_under_a_replay_makes_the_opener_begin_again(bench):
    log, _ = await bench.open()
    await write(log, 60)
    await log.write_checkpoint(60, b"state")
    bench.clock.now_s += GRACE_S
    replay = bench.writer().open(None)
    await anext(replay)
    assert await log.trim(100) == 59
    with pytest.raises(RetryError, match="open it again"):
        [slot async for slot in replay]


async def test_a_slot_trimmed_between_listing_and_reading_makes_the_opener_begin_again(bench):
    log, _ = await bench.open()
    await write(log, 3)
    get_tail = bench.store.get_tail

    async def get_tail_after_trim(key, length, **options):
        await bench.store.delete([slot_key(PREFIX, 2)])
        return await get_tail(key, length, **options)

    bench.store.get_tail = get_tail_after_trim
    with pytest.raises(RetryError, match="open it again"):
        await bench.open()


async def test_a_claim_that_is_refused_and_then_trimmed_is_a_fence(bench):
    log, _ = await bench.open()
    await bench.open()
    bench.store.held = True
    append = asyncio.ensure_future(log.append([], b""))
    await bench.settle()
    bench.store.put_for(2).apply()
    await bench.store.delete([slot_key(PREFIX, 2)])
    bench.store.put_for(2).respond()
    with pytest.raises(FencedError):
        await append


async def test_a_checkpoint_deleted_between_listing_and_reading_is_looked_up_again(bench):
    log, _ = await bench.open()
    await log.write_checkpoint(1, b"first")
    get = bench.store.get

    async def get_after_trim(key, **options):
        bench.store.get = get
        await bench.store.delete([key])
        await write(log, 1)
        await log.write_checkpoint(2, b"second")
        return await get(key, **options)

    bench.store.get = get_after_trim
    assert (await latest_checkpoint(bench.store, PREFIX)).state == b"second"


@pytest.mark.parametrize("data", [b"short", bytes(200)])
async def test_a_damaged_checkpoint_is_refused_with_a_sentence(bench, data):
    await bench.store.put(checkpoint_key(PREFIX, 1), [data])
    with pytest.raises(CorruptError, match=r"magic|shorter"):
        await latest_checkpoint(bench.store, PREFIX)


async def test_a_slot_is_not_taken_for_a_checkpoint(bench):
    log, _ = await bench.open()
    await write(log, 1)
    await bench.store.put(checkpoint_key(PREFIX, 2), [await bench.store.get(slot_key(PREFIX, 2))])
    with pytest.raises(CorruptError, match="promise"):
        await latest_checkpoint(bench.store, PREFIX)
