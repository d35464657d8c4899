"""Produce through the gateway: what is refused here, what is passed on, split and joined, and what clients are told of leaders
that are gone."""

import asyncio
from dataclasses import replace

import pytest
from kio.schema.errors import ErrorCode

from gateway.messages import make, request_types, response_types
from raylog.model.ids import LeaderId
from raylog.protocol.batch import Record, encode_batch, headers
from raylog.protocol.wire import NO_THROTTLE, ms

BATCH = encode_batch([Record(key=b"k", value=b"v", timestamp_ms=1)])


def produce(parts, *, version=9, acks=-1, timeout_ms=30_000, ids=None):
    """A request of {(topic, partition): records}."""
    types = request_types(0, version)
    topics = {}
    for (topic, partition), records in parts.items():
        topics.setdefault(topic, []).append(types.PartitionProduceData(index=partition, records=records))
    return types.ProduceRequest(
        acks=acks,
        timeout=ms(timeout_ms),
        topic_data=tuple(
            make(
                types.TopicProduceData, {"name": name, "topic_id": (ids or {}).get(name), "partition_data": tuple(data)}
            )
            for name, data in topics.items()
        ),
    )


def produced(version, request, offset):
    types = response_types(0, version)
    return types.ProduceResponse(
        throttle_time=NO_THROTTLE,
        responses=tuple(
            make(
                types.TopicProduceResponse,
                {
                    "name": getattr(topic, "name", None),
                    "topic_id": getattr(topic, "topic_id", None),
                    "partition_responses": tuple(
                        make(
                            types.PartitionProduceResponse,
                            {
                                "index": part.index,
                                "error_code": ErrorCode.none,
                                "base_offset": offset + part.index,
                                "record_errors": (),
                            },
                        )
                        for part in topic.partition_data
                    ),
                },
            )
            for topic in request.topic_data
        ),
    )


def results(response):
    return {
        (getattr(topic, "name", None) or topic.topic_id, part.index): (part.error_code, part.base_offset)
        for topic in response.responses
        for part in topic.partition_responses
    }


def log(offset=0):
    return lambda head, request: produced(head.api_version, request, offset)


@pytest.mark.parametrize("version", range(3, 14))
async def test_every_version_goes_through_to_the_one_leader_as_it_came(world, version):
    leader = await world.leader(1, log(100))
    topic_id = await world.topic("t", [1, 1])
    client = await world.client()
    answer = await client.ask(produce({("t", 0): BATCH, ("t", 1): BATCH}, version=version, ids={"t": topic_id}))
    name = topic_id if version == 13 else "t"
    assert results(answer) == {(name, 0): (ErrorCode.none, 100), (name, 1): (ErrorCode.none, 101)}
    (request,) = leader.requests
    assert [part.records for part in request.topic_data[0].partition_data] == [BATCH, BATCH]
    assert leader.heads[0].client_id == "tester"


async def test_partitions_of_several_leaders_are_split_and_joined(world):
    first, second = await world.leader(1, log(100)), await world.leader(2, log(200))
    await world.topic("t", [1, 2, 1])
    await world.topic("u", [2])
    client = await world.client()
    answer = await client.ask(produce({("t", 0): BATCH, ("t", 1): BATCH, ("t", 2): BATCH, ("u", 0): BATCH}))
    assert results(answer) == {
        ("t", 0): (ErrorCode.none, 100),
        ("t", 1): (ErrorCode.none, 201),
        ("t", 2): (ErrorCode.none, 102),
        ("u", 0): (ErrorCode.none, 200),
    }
    assert {(t.name, p.index) for t in first.requests[0].topic_data for p in t.partition_data} == {("t", 0), ("t", 2)}
    assert {(t.name, p.index) for t in second.requests[0].topic_data for p in t.partition_data} == {("t", 1), ("u", 0)}


def corrupted(batch):
    return batch[:-1] + bytes([batch[-1] ^ 1])


@pytest.mark.parametrize(
    ("records", "error"),
    [
        (corrupted(BATCH), ErrorCode.corrupt_message),
        (BATCH[:-3], ErrorCode.corrupt_message),
        (encode_batch([Record(value=bytes(2000), timestamp_ms=1)]), ErrorCode.message_too_large),
        (b"", ErrorCode.invalid_record),
        (None, ErrorCode.invalid_record),
        (bytes(16) + b"\1" + bytes(20), ErrorCode.unsupported_for_message_format),
    ],
)
async def test_bad_batches_are_refused_here_and_the_good_ones_go_on(world, records, error):
    leader = await world.leader(1, log(7))
    await world.topic("t", [1, 1], max_message_bytes="1000")
    client = await world.client()
    answer = await client.ask(produce({("t", 0): records, ("t", 1): BATCH}))
    assert results(answer) == {("t", 0): (error, -1), ("t", 1): (ErrorCode.none, 8)}
    assert [part.index for part in leader.requests[0].topic_data[0].partition_data] == [1]


async def test_what_cannot_be_routed_is_answered_without_asking_a_leader(world):
    await world.leader(1, log(0))
    await world.topic("t", [1, 99])
    client = await world.client()
    answer = await client.ask(produce({("t", 1): BATCH, ("t", 2): BATCH, ("nobody", 0): BATCH}))
    assert {key: code for key, (code, _) in results(answer).items()} == {
        ("t", 1): ErrorCode.leader_not_available,
        ("t", 2): ErrorCode.unknown_topic_or_partition,
        ("nobody", 0): ErrorCode.unknown_topic_or_partition,
    }
    unknown = await client.ask(produce({("t", 0): BATCH}, version=13, ids={"t": None}))
    assert [code for code, _ in results(unknown).values()] == [ErrorCode.unknown_topic_id]


async def test_acks_other_than_all_one_and_none_are_refused(world):
    leader = await world.leader(1, log(0))
    await world.topic("t", [1])
    answer = await (await world.client()).ask(produce({("t", 0): BATCH}, acks=2))
    assert results(answer) == {("t", 0): (ErrorCode.invalid_required_acks, -1)}
    assert leader.requests == []


async def test_a_leader_that_goes_away_with_a_request_is_answered_as_a_time_out_for_its_records_may_be_there(world):
    leader = await world.leader(1, lambda head, request: None)
    await world.leader(2, log(5))
    await world.topic("t", [1, 2])
    client = await world.client()
    client.send(produce({("t", 0): BATCH}), produce({("t", 0): BATCH, ("t", 1): BATCH}))
    await leader.received(2)
    await leader.kill()
    assert results((await client.receive())[1]) == {("t", 0): (ErrorCode.request_timed_out, -1)}
    assert results((await client.receive())[1]) == {
        ("t", 0): (ErrorCode.request_timed_out, -1),
        ("t", 1): (ErrorCode.none, 6),
    }


async def test_a_leader_that_cannot_have_got_a_request_is_answered_as_no_leader(world):
    leader = await world.leader(1, lambda head, request: None)
    await world.topic("t", [1])
    await leader.kill()
    client = await world.client()
    client.send(produce({("t", 0): BATCH}))
    assert results((await client.receive())[1]) == {("t", 0): (ErrorCode.not_leader_or_follower, -1)}


async def test_pipelined_requests_reach_the_leader_in_their_order(world):
    leader = await world.leader(1, log(0))
    await world.leader(2, log(0))
    await world.topic("t", [1, 2])
    client = await world.client()
    batches = [encode_batch([Record(value=bytes([n]), timestamp_ms=n)]) for n in range(60)]
    requests = [
        produce({("t", 0): batch, ("t", 1): BATCH} if n % 3 == 0 else {("t", 0): batch}, acks=0 if n % 7 == 0 else 1)
        for n, batch in enumerate(batches)
    ]
    ids = client.send(*requests)
    expected = [correlation_id for n, correlation_id in enumerate(ids) if n % 7]
    assert [(await client.receive())[0] for _ in expected] == expected
    sent = [part.records for r in leader.requests for t in r.topic_data for part in t.partition_data if part.index == 0]
    assert sent == batches


async def test_acks_0_has_no_answer_and_an_error_closes_the_connection(world):
    leader = await world.leader(1, log(0))
    await world.topic("t", [1])
    client = await world.client()
    client.send(produce({("t", 0): BATCH}, acks=0))
    _, answer = (client.send(produce({("t", 0): BATCH})), await client.receive())
    assert answer[0] == 2
    assert [request.acks for request in leader.requests] == [1, -1]
    client.send(produce({("t", 0): corrupted(BATCH)}, acks=0))
    assert await client.is_closed()


async def test_bytes_under_way_to_one_leader_hold_up_only_who_sends_them(make_world):
    world = await make_world(leader_bytes_max=10_000)
    gate = asyncio.Event()

    async def stalled(head, request):
        await gate.wait()
        return produced(head.api_version, request, 0)

    slow = await world.leader(1, stalled)
    await world.leader(2, log(0))
    await world.topic("slow", [1])
    await world.topic("quick", [2])
    batch = encode_batch([Record(value=bytes(3000), timestamp_ms=1)])
    client, other = await world.client(), await world.client()
    client.send(*(produce({("slow", 0): batch}) for _ in range(20)))
    await slow.received(4)
    assert results(await other.ask(produce({("quick", 0): batch}))) == {("quick", 0): (ErrorCode.none, 0)}
    assert len(slow.requests) == 4
    gate.set()
    for _ in range(20):
        await client.receive()


async def test_a_large_batch_arrives_byte_for_byte(world):
    leader = await world.leader(1, log(0))
    await world.topic("t", [1], max_message_bytes="20000000")
    batch = encode_batch([Record(value=bytes(range(256)) * 40_000, timestamp_ms=1)])
    answer = await (await world.client()).ask(produce({("t", 0): batch}))
    assert results(answer) == {("t", 0): (ErrorCode.none, 0)}
    received = leader.requests[0].topic_data[0].partition_data[0].records
    assert received == batch
    assert len(list(headers(received))) == 1


def not_led(*partitions):
    """Answers NOT_LEADER_OR_FOLLOWER for these partitions, and takes the others."""

    def script(head, request):
        answer = produced(head.api_version, request, 100)
        return replace(
            answer,
            responses=tuple(
                replace(
                    topic,
                    partition_responses=tuple(
                        replace(part, error_code=ErrorCode.not_leader_or_follower, base_offset=-1)
                        if part.index in partitions
                        else part
                        for part in topic.partition_responses
                    ),
                )
                for topic in answer.responses
            ),
        )

    return script


async def moving(world, leaders, **changes):
    """The topic "t"; its first partition's route is changed so."""
    topic_id = await world.topic("t", leaders)
    topic = world.controller.table.topics["t"]
    first, *others = topic.partitions
    moved = replace(topic, partitions=(replace(first, **changes), *others))
    world.controller.publish(topics={"t": moved})
    await world.settled()
    return topic_id


@pytest.mark.parametrize("version", [3, 9, 13])
async def test_a_partition_that_has_just_been_handed_over_is_asked_for_where_it_goes(world, version):
    """The frame is passed on to one leader; of two partitions one has left it."""
    first, second = await world.leader(1, not_led(0)), await world.leader(2, log(200))
    topic_id = await moving(world, [1, 1], moving_to=LeaderId(2))
    request = produce({("t", 0): BATCH, ("t", 1): BATCH}, version=version, ids={"t": topic_id})
    answer = await (await world.client()).ask(request)
    name = topic_id if version == 13 else "t"
    assert results(answer) == {(name, 0): (ErrorCode.none, 200), (name, 1): (ErrorCode.none, 101)}
    assert len(first.requests) == 1
    [again] = second.requests
    assert [(part.index, part.records) for topic in again.topic_data for part in topic.partition_data] == [(0, BATCH)]


async def test_a_split_request_is_asked_again_in_part(world):
    for leader_id, script in ((1, not_led(0)), (2, log(200)), (3, log(300))):
        await world.leader(leader_id, script)
    await moving(world, [1, 3], moving_to=LeaderId(2))
    answer = await (await world.client()).ask(produce({("t", 0): BATCH, ("t", 1): BATCH}))
    assert results(answer) == {("t", 0): (ErrorCode.none, 200), ("t", 1): (ErrorCode.none, 301)}


async def test_requests_of_a_connection_reach_the_next_leader_in_their_order(world):
    await world.leader(1, not_led(0))
    second = await world.leader(2, log(0))
    await moving(world, [1], moving_to=LeaderId(2))
    client = await world.client()
    batches = [encode_batch([Record(value=b"%d" % n, timestamp_ms=1)]) for n in range(5)]
    client.send(*(produce({("t", 0): batch}) for batch in batches))
    for _ in batches:
        await client.receive()
    asked = [
        part.records for request in second.requests for topic in request.topic_data for part in topic.partition_data
    ]
    assert asked == batches


async def test_nobody_is_asked_twice_for_a_partition_that_moves_on(world):
    """What the next leader says is told, also that it does not lead the partition."""
    first, second = await world.leader(1, not_led(0)), await world.leader(2, not_led(0))
    await moving(world, [1], moving_to=LeaderId(2))
    answer = await (await world.client()).ask(produce({("t", 0): BATCH}))
    assert results(answer) == {("t", 0): (ErrorCode.not_leader_or_follower, -1)}
    assert (len(first.requests), len(second.requests)) == (1, 1)


async def test_without_a_next_leader_the_client_is_told_at_once(world):
    leader = await world.leader(1, not_led(0))
    await world.topic("t", [1])
    answer = await (await world.client()).ask(produce({("t", 0): BATCH}))
    assert results(answer) == {("t", 0): (ErrorCode.not_leader_or_follower, -1)}
    assert len(leader.requests) == 1
