"""Produce through the bucket: what goes by it, in which order, and what clients are told when it does not work."""

import asyncio
from dataclasses import replace

import pytest
from kio.schema.errors import ErrorCode

from raylog.model.clock import SystemClock
from raylog.model.errors import RetryError
from raylog.model.ids import BrokerId
from raylog.model.routing import BrokerEndpoint
from raylog.protocol.batch import Record, encode_batch, read_header
from raylog.storage.keys import UPLOADS_PREFIX, upload_key
from raylog.storage.memory_store import MemoryStore
from raylog.storage.reference import decode_reference, encode_reference, is_reference
from tests.unit.gateway.conftest import NODE
from tests.unit.gateway.test_produce import BATCH, log, produce, results

BY_BUCKET = {"raylog_produce_path": "bucket"}


class Gated(MemoryStore):
    """Puts wait while the gate is shut, and as many fail as are told to."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.gate = asyncio.Event()
        self.gate.set()
        self.failures = 0
        self.puts = 0
        self.gets = 0

    async def put_if_absent(self, key, body, **options):
        self.puts += 1
        await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise RetryError("503 SlowDown")
        await super().put_if_absent(key, body, **options)

    async def get(self, key, **options):
        self.gets += 1
        return await super().get(key, **options)


@pytest.fixture
def store():
    return Gated()


@pytest.fixture
async def far(make_world, store):
    """A gateway in the east, whose leaders are in the west."""
    world = await make_world(store=store, zone="east")
    here = world.controller.table.brokers[0]
    west = BrokerEndpoint(broker_id=BrokerId(2), host="h", port=2, rack="west", node_id=NODE)
    world.controller.publish(brokers=(replace(here, node_id="node-b"), west))
    return world


def records_of(request):
    return [bytes(part.records) for topic in request.topic_data for part in topic.partition_data]


async def batch_of(store, records):
    """What a reference refers to."""
    reference = decode_reference(records)
    size_bytes = reference.header.size_bytes
    return await store.get(upload_key(reference.upload), start=reference.position, length=size_bytes)


def batch(value, size=1):
    return encode_batch([Record(value=value * size, timestamp_ms=1)])


@pytest.mark.parametrize("version", [3, 9, 13])
async def test_a_reference_goes_to_the_leader_once_the_batch_is_in_the_bucket(far, store, version):
    leader = await far.leader(1, log(40))
    topic_id = await far.topic("t", [1], **BY_BUCKET)
    client = await far.client()
    store.gate.clear()
    client.send(produce({("t", 0): BATCH}, version=version, ids={"t": topic_id}))
    await far.until(lambda: store.puts == 1)
    assert leader.requests == []
    store.gate.set()
    _, answer = await client.receive()
    assert list(results(answer).values()) == [(ErrorCode.none, 40)]
    (records,) = records_of(leader.requests[0])
    assert decode_reference(records).header == read_header(BATCH)
    assert await batch_of(store, records) == BATCH


async def test_what_comes_together_is_put_together_whoever_leads_it(far, store):
    leader, other = await far.leader(1, log()), await far.leader(2, log())
    await far.topic("t", [1, 1, 2], **BY_BUCKET)
    client = await far.client()
    batches = {0: batch(b"a"), 1: batch(b"b"), 2: batch(b"c", 9000)}
    answer = await client.ask(produce({("t", number): records for number, records in batches.items()}))
    assert {error for error, _ in results(answer).values()} == {ErrorCode.none}
    sent = [records for one in (leader, other) for request in one.requests for records in records_of(request)]
    assert sorted([await batch_of(store, records) for records in sent]) == sorted(batches.values())
    assert store.puts == 1


async def test_all_requests_to_a_leader_keep_their_order_behind_an_upload(far, store):
    """Also those whose records go to it themselves; other leaders' do not wait."""
    leader, other = await far.leader(1, log()), await far.leader(2, log())
    await far.topic("far", [1], **BY_BUCKET)
    await far.topic("near", [1, 2])
    client = await far.client()
    await client.ask(produce({("near", 0): BATCH}))
    store.gate.clear()
    client.send(*(produce({("far", 0): batch(b"%d" % n)}) for n in range(3)))
    client.send(produce({("near", 0): batch(b"3")}), produce({("far", 0): batch(b"4")}), produce({("near", 1): BATCH}))
    await other.received(1)
    assert len(leader.requests) == 1
    store.gate.set()
    for _ in range(6):
        await client.receive()
    came = [records for request in leader.requests[1:] for records in records_of(request)]
    values = [await batch_of(store, records) if is_reference(records) else records for records in came]
    assert values == [batch(b"%d" % n) for n in range(5)]
    await client.ask(produce({("near", 0): BATCH}))
    assert records_of(leader.requests[-1]) == [BATCH]


@pytest.mark.parametrize(
    "configs",
    [
        {},
        {"raylog_produce_path": "leader"},
        {**BY_BUCKET, "cleanup_policy": "compact"},
        {**BY_BUCKET, "message_timestamp_type": "LogAppendTime"},
        {**BY_BUCKET, "raylog_wal": "fast"},
    ],
)
async def test_topics_that_do_not_ask_for_it_or_cannot_have_it_go_to_their_leader(far, store, configs):
    leader = await far.leader(1, log())
    await far.topic("t", [1], **configs)
    client = await far.client()
    for _ in range(3):
        await client.ask(produce({("t", 0): BATCH}))
    assert [records_of(request) for request in leader.requests] == [[BATCH]] * 3 and store.puts == 0


async def test_a_leader_in_the_gateways_own_zone_gets_it_all(make_world, store):
    world = await make_world(store=store, zone="east")
    leader = await world.leader(1, log())
    await world.topic("t", [1], **BY_BUCKET)
    client = await world.client()
    await client.ask(produce({("t", 0): BATCH}))
    assert records_of(leader.requests[0]) == [BATCH] and store.puts == 0


@pytest.mark.parametrize("configs", [{}, BY_BUCKET])
async def test_a_client_cannot_send_a_reference(far, store, configs):
    leader = await far.leader(1, log())
    await far.topic("t", [1], **configs)
    client = await far.client()
    for position in (64, 2 << 32):  # the second has a good batch's magic in its place
        answer = await client.ask(produce({("t", 0): encode_reference(5, position, BATCH)}))
        assert results(answer)["t", 0][0] in (ErrorCode.unsupported_for_message_format, ErrorCode.corrupt_message)
    assert leader.requests == [] and store.puts == 0


async def test_a_bucket_that_fails_for_a_while_is_waited_for(far, store):
    leader = await far.leader(1, log(7))
    await far.topic("t", [1], **BY_BUCKET)
    client = await far.client()
    store.failures = 2
    assert results(await client.ask(produce({("t", 0): BATCH})))["t", 0] == (ErrorCode.none, 7)
    assert await batch_of(store, records_of(leader.requests[0])[0]) == BATCH
    assert len([found async for found in store.list(UPLOADS_PREFIX)]) == 1


async def test_a_request_that_takes_too_long_is_timed_out_and_may_still_happen(far, store):
    leader = await far.leader(1, log())
    await far.topic("t", [1], **BY_BUCKET)
    client = await far.client()
    store.gate.clear()
    answer = await client.ask(produce({("t", 0): BATCH}, timeout_ms=1))
    assert results(answer)["t", 0][0] is ErrorCode.request_timed_out
    store.gate.set()
    await leader.received(1)


async def test_a_leader_that_is_gone_by_then_is_told_as_ever(far, store):
    leader = await far.leader(1, log())
    await far.topic("t", [1], **BY_BUCKET)
    client = await far.client()
    store.gate.clear()
    client.send(produce({("t", 0): BATCH}))
    await far.until(lambda: store.puts == 1)
    await leader.kill()
    far.controller.publish(leaders={})
    await far.settled()
    store.gate.set()
    _, answer = await client.receive()
    assert results(answer)["t", 0][0] is ErrorCode.not_leader_or_follower


async def test_an_upload_need_not_be_read_from_the_bucket_by_who_has_put_it(far, store):
    leader = await far.leader(1, log())
    await far.topic("t", [1], **BY_BUCKET)
    client = await far.client()
    store.failures = 1
    await client.ask(produce({("t", 0): BATCH}))
    reference = decode_reference(records_of(leader.requests[0])[0])
    cache = far.gateway._server.services.block_cache
    found = await cache.read(upload_key(reference.upload), reference.position, reference.header.size_bytes)
    assert b"".join(found) == BATCH and store.gets == 0


async def test_bytes_under_way_count_until_their_reference_has_left(far, store):
    """So that clients of a leader wait when the bucket does not take what they send."""
    await far.leader(1, log())
    await far.topic("t", [1], **BY_BUCKET)
    client = await far.client()
    budget = far.gateway._server.services.router.budget(1)
    store.gate.clear()
    client.send(*(produce({("t", 0): batch(b"v", 10_000)}) for _ in range(3)))
    await far.until(lambda: budget.taken_bytes > 30_000)
    store.gate.set()
    for _ in range(3):
        await client.receive()
    assert budget.taken_bytes == 0


async def test_a_gateway_that_closes_fails_what_waits(far, store):
    await far.leader(1, log())
    await far.topic("t", [1], **BY_BUCKET)
    client = await far.client()
    store.gate.clear()
    client.send(produce({("t", 0): BATCH}))
    await far.until(lambda: store.puts == 1)
    await far.gateway.abort()
    assert await client.is_closed()
