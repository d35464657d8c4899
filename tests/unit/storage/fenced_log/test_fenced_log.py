"""The fenced log, one writer and two: order, fences, orphans, lost answers, back-pressure."""

import asyncio
import contextlib

import pytest

from raylog.model.errors import CorruptError, FencedError, InvalidError, RaylogError
from raylog.storage.fenced_log import MAX_IN_FLIGHT
from raylog.storage.keys import slot_key
from raylog.storage.slot_format import SlotKind, encode_slot, record_of

PREFIX = "leaders/000001/"


async def test_an_empty_log_opens_at_epoch_one(bench):
    log, slots = await bench.open()
    assert (log.epoch, log.open_slot, slots) == (1, 1, [])


async def test_appends_come_back_in_order_with_their_metas_and_sizes(bench):
    log, _ = await bench.open()
    numbers = [await log.append([b"body", memoryview(b"%d" % i)], b"meta%d" % i) for i in range(5)]
    successor, slots = await bench.open()
    assert numbers == [2, 3, 4, 5, 6]
    assert [(s.kind, s.number, s.epoch) for s in slots] == [(SlotKind.OPEN, 1, 1)] + [
        (SlotKind.APPEND, n, 1) for n in numbers
    ]
    assert [s.meta for s in slots[1:]] == [b"meta%d" % i for i in range(5)]
    assert all(s.body_bytes == 5 and s.size_bytes == 128 + 5 + 5 for s in slots[1:])
    assert (successor.epoch, successor.open_slot) == (2, 7)
    assert (await bench.store.get(slots[1].key, start=64, length=5)) == b"body0"


async def test_a_meta_longer_than_the_first_read_is_read_whole(bench):
    log, _ = await bench.open()
    meta = bytes(range(256)) * 1000
    await log.append([b"x" * 100_000], meta)
    assert await bench.replay() == [(2, meta)]


async def test_acknowledgements_keep_the_order_of_slots(bench):
    log, _ = await bench.open()
    bench.store.held = True
    acknowledged: list[int] = []
    appends = [asyncio.ensure_future(log.append([], b"%d" % i)) for i in range(3)]
    for append in appends:
        append.add_done_callback(lambda done: acknowledged.append(done.result()))
    await bench.settle()
    bench.store.put_for(4).respond()
    bench.store.put_for(3).respond()
    await bench.settle()
    assert (acknowledged, log.acknowledged_slot) == ([], 1)
    bench.store.put_for(2).respond()
    await bench.settle()
    assert (acknowledged, log.acknowledged_slot) == ([2, 3, 4], 4)


@pytest.mark.parametrize("sleeps", [False, True], ids=["the loop's clock runs", "the machine has slept"])
async def test_a_slot_that_comes_too_late_is_not_acknowledged_and_ends_the_log(bench, sleeps):
    """Its own put may be done: it is in the log only when those before it are."""
    log, _ = await bench.open()
    bench.store.held = True
    seconds = 1000.0 if sleeps else 0.02
    first = asyncio.ensure_future(log.append([], b"first"))
    second = asyncio.ensure_future(log.append([], b"second", by_s=bench.clock.boottime() + seconds))
    await bench.settle()
    bench.store.put_for(3).respond()
    await bench.settle()
    if sleeps:
        bench.clock.now_s += seconds + 1
        bench.store.put_for(2).respond()
    with pytest.raises(FencedError, match="not there in time"):
        await second
    with contextlib.suppress(FencedError):
        await first
    with pytest.raises(FencedError):
        await log.append([], b"third")


async def test_a_slot_that_is_late_before_its_put_has_begun_is_not_put(bench):
    """As when the machine has slept meanwhile: nothing else would keep it out of the log."""
    log, _ = await bench.open()
    bench.store.held = True
    with pytest.raises(FencedError, match="not there in time"):
        await log.append([], b"late", by_s=bench.clock.boottime() - 1)
    assert not bench.store.puts


async def test_a_slot_that_comes_in_time_ends_nothing(bench):
    log, _ = await bench.open()
    assert await log.append([], b"first", by_s=bench.clock.boottime() + 10) == 2
    bench.clock.now_s += 100
    assert await log.append([], b"second") == 3


async def test_at_most_max_in_flight_slots_are_under_way(bench):
    log, _ = await bench.open()
    bench.store.held = True
    appends = [asyncio.ensure_future(log.append([], b"%d" % i)) for i in range(MAX_IN_FLIGHT + 2)]
    await bench.settle()
    assert len(bench.store.puts) == MAX_IN_FLIGHT
    bench.store.put_for(3).respond()
    await bench.settle()
    assert len(bench.store.puts) == MAX_IN_FLIGHT, "a later slot's end makes no room: the window begins at the oldest"
    bench.store.put_for(2).respond()
    await bench.settle()
    assert len(bench.store.puts) == MAX_IN_FLIGHT + 2
    for put in bench.store.puts:
        put.respond()
    assert await asyncio.gather(*appends) == list(range(2, MAX_IN_FLIGHT + 4))


async def test_a_successor_writes_one_slot_at_a_time_where_orphans_can_lie(bench):
    await bench.open()
    log, _ = await bench.open()
    bench.store.held = True
    appends = [asyncio.ensure_future(log.append([], b"%d" % i)) for i in range(MAX_IN_FLIGHT + 3)]
    for slot in range(log.open_slot + 1, log.open_slot + MAX_IN_FLIGHT + 1):
        await bench.settle()
        assert [put.key for put in bench.store.puts if not put.answer.done()] == [slot_key(PREFIX, slot)]
        bench.store.put_for(slot).respond()
    await bench.settle()
    assert sum(not put.answer.done() for put in bench.store.puts) == 3
    for put in bench.store.puts:
        put.respond()
    await asyncio.gather(*appends)


@pytest.mark.parametrize("landed", range(2**4))
async def test_a_pipelined_writer_fenced_at_every_point_loses_nothing_acknowledged(bench, landed):
    """Four slots under way, any subset of which has landed when the successor opens; the rest lands afterwards."""
    log, _ = await bench.open()
    bench.store.held = True
    appends = [asyncio.ensure_future(log.append([], b"old%d" % i)) for i in range(4)]
    await bench.settle()
    puts = list(bench.store.puts)
    for i, put in enumerate(puts):
        if landed & 1 << i:
            put.apply()
    bench.store.held = False
    successor, replayed = await bench.open()
    for put in puts:
        put.respond()
    results = await asyncio.gather(*appends, return_exceptions=True)
    written = [await successor.append([], b"new%d" % i) for i in range(6)]

    first_hole = next((i for i in range(4) if not landed & 1 << i), 4)
    assert successor.open_slot == 2 + first_hole
    assert [s.meta for s in replayed[1:]] == [b"old%d" % i for i in range(first_hole)]
    acknowledged = [r for r in results if isinstance(r, int)]
    assert acknowledged == list(range(2, 2 + len(acknowledged)))
    assert len(acknowledged) <= first_hole
    if first_hole < 4:
        assert isinstance(results[-1], FencedError)
        with pytest.raises(FencedError):
            await log.append([], b"later")
    after = await bench.replay()
    assert [meta for _, meta in after] == [b"old%d" % i for i in range(first_hole)] + [b"new%d" % i for i in range(6)]
    assert [number for number, _ in after[first_hole:]] == written


async def test_a_fence_ends_waiting_appends_too_and_for_ever(bench):
    log, _ = await bench.open()
    await bench.open()
    bench.store.held = True
    appends = [asyncio.ensure_future(log.append([], b"%d" % i)) for i in range(MAX_IN_FLIGHT + 5)]
    await bench.settle()
    bench.store.put_for(2).respond()
    results = await asyncio.gather(*appends, return_exceptions=True)
    assert {type(r) for r in results} == {FencedError}
    for use in (log.append([], b"again"), log.write_checkpoint(1, b"state"), log.append([], b"and again")):
        with pytest.raises(FencedError, match="taken over"):
            await use


async def test_a_put_that_won_but_whose_answer_was_lost_is_no_fence(bench):
    log, _ = await bench.open()
    bench.store.held = True
    append = asyncio.ensure_future(log.append([b"body"], b"meta"))
    await bench.settle()
    bench.store.put_for(2).apply()
    bench.store.put_for(2).lose()
    await bench.settle()
    bench.store.put_for(2).respond()
    assert await append == 2
    bench.store.held = False
    assert await bench.replay() == [(2, b"meta")]


async def test_a_put_that_failed_is_tried_again_until_it_lands(bench):
    log, _ = await bench.open()
    bench.store.held = True
    append = asyncio.ensure_future(log.append([], b"meta"))
    for _ in range(20):
        await bench.settle()
        bench.store.put_for(2).lose()
    await bench.settle()
    bench.store.put_for(2).respond()
    assert await append == 2


async def test_a_first_try_that_lands_after_its_retry_changes_nothing(bench):
    log, _ = await bench.open()
    bench.store.held = True
    append = asyncio.ensure_future(log.append([], b"meta"))
    await bench.settle()
    first = bench.store.put_for(2)
    first.lose()
    await bench.settle()
    bench.store.put_for(2).respond()
    first.apply()
    assert await append == 2
    bench.store.held = False
    assert await bench.replay() == [(2, b"meta")]


async def test_an_open_slot_whose_answer_was_lost_is_recognised(bench):
    bench.store.held = True
    opening = asyncio.ensure_future(bench.open())
    await bench.settle()
    bench.store.put_for(1).apply()
    bench.store.put_for(1).lose()
    await bench.settle()
    bench.store.put_for(1).respond()
    log, _ = await opening
    assert (log.epoch, log.open_slot) == (1, 1)


async def test_of_racing_openers_the_loser_replays_the_winner_and_opens_above(bench):
    bench.store.held = True
    racers = [asyncio.ensure_future(bench.open()) for _ in range(3)]
    while not all(r.done() for r in racers):
        await bench.settle()
        for put in bench.store.puts:
            put.respond()
    opened = [r.result() for r in racers]
    assert [(log.epoch, log.open_slot) for log, _ in opened] == [(1, 1), (2, 2), (3, 3)]
    assert [[s.number for s in slots] for _, slots in opened] == [[], [1], [1, 2]]
    bench.store.held = False
    for log, _ in opened[:2]:
        with pytest.raises(FencedError):
            await log.append([], b"")
    assert await opened[2][0].append([], b"") == 4


async def test_an_opener_takes_the_first_hole_and_steps_over_orphans(bench):
    log, _ = await bench.open()
    bench.store.held = True
    doomed = [asyncio.ensure_future(log.append([], b"%d" % i)) for i in range(4)]
    await bench.settle()
    bench.store.put_for(3).apply()
    bench.store.put_for(4).apply()
    bench.store.held = False
    first, _ = await bench.open()  # at 2, the hole
    second, replayed = await bench.open()  # at 5, over the orphans 3 and 4
    assert (first.open_slot, second.open_slot, second.epoch) == (2, 5, 3)
    assert [s.number for s in replayed] == [1, 2]
    for put in bench.store.puts:
        put.respond()
    assert {type(r) for r in await asyncio.gather(*doomed, return_exceptions=True)} == {FencedError}


async def test_a_late_orphan_is_met_by_the_writer_and_stepped_over_in_order(bench):
    log, _ = await bench.open()
    bench.store.held = True
    doomed = [asyncio.ensure_future(log.append([], b"old%d" % i)) for i in range(3)]
    await bench.settle()
    late = list(bench.store.puts)
    bench.store.held = False
    successor, _ = await bench.open()  # at 2
    late[1].apply()  # 3 lands now
    late[2].apply()  # and 4
    assert [await successor.append([], b"new%d" % i) for i in range(3)] == [5, 6, 7]
    late[0].respond()
    assert {type(r) for r in await asyncio.gather(*doomed, return_exceptions=True)} == {FencedError}
    assert await bench.replay() == [(5, b"new0"), (6, b"new1"), (7, b"new2")]


async def test_store_errors_while_reading_are_waited_out(bench):
    log, _ = await bench.open()
    await log.append([], b"kept")
    bench.store.fail_reads = 7
    assert await bench.replay() == [(2, b"kept")]


async def test_a_cancelled_append_is_written_all_the_same(bench):
    log, _ = await bench.open()
    bench.store.held = True
    append = asyncio.ensure_future(log.append([], b"one"))
    await bench.settle()
    append.cancel()
    second = asyncio.ensure_future(log.append([], b"two"))
    await bench.settle()
    for put in bench.store.puts:
        put.respond()
    assert await second == 3
    bench.store.held = False
    assert await bench.replay() == [(2, b"one"), (3, b"two")]


async def test_close_waits_for_the_slots_under_way(bench):
    log, _ = await bench.open()
    bench.store.held = True
    appends = [asyncio.ensure_future(log.append([], b"%d" % i)) for i in range(MAX_IN_FLIGHT + 4)]
    closing = asyncio.ensure_future(log.close())
    for _ in range(3):
        await bench.settle()
        for put in bench.store.puts:
            put.respond()
    await closing
    assert await asyncio.gather(*appends) == list(range(2, MAX_IN_FLIGHT + 6))
    with pytest.raises(RaylogError, match="closed"):
        await log.append([], b"")
    await log.close()


async def test_a_close_that_is_cancelled_gives_its_puts_up(bench):
    log, _ = await bench.open()
    bench.store.held = True
    append = asyncio.ensure_future(log.append([], b""))
    closing = asyncio.ensure_future(log.close())
    await bench.settle()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    with pytest.raises(RaylogError, match="closed"):
        await append


async def test_a_refusal_of_the_store_ends_the_log(bench):
    log, _ = await bench.open()
    bench.store.held = True
    append = asyncio.ensure_future(log.append([], b""))
    await bench.settle()
    bench.store.put_for(2).answer.set_exception(InvalidError("The bucket's credentials are refused."))
    for _ in range(2):
        with pytest.raises(InvalidError, match="credentials"):
            await append
        append = asyncio.ensure_future(log.append([], b""))
    with pytest.raises(InvalidError):
        await append


async def test_two_writers_of_one_epoch_are_called_corrupt(bench):
    log, _ = await bench.open()
    record = record_of(kind=SlotKind.APPEND, slot=2, epoch=log.epoch, writer_id=b"w" * 16, body=(), meta=b"m")
    await bench.store.put(slot_key(PREFIX, 2), encode_slot(record, (), b"m"))
    with pytest.raises(CorruptError, match="alone may write"):
        await log.append([], b"")
    with pytest.raises(CorruptError, match="honours If-None-Match"):
        await bench.open()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:100], "fewer than its header"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "checksum"),
        (lambda data: data[:-65] + bytes([data[-65] ^ 1]) + data[-64:], "meta .* checksum"),
        (lambda data: data[:-64] + bytes(64), "magic"),
        (lambda data: b"x" + data, "key and size promise"),
    ],
)
async def test_damaged_slots_stop_a_replay_with_a_sentence(bench, damage, message):
    log, _ = await bench.open()
    await log.append([b"body"], b"meta")
    key = slot_key(PREFIX, 2)
    await bench.store.put(key, [damage(await bench.store.get(key))])
    with pytest.raises(CorruptError, match=message):
        await bench.open()


async def test_a_slot_under_another_number_stops_a_replay(bench):
    log, _ = await bench.open()
    await log.append([b"body"], b"meta")
    await bench.store.put(slot_key(PREFIX, 3), [await bench.store.get(slot_key(PREFIX, 2))])
    with pytest.raises(CorruptError, match="key and size promise"):
        await bench.open()


async def test_a_replay_left_early_leaves_no_reads_behind(bench):
    log, _ = await bench.open()
    for i in range(40):
        await log.append([], b"%d" % i)
    replay = bench.writer().open(None)
    await anext(replay)
    await replay.aclose()
    await bench.settle()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_long_log_is_replayed_in_order_with_bounded_prefetch(bench):
    log, _ = await bench.open()
    await asyncio.gather(*(log.append([b"x"], b"%d" % i) for i in range(100)))
    bench.store.gets.clear()
    replay = bench.writer().open(None)
    await anext(replay)
    assert len(bench.store.gets) <= bench.limits.replay_prefetch
    assert [slot.meta async for slot in replay] == [b"%d" % i for i in range(100)]
