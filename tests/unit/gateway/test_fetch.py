"""Fetch through the gateway: passed through, joined from several leaders, waited for, and read from the bucket."""

import asyncio
from uuid import UUID

import pytest
from kio.schema.errors import ErrorCode

from gateway.messages import make, request_types, response_types
from raylog.protocol.batch import Record, encode_batch, read_header
from raylog.protocol.gather import RecordsParts
from raylog.protocol.internal import PLAN_BIT
from raylog.protocol.wire import NO_THROTTLE, ms, to_ms
from raylog.storage.read_plan import ObjectRange, encode_read_plan


def fetch(
    offsets,
    *,
    version=12,
    max_wait_ms=10_000,
    min_bytes=1,
    max_bytes=1 << 20,
    part_bytes=1 << 20,
    epoch=-1,
    isolation=0,
):
    """A request of {(topic, partition): offset}; the topic is an id from version 13 on."""
    types = request_types(1, version)
    topics = {}
    for (topic, partition), offset in offsets.items():
        values = {
            "partition": partition,
            "fetch_offset": offset,
            "partition_max_bytes": part_bytes,
            "log_start_offset": -1,
        }
        topics.setdefault(topic, []).append(make(types.FetchPartition, values))
    values = {
        "replica_id": -1,
        "max_wait": ms(max_wait_ms),
        "min_bytes": min_bytes,
        "max_bytes": max_bytes,
        "isolation_level": isolation,
        "session_id": 0,
        "session_epoch": epoch,
        "topics": tuple(
            make(types.FetchTopic, {"topic": name, "topic_id": name, "partitions": tuple(found)})
            for name, found in topics.items()
        ),
        "forgotten_topics_data": (),
        "rack_id": "",
    }
    return make(types.FetchRequest, values)


def batch(offset, count=1, size=10):
    return encode_batch([Record(value=bytes(size), timestamp_ms=1) for _ in range(count)], base_offset=offset)


class Log:
    """A script of a leader with batches per partition number, waits and the wait-only convention (max_bytes 0)."""

    def __init__(self):
        self.batches = {}
        self.plans = {}
        self.grew = asyncio.Event()
        self.waits = 0

    def append(self, partition, *batches):
        self.batches.setdefault(partition, []).extend(batches)
        grew, self.grew = self.grew, asyncio.Event()
        grew.set()

    def records(self, partition, offset):
        return [found for found in self.batches.get(partition, []) if read_header(found).last_offset >= offset]

    def available(self, request):
        if any(part.partition in self.plans for topic in request.topics for part in topic.partitions):
            return request.min_bytes
        return sum(
            sum(map(len, self.records(part.partition, part.fetch_offset)))
            for topic in request.topics
            for part in topic.partitions
        )

    async def __call__(self, head, request):
        if to_ms(request.max_wait) and self.available(request) < request.min_bytes:
            self.waits += 1
            try:
                async with asyncio.timeout(to_ms(request.max_wait) / 1000):
                    while self.available(request) < request.min_bytes:
                        await self.grew.wait()
            except TimeoutError:
                pass
        left = request.max_bytes
        topics = []
        for topic in request.topics:
            partitions = []
            for part in topic.partitions:
                found = RecordsParts()
                for records in self.records(part.partition, part.fetch_offset):
                    if left > 0:
                        found.extend([records])
                        left -= len(records)
                plan = self.plans.get(part.partition) if request.max_bytes else None
                partitions.append(
                    answered(head.api_version, part, found if plan is None else plan, has_plan=plan is not None)
                )
            topics.append((topic, partitions))
        return response(head.api_version, topics)


def answered(version, part, records, *, has_plan=False, high_watermark=1000, last_stable_offset=1000):
    values = {
        "partition_index": part.partition,
        "error_code": ErrorCode.none,
        "high_watermark": high_watermark,
        "last_stable_offset": last_stable_offset,
        "log_start_offset": 0,
        "aborted_transactions": None,
        "preferred_read_replica": -2 if has_plan else -1,
        "records": records,
    }
    return make(response_types(1, version).PartitionData, values)


def response(version, topics):
    types = response_types(1, version)
    values = {
        "throttle_time": NO_THROTTLE,
        "error_code": ErrorCode.none,
        "session_id": 0,
        "responses": tuple(
            make(
                types.FetchableTopicResponse,
                {
                    "topic": getattr(topic, "topic", None),
                    "topic_id": getattr(topic, "topic_id", None),
                    "partitions": tuple(found),
                },
            )
            for topic, found in topics
        ),
    }
    return make(types.FetchResponse, values)


def records_of(answer):
    return {
        (getattr(topic, "topic", None) or topic.topic_id, part.partition_index): bytes(part.records or b"")
        for topic in answer.responses
        for part in topic.partitions
    }


def errors_of(answer):
    return {
        (getattr(topic, "topic", None) or topic.topic_id, part.partition_index): part.error_code
        for topic in answer.responses
        for part in topic.partitions
    }


@pytest.mark.parametrize("version", range(4, 19))
async def test_every_version_goes_through_to_the_one_leader(world, version):
    log = Log()
    log.append(0, batch(0), batch(1))
    log.append(1, batch(0))
    await world.leader(1, log)
    topic_id = await world.topic("t", [1, 1])
    name = topic_id if version >= 13 else "t"
    answer = await (await world.client()).ask(fetch({(name, 0): 1, (name, 1): 0}, version=version))
    assert records_of(answer) == {(name, 0): batch(1), (name, 1): batch(0)}


async def test_answers_of_several_leaders_come_as_one_in_the_order_asked(world):
    first, second = Log(), Log()
    first.append(0, batch(0))
    second.append(1, batch(0, size=20))
    await world.leader(1, first)
    await world.leader(2, second)
    await world.topic("t", [1, 2, 1])
    answer = await (await world.client()).ask(fetch({("t", 2): 0, ("t", 1): 0, ("t", 0): 0}))
    assert list(records_of(answer).items()) == [(("t", 2), b""), (("t", 1), batch(0, size=20)), (("t", 0), batch(0))]
    assert (first.waits, second.waits) == (0, 0)


async def test_a_tiny_limit_gives_one_batch_of_one_leader(world):
    first, second = Log(), Log()
    first.append(0, batch(0))
    second.append(1, batch(0))
    await world.leader(1, first)
    await world.leader(2, second)
    await world.topic("t", [1, 2])
    client = await world.client()
    for order in ((0, 1), (1, 0)):
        answer = await client.ask(fetch({("t", partition): 0 for partition in order}, max_bytes=1))
        assert list(records_of(answer).values()) == [batch(0), b""]


async def test_a_fetch_over_several_leaders_wakes_when_any_of_them_has_records(world):
    first, second = Log(), Log()
    await world.leader(1, first)
    await world.leader(2, second)
    await world.topic("t", [1, 2])
    client = await world.client()
    client.send(fetch({("t", 0): 0, ("t", 1): 0}, max_wait_ms=60_000))
    await world.until(lambda: first.waits == second.waits == 1)
    second.append(1, batch(0))
    assert records_of((await client.receive())[1]) == {("t", 0): b"", ("t", 1): batch(0)}


async def test_min_bytes_is_met_by_the_sum_of_several_leaders(world):
    first, second = Log(), Log()
    await world.leader(1, first)
    await world.leader(2, second)
    await world.topic("t", [1, 2])
    client = await world.client()
    one = batch(0, size=100)
    client.send(fetch({("t", 0): 0, ("t", 1): 0}, max_wait_ms=60_000, min_bytes=2 * len(one)))
    await world.until(lambda: first.waits == second.waits == 1)
    first.append(0, one)
    await world.until(lambda: first.waits == second.waits == 2)
    second.append(1, one)
    assert records_of((await client.receive())[1]) == {("t", 0): one, ("t", 1): one}


async def test_a_fetch_over_several_leaders_waits_for_no_more_bytes_than_it_may_return(world):
    first, second = Log(), Log()
    first.append(0, batch(0))
    await world.leader(1, first)
    await world.leader(2, second)
    await world.topic("t", [1, 2])
    client = await world.client()
    answer = await client.ask(
        fetch({("t", 0): 0, ("t", 1): 0}, max_wait_ms=60_000, min_bytes=10_000, max_bytes=len(batch(0)))
    )
    assert records_of(answer) == {("t", 0): batch(0), ("t", 1): b""}
    assert first.waits == second.waits == 0


async def test_a_fetch_over_several_leaders_answers_what_there_is_when_its_time_is_over(world):
    first, second = Log(), Log()
    first.append(0, batch(0))
    await world.leader(1, first)
    await world.leader(2, second)
    await world.topic("t", [1, 2])
    answer = await (await world.client()).ask(fetch({("t", 0): 0, ("t", 1): 0}, max_wait_ms=50, min_bytes=10_000))
    assert records_of(answer) == {("t", 0): batch(0), ("t", 1): b""}


async def test_partitions_without_a_leader_are_answered_at_once_beside_the_others(world):
    log = Log()
    await world.leader(1, log)
    await world.topic("t", [1, 9])
    answer = await (await world.client()).ask(
        fetch({("t", 0): 0, ("t", 1): 0, ("t", 5): 0, ("u", 0): 0}, max_wait_ms=60_000)
    )
    assert errors_of(answer) == {
        ("t", 0): ErrorCode.none,
        ("t", 1): ErrorCode.leader_not_available,
        ("t", 5): ErrorCode.unknown_topic_or_partition,
        ("u", 0): ErrorCode.unknown_topic_or_partition,
    }


async def test_ids_that_no_topic_has_are_answered_with_as_much(world):
    topic_id = await world.topic("t", [1])
    log = Log()
    log.append(0, batch(0))
    await world.leader(1, log)
    client = await world.client()
    nobody = UUID(int=7)
    answer = await client.ask(fetch({(None, 0): 0, (topic_id, 0): 0, (nobody, 0): 0}, version=13))
    unknown = ErrorCode.unknown_topic_id
    assert errors_of(answer) == {(None, 0): unknown, (topic_id, 0): ErrorCode.none, (nobody, 0): unknown}
    assert records_of(answer)[topic_id, 0] == batch(0)


async def test_a_leader_that_goes_away_fails_its_partitions_only(world):
    log = Log()
    log.append(1, batch(0))
    gone = await world.leader(1, lambda head, request: None)
    await world.leader(2, log)
    await world.topic("t", [1, 2])
    client = await world.client()
    client.send(fetch({("t", 0): 0, ("t", 1): 0}), fetch({("t", 0): 0}))
    await gone.received(1)
    await gone.kill()
    assert errors_of((await client.receive())[1]) == {
        ("t", 0): ErrorCode.not_leader_or_follower,
        ("t", 1): ErrorCode.none,
    }
    assert errors_of((await client.receive())[1]) == {("t", 0): ErrorCode.not_leader_or_follower}


async def test_sessions_are_never_made_and_never_found(world):
    log = Log()
    log.append(0, batch(0))
    await world.leader(1, log)
    await world.topic("t", [1])
    client = await world.client()
    for epoch in (0, -1):
        answer = await client.ask(fetch({("t", 0): 0}, epoch=epoch))
        assert (answer.error_code, answer.session_id) == (ErrorCode.none, 0)
    answer = await client.ask(fetch({("t", 0): 0}, epoch=1))
    assert answer.error_code is ErrorCode.fetch_session_id_not_found
    assert answer.responses == ()


async def planned(world, log, partition, batches, key="o/1", per_range=2):
    """Put batches into the bucket, and a plan for them into the log."""
    body, ranges = bytearray(b"header"), []
    for at in range(0, len(batches), per_range):
        run = batches[at : at + per_range]
        first, last = read_header(run[0]).base_offset, read_header(run[-1]).last_offset
        ranges.append(ObjectRange(key, len(body), sum(map(len, run)), first, last))
        body += b"".join(run)
    await world.store.put(key, [bytes(body)])
    log.plans[partition] = encode_read_plan(ranges)


@pytest.mark.parametrize("version", [4, 11, 12])
async def test_read_plans_are_read_from_the_bucket(world, version):
    log = Log()
    batches = [batch(offset, count=2) for offset in range(0, 20, 2)]
    leader = await world.leader(1, log)
    leader.plan_bit = PLAN_BIT
    await world.topic("t", [1])
    await planned(world, log, 0, batches)
    client = await world.client()
    answer = await client.ask(fetch({("t", 0): 5}, version=version))
    assert records_of(answer) == {("t", 0): b"".join(batches[2:])}
    (part,) = answer.responses[0].partitions
    assert getattr(part, "preferred_read_replica", -1) == -1
    assert part.high_watermark == 1000


async def test_planned_reads_keep_the_limits_of_partition_and_request(world):
    log = Log()
    batches = [batch(offset) for offset in range(10)]
    size = len(batches[0])
    leader = await world.leader(1, log)
    leader.plan_bit = PLAN_BIT
    await world.topic("t", [1, 1])
    await planned(world, log, 0, batches, key="o/1", per_range=2)
    await planned(world, log, 1, batches, key="o/2", per_range=3)
    client = await world.client()
    two = await client.ask(fetch({("t", 0): 0, ("t", 1): 0}, part_bytes=3 * size + 1, max_bytes=5 * size + 1))
    # Of a range that does not fit behind another, nothing; of the first one, what fits.
    assert records_of(two) == {("t", 0): b"".join(batches[:2]), ("t", 1): b"".join(batches[:2])}
    small = await client.ask(fetch({("t", 0): 7, ("t", 1): 3}, part_bytes=1, max_bytes=1))
    assert records_of(small) == {("t", 0): batches[7], ("t", 1): b""}


async def test_planned_reads_end_at_what_the_isolation_level_shows(world):
    batches = [batch(offset) for offset in range(10)]

    class Bounded(Log):
        async def __call__(self, head, request):
            topic = request.topics[0]
            part = answered(
                head.api_version,
                topic.partitions[0],
                self.plans[0],
                has_plan=True,
                high_watermark=8,
                last_stable_offset=3,
            )
            return response(head.api_version, [(topic, [part])])

    log = Bounded()
    leader = await world.leader(1, log)
    leader.plan_bit = PLAN_BIT
    await world.topic("t", [1])
    await planned(world, log, 0, batches, per_range=4)
    client = await world.client()
    uncommitted = await client.ask(fetch({("t", 0): 0}, isolation=0))
    assert records_of(uncommitted) == {("t", 0): b"".join(batches[:8])}
    committed = await client.ask(fetch({("t", 0): 1}, isolation=1))
    assert records_of(committed) == {("t", 0): b"".join(batches[1:3])}


async def test_an_object_that_is_gone_makes_the_gateway_ask_once_more(world):
    log = Log()
    leader = await world.leader(1, log)
    leader.plan_bit = PLAN_BIT
    await world.topic("t", [1])
    gone = encode_read_plan([ObjectRange("o/gone", 0, 10, 0, 5)])
    batches = [batch(0), batch(1)]
    await planned(world, log, 0, batches, key="o/new")
    fresh = log.plans[0]
    plans = [gone, fresh]

    class Moving(Log):
        async def __call__(self, head, request):
            self.plans[0] = plans.pop(0)
            return await super().__call__(head, request)

    leader.script = Moving()
    client = await world.client()
    assert records_of(await client.ask(fetch({("t", 0): 0}))) == {("t", 0): b"".join(batches)}
    plans += [gone, gone]
    assert errors_of(await client.ask(fetch({("t", 0): 0}))) == {("t", 0): ErrorCode.kafka_storage_error}


async def test_a_fetch_asks_for_no_more_than_the_gateways_limit(make_world):
    world = await make_world(fetch_bytes_max=5000)
    leader = await world.leader(1, Log())
    await world.topic("t", [1])
    await (await world.client()).ask(fetch({("t", 0): 0}, max_bytes=2**31 - 1, min_bytes=0))
    assert leader.requests[0].max_bytes == 5000


async def test_one_fetch_of_a_connection_runs_at_a_time(world):
    log = Log()
    leader = await world.leader(1, log)
    await world.topic("t", [1])
    client, other = await world.client(), await world.client()
    client.send(*(fetch({("t", 0): 0}) for _ in range(3)))
    await leader.received(1)
    other.send(fetch({("t", 0): 0}))
    await leader.received(2)
    assert len(leader.requests) == 2
    log.append(0, batch(0))
    for _ in range(3):
        assert records_of((await client.receive())[1]) == {("t", 0): batch(0)}
