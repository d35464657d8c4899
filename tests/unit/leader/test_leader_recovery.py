"""Restart, crash and fence on the same bucket and WAL: nothing acknowledged is lost, nothing not acknowledged is claimed."""

import asyncio
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from raylog.model.errors import FencedError


async def produce(client: Any, kit: Any, *values: bytes, number: int = 0, sequence: int = -1) -> int:
    """Acknowledged; its offset."""
    known = {"producer_id": 5, "epoch": 0, "sequence": sequence} if sequence >= 0 else {}
    response = await client.ask(kit.produce_request({number: kit.batch(*values, **known)}))
    ((partition,),) = (topic.partition_responses for topic in response.responses)
    assert partition.error_code is ErrorCode.none, partition
    return int(partition.base_offset)


async def read_all(cluster: Any, client: Any, kit: Any, number: int = 0) -> list[bytes]:
    """Every record from the log's start to the high watermark, by fetches and read plans, in order."""
    offset, values = 0, []
    while True:
        response = await client.ask(kit.fetch_request({number: offset}))
        partition = response.responses[0].partitions[0]
        assert partition.error_code is ErrorCode.none
        if offset == partition.high_watermark:
            return values
        records = await cluster.records_of(client, response)
        batch_end = max(header.last_offset for header in kit.headers(records)) + 1
        values += [
            record.value
            for header in kit.headers(records)
            for record in kit.decode_records(records, header)
            if record.offset >= offset
        ]
        offset = batch_end


@pytest.mark.parametrize("ending", ["close", "crash"])
async def test_restart_has_every_acknowledged_record_and_goes_on_behind_it(cluster: Any, kit: Any, ending: str) -> None:
    client = await cluster.lead(kit.assignment(0), kit.assignment(1))
    expected: dict[int, list[bytes]] = {0: [], 1: []}
    for round_number in range(4):
        for n in range(10):
            for number, values in expected.items():
                value = b"%d-%d-%d" % (round_number, number, n)
                assert await produce(client, kit, value, number=number) == len(values)
                values.append(value)
        if ending == "close":
            await cluster.leaders.pop().close()
        else:
            await cluster.crash()
        await cluster.start()
        client = await cluster.client()
        for number, values in expected.items():
            assert await read_all(cluster, client, kit, number) == values
    cluster.validate()


async def test_duplicate_after_a_restart_is_answered_with_its_old_offset(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment())
    offsets = [await produce(client, kit, b"a", b"b", sequence=2 * n) for n in range(7)]
    await cluster.crash()
    await cluster.start()
    client = await cluster.client()
    assert [await produce(client, kit, b"a", b"b", sequence=2 * n) for n in range(2, 7)] == offsets[2:]
    assert await produce(client, kit, b"c", sequence=14) == 14
    assert len(await read_all(cluster, client, kit)) == 15


async def test_leader_epoch_rises_with_each_start_and_old_ones_are_fenced(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment())
    await produce(client, kit, b"a", b"b")
    await cluster.crash()
    await cluster.start()
    client = await cluster.client()
    await produce(client, kit, b"c")
    records = await cluster.records_of(client, await client.ask(kit.fetch_request({0: 2})))
    assert [header.leader_epoch for header in kit.headers(records)] == [1]
    old = await client.ask(kit.fetch_request({0: 0}, leader_epoch=0))
    assert old.responses[0].partitions[0].error_code is ErrorCode.fenced_leader_epoch
    newer = await client.ask(kit.fetch_request({0: 0}, leader_epoch=2))
    assert newer.responses[0].partitions[0].error_code is ErrorCode.unknown_leader_epoch
    ends = [(await client.ask(kit.epoch_end_request(0, epoch))).topics[0].partitions[0] for epoch in (0, 1, 2)]
    assert [(end.leader_epoch, end.end_offset) for end in ends] == [(0, 2), (1, 3), (-1, -1)]


async def test_second_leader_fences_the_first_which_then_answers_nothing(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment())
    await produce(client, kit, b"before")
    old = cluster.leaders[0]
    await cluster.start(run_dir="other")
    new_client = await cluster.client()
    lost = client.send(kit.produce_request({0: kit.batch(b"from the fenced one")}))
    async with asyncio.timeout(5):
        with pytest.raises(FencedError):
            if cluster.wal_url.startswith("file"):
                await old.closed
            else:
                await asyncio.shield(old.closed)
    await client.gone()
    assert lost.cancelled()
    assert await produce(new_client, kit, b"after") == 1
    assert await read_all(cluster, new_client, kit) == [b"before", b"after"]


async def test_what_was_not_acknowledged_may_be_lost_but_leaves_no_trace_in_answers(cluster: Any, kit: Any) -> None:
    """The bucket takes nothing for a while, then the process dies: with the object WAL the batch is gone."""
    client = await cluster.lead(kit.assignment())
    await produce(client, kit, b"kept", sequence=0)
    cluster.store.shut()
    answer = client.send(kit.produce_request({0: kit.batch(b"maybe", producer_id=5, epoch=0, sequence=1)}))
    await client.ask(kit.fetch_request({0: 0}))
    is_file = cluster.wal_url.startswith("file")
    if is_file:
        await answer
    await cluster.crash()
    cluster.store.discard_held()
    cluster.store.release()
    await cluster.start()
    client = await cluster.client()
    assert await produce(client, kit, b"maybe", sequence=1) == 1
    assert await read_all(cluster, client, kit) == [b"kept", b"maybe"]


async def test_file_wal_tail_is_served_from_memory_flushed_and_trimmed_after_a_crash(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment())
    for n in range(20):
        await produce(client, kit, b"%d" % n)
    await cluster.crash()
    leader = await cluster.start()
    client = await cluster.client()
    await leader._parts.flusher.flush()
    hosted = leader._parts.context.partitions.find(kit.TOPIC, 0)
    assert hosted.core.flushed_end_offset == 20
    assert leader._parts.context.appender.unflushed_bytes == 0
    await produce(client, kit, b"20")
    await cluster.crash()
    await cluster.start()
    assert await read_all(cluster, await cluster.client(), kit) == [b"%d" % n for n in range(21)]


async def test_log_start_survives_a_restart_and_never_goes_back(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment())
    for n in range(10):
        await produce(client, kit, b"%d" % n)
    for offset, low_watermark in ((4, 4), (2, 4), (7, 7)):
        answer = await client.ask(kit.delete_records_request(0, offset))
        assert answer.topics[0].partitions[0].low_watermark == low_watermark
    await cluster.crash()
    await cluster.start()
    client = await cluster.client()
    earliest = await client.ask(kit.list_offsets_request(0, -2))
    assert earliest.topics[0].partitions[0].offset == 7
    gone = await client.ask(kit.fetch_request({0: 6}))
    assert gone.responses[0].partitions[0].error_code is ErrorCode.offset_out_of_range
    everything = await client.ask(kit.delete_records_request(0, -1))
    assert everything.topics[0].partitions[0].low_watermark == 10
    await cluster.crash()
    await cluster.start()
    assert await produce(await cluster.client(), kit, b"10") == 10


async def test_recovery_from_a_checkpoint_equals_recovery_from_all_slots(cluster: Any, kit: Any) -> None:
    await cluster.controller.assign(kit.assignment(0), kit.assignment(1))
    leader = await cluster.start(leader_limits={"checkpoint_slots": 3})
    client = await cluster.client()
    for n in range(12):
        await produce(client, kit, b"%d" % n, number=n % 2, sequence=n // 2)
        await leader._parts.flusher.flush()
    await client.ask(kit.delete_records_request(1, 2))
    async with asyncio.timeout(5):
        while not await cluster.has_checkpoint():
            await client.ask(kit.fetch_request({0: 0}))
    await cluster.crash()
    await cluster.start()
    client = await cluster.client()
    assert await read_all(cluster, client, kit) == [b"%d" % n for n in range(0, 12, 2)]
    assert await produce(client, kit, b"again", number=1, sequence=5) == 5
    assert await produce(client, kit, b"next", number=1, sequence=6) == 6
    earliest = await client.ask(kit.list_offsets_request(1, -2))
    assert earliest.topics[0].partitions[0].offset == 2
    cluster.validate()
