"""Fetch, ListOffsets, DeleteRecords through the listener: limits, waits, mid-batch offsets, read plans."""

import asyncio
from typing import Any

import pytest
from kio.schema.errors import ErrorCode


def only(response: Any) -> Any:
    ((partition,),) = (topic.partitions for topic in response.responses)
    return partition


async def fill(client: Any, kit: Any, *values: bytes, number: int = 0) -> None:
    for value in values:
        await client.ask(kit.produce_request({number: kit.batch(value)}))


@pytest.mark.parametrize("version", [4, 5, 7, 10, 11, 12, 13, 15, 17, 18])
async def test_every_version_gets_the_records(cluster: Any, kit: Any, version: int) -> None:
    client = await cluster.lead(kit.assignment())
    await fill(client, kit, b"a", b"b")
    partition = only(await client.ask(kit.fetch_request({0: 0}, version=version)))
    assert partition.error_code is ErrorCode.none
    assert kit.values_of(partition.records) == [b"a", b"b"]
    assert (partition.high_watermark, partition.last_stable_offset) == (2, 2)


async def test_offset_inside_a_batch_gets_the_whole_batch(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment())
    await client.ask(kit.produce_request({0: kit.batch(b"a", b"b", b"c")}))
    assert kit.values_of(only(await client.ask(kit.fetch_request({0: 1}))).records) == [b"a", b"b", b"c"]


async def test_offset_outside_the_log_is_out_of_range_and_at_its_end_empty(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment())
    await fill(client, kit, b"a")
    assert only(await client.ask(kit.fetch_request({0: 2}))).error_code is ErrorCode.offset_out_of_range
    assert only(await client.ask(kit.fetch_request({0: -5}))).error_code is ErrorCode.offset_out_of_range
    at_end = only(await client.ask(kit.fetch_request({0: 1})))
    assert (at_end.error_code, at_end.records) == (ErrorCode.none, b"")
    assert only(await client.ask(kit.fetch_request({3: 0}))).error_code is ErrorCode.not_leader_or_follower


async def test_limits_are_kept_but_the_first_batch_comes_whole(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment(0), kit.assignment(1))
    await fill(client, kit, bytes(1000), bytes(1000), bytes(1000))
    await fill(client, kit, bytes(1000), number=1)
    small = only(await client.ask(kit.fetch_request({0: 0}, partition_max_bytes=10)))
    assert len(kit.values_of(small.records)) == 1
    two = only(await client.ask(kit.fetch_request({0: 0}, partition_max_bytes=2500)))
    assert len(kit.values_of(two.records)) == 2
    response = await client.ask(kit.fetch_request({0: 0, 1: 0}, max_bytes=100))
    sizes = {p.partition_index: len(p.records) for p in response.responses[0].partitions}
    assert sizes[0] > 1000 and sizes[1] == 0


async def test_waiting_fetch_is_woken_by_a_produce(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment(0), kit.assignment(1))
    waiting = client.send(kit.fetch_request({0: 0, 1: 0}, max_wait_ms=30_000))
    assert only_empty(await client.ask(kit.fetch_request({0: 0})))
    assert not waiting.done()
    await fill(client, kit, b"woken", number=1)
    async with asyncio.timeout(5):
        response = await waiting
    records = {p.partition_index: p.records for p in response.responses[0].partitions}
    assert records[0] == b"" and kit.values_of(records[1]) == [b"woken"]


def only_empty(response: Any) -> bool:
    return bool(only(response).records == b"")


async def test_wait_ends_with_min_bytes_not_with_the_first_record(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment())
    waiting = client.send(kit.fetch_request({0: 0}, min_bytes=500, max_wait_ms=30_000))
    await fill(client, kit, bytes(100))
    await client.ask(kit.fetch_request({0: 0}))
    assert not waiting.done()
    await fill(client, kit, bytes(400))
    async with asyncio.timeout(5):
        assert len(kit.values_of(only(await waiting).records)) == 2


async def test_min_bytes_above_max_bytes_waits_for_no_more_than_max_bytes(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment())
    await fill(client, kit, bytes(1000), bytes(1000))
    response = await client.ask(kit.fetch_request({0: 0}, min_bytes=1 << 20, max_bytes=1000, max_wait_ms=30_000))
    assert len(kit.values_of(only(response).records)) == 1


async def test_read_committed_without_transactions_reads_to_the_high_watermark(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment())
    await fill(client, kit, b"a", b"b")
    partition = only(await client.ask(kit.fetch_request({0: 0}, isolation_level=1)))
    assert kit.values_of(partition.records) == [b"a", b"b"]
    assert partition.aborted_transactions == ()


async def test_wait_ends_with_max_wait(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment())
    await fill(client, kit, b"a")
    response = await client.ask(kit.fetch_request({0: 0}, min_bytes=10_000, max_wait_ms=20))
    assert kit.values_of(only(response).records) == [b"a"]


async def test_wait_only_fetch_tells_watermarks_without_records(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment())
    waiting = client.send(kit.fetch_request({0: 0}, max_bytes=0, max_wait_ms=30_000))
    await client.ask(kit.fetch_request({0: 0}))
    assert not waiting.done()
    await fill(client, kit, b"a")
    async with asyncio.timeout(5):
        partition = only(await waiting)
    assert (partition.high_watermark, partition.records) == (1, b"")
    again = only(await client.ask(kit.fetch_request({0: 0}, max_bytes=0, max_wait_ms=30_000)))
    assert again.high_watermark == 1


async def test_waiting_fetch_hears_of_a_released_partition_and_of_deleted_records(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment(0), kit.assignment(1))
    await fill(client, kit, b"a", b"b")
    moved = client.send(kit.fetch_request({1: 0}, max_wait_ms=30_000))
    deleted = client.send(kit.fetch_request({0: 0}, min_bytes=10_000, max_wait_ms=30_000))
    await client.ask(kit.delete_records_request(0, 1))
    await cluster.controller.assign(kit.assignment(0))
    async with asyncio.timeout(5):
        assert only(await moved).error_code is ErrorCode.not_leader_or_follower
        assert only(await deleted).error_code is ErrorCode.offset_out_of_range


class TestReadPlans:
    """The tail cache is small, so that older batches are only in the bucket."""

    @pytest.fixture
    def plan_ahead_bytes(self) -> int:
        return 0

    @pytest.fixture
    async def client(self, cluster: Any, kit: Any, plan_ahead_bytes: int) -> Any:
        await cluster.controller.assign(kit.assignment())
        limits = {"tail_cache_bytes": 2500, "plan_run_bytes_max": 3000, "plan_ahead_bytes": plan_ahead_bytes}
        leader = await cluster.start(leader_limits=limits)
        client = await cluster.client()
        for n in range(20):
            await fill(client, kit, b"%02d" % n + bytes(1000))
            if n % 5 == 4:
                await leader._parts.flusher.flush()
        return client

    async def test_old_offsets_get_a_plan_that_holds_them_and_recent_ones_records(
        self, cluster: Any, kit: Any, client: Any
    ) -> None:
        seen: list[bytes] = []
        kinds = []
        while len(seen) < 20:
            response = await client.ask(kit.fetch_request({0: len(seen)}, partition_max_bytes=2500))
            kinds.append(client.has_plan(response))
            records = await cluster.records_of(client, response)
            assert next(kit.headers(records)).base_offset == len(seen)
            seen += [value[:2] for value in kit.values_of(records)]
        assert seen == [b"%02d" % n for n in range(20)]
        assert kinds[0] and not kinds[-1] and kinds == sorted(kinds, reverse=True)

    @pytest.mark.parametrize("plan_ahead_bytes", [10_000])
    async def test_plan_leads_further_than_the_fetch_asks_and_counts_what_it_asks(
        self, cluster: Any, kit: Any, client: Any
    ) -> None:
        response = await client.ask(kit.fetch_request({0: 0}, partition_max_bytes=2500))
        records = await cluster.records_of(client, response)
        assert 10_000 < len(records) <= 12_500

    async def test_plan_starts_with_the_run_that_holds_an_offset_in_its_middle(
        self, cluster: Any, kit: Any, client: Any
    ) -> None:
        response = await client.ask(kit.fetch_request({0: 1}))
        assert client.has_plan(response)
        records = await cluster.records_of(client, response)
        assert b"01" in [value[:2] for value in kit.values_of(records)]

    async def test_older_batches_are_answered_at_once_whatever_min_bytes_says(self, client: Any, kit: Any) -> None:
        response = await client.ask(kit.fetch_request({0: 0}, min_bytes=1_000_000, max_wait_ms=30_000))
        assert client.has_plan(response)
        waited = await client.ask(kit.fetch_request({0: 0}, min_bytes=1_000_000, max_bytes=0, max_wait_ms=30_000))
        assert not client.has_plan(waited) and only_empty(waited)

    async def test_timestamps_are_found_in_the_bucket(self, cluster: Any, kit: Any, client: Any) -> None:
        records = await cluster.records_of(client, await client.ask(kit.fetch_request({0: 0})))
        first = next(kit.headers(records)).base_timestamp_ms
        found = await client.ask(kit.list_offsets_request(0, first))
        assert found.topics[0].partitions[0].offset == 0

    async def test_internal_read_reaches_from_the_bucket_into_memory(self, cluster: Any, kit: Any, client: Any) -> None:
        log = cluster.leaders[-1]._parts.context.internal_log
        partition = kit.assignment().partition
        start, end = log.bounds_internal(partition)
        seen: list[bytes] = []
        while start < end:
            records = bytes(await log.read_internal(partition, start, 1500))
            seen += [value[:2] for value in kit.values_of(records)]
            start = [header.last_offset for header in kit.headers(records)][-1] + 1
        assert seen == [b"%02d" % n for n in range(20)]
        assert await log.read_internal(partition, end, 1500) == b""


@pytest.mark.parametrize("version", [1, 2, 5, 7, 10, 11])
async def test_list_offsets_in_every_version(cluster: Any, kit: Any, version: int) -> None:
    client = await cluster.lead(kit.assignment())
    for n in range(5):
        await client.ask(kit.produce_request({0: kit.batch(b"v", timestamp_ms=1_000 + 10 * (n if n < 4 else 1))}))

    async def offset_of(timestamp: int) -> int:
        response = await client.ask(kit.list_offsets_request(0, timestamp, version=version))
        return int(response.topics[0].partitions[0].offset)

    assert [await offset_of(spec) for spec in (-1, -2, 1_000, 1_011, 1_030, 1_031)] == [5, 0, 0, 2, 3, -1]
    if version >= 7:
        assert await offset_of(-3) == 3


async def test_delete_records_refuses_what_is_not_there(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment())
    await fill(client, kit, b"a")
    beyond = (await client.ask(kit.delete_records_request(0, 2))).topics[0].partitions[0]
    assert (beyond.error_code, beyond.low_watermark) == (ErrorCode.offset_out_of_range, -1)
    unknown = (await client.ask(kit.delete_records_request(9, 0))).topics[0].partitions[0]
    assert unknown.error_code is ErrorCode.not_leader_or_follower


async def test_delete_records_times_out_while_the_bucket_is_away_and_takes_effect_later(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment())
    await fill(client, kit, b"a", b"b")
    cluster.store.shut()
    answer = (await client.ask(kit.delete_records_request(0, 1, timeout_ms=1))).topics[0].partitions[0]
    assert answer.error_code is ErrorCode.request_timed_out
    assert kit.values_of(only(await client.ask(kit.fetch_request({0: 0}))).records) == [b"a", b"b"]
    cluster.store.release()
    again = (await client.ask(kit.delete_records_request(0, 1))).topics[0].partitions[0]
    assert (again.error_code, again.low_watermark) == (ErrorCode.none, 1)


async def test_log_dirs_show_the_bytes_of_each_partition(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment(0), kit.assignment(1))
    batch = kit.batch(bytes(1000))
    await client.ask(kit.produce_request({1: batch}))
    types = kit.request_types(35, 4)
    response = await client.ask(types.DescribeLogDirsRequest(topics=None))
    (directory,) = response.results
    (topic,) = directory.topics
    assert directory.log_dir == "memory://"
    assert {p.partition_index: p.partition_size for p in topic.partitions} == {0: 0, 1: len(batch)}
    some = types.DescribeLogDirsRequest(topics=(types.DescribableLogDirTopic(topic=kit.TOPIC, partitions=(0, 8)),))
    (directory,) = (await client.ask(some)).results
    assert [p.partition_index for p in directory.topics[0].partitions] == [0]
