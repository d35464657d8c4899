"""Batches that come by reference to an upload: sequenced as any other, durable with their slot, read from where they lie."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from raylog.cli.bucket_check import State, check_bucket
from raylog.leader.garbage import collect_garbage
from raylog.model.clock import SystemClock
from raylog.model.errors import FencedError, NotFoundError
from raylog.model.ids import TopicPartition
from raylog.model.limits import GarbageLimits
from raylog.model.logs import role_logger
from raylog.protocol.batch import assigned, headers, read_header
from raylog.storage.garbage import Reason
from raylog.storage.keys import upload_key
from raylog.storage.read_plan import decode_read_plan
from raylog.storage.reference import decode_reference, encode_reference
from raylog.storage.upload import UploadBatch, encode_upload, upload_number

from .test_leader_produce import only

HOUR_MS = 3_600_000


@pytest.fixture
async def cluster(make_cluster: Callable[[str], Any]) -> AsyncIterator[Any]:
    made = make_cluster("object:?interval_ms=5")
    yield made
    await made.stop()


class Gateway:
    """What one does before it sends references."""

    def __init__(self, cluster: Any, kit: Any) -> None:
        self.store = cluster.store
        self.partition = TopicPartition(kit.TOPIC_ID, 0)
        self.rng = Random(5)

    async def upload(self, *batches: bytes, age_ms: int = 0) -> list[bytes]:
        """References to them."""
        number = upload_number(SystemClock().wall_ms() - age_ms, self.rng)
        parts = [UploadBatch(self.partition, records, read_header(records)) for records in batches]
        content, positions = encode_upload(number, self.rng.randbytes(16), parts)
        await self.store.put_if_absent(upload_key(number), content)
        return [encode_reference(number, at, records) for at, records in zip(positions, batches, strict=True)]


async def read(cluster: Any, client: Any, kit: Any) -> list[bytes]:
    """All that the partition has, as gateways read it: tail and plans."""
    values: list[bytes] = []
    offset = 0
    while True:
        response = await client.ask(kit.fetch_request({0: offset}))
        (partition,) = response.responses[0].partitions
        if not partition.records:
            return values
        records = bytes(partition.records)
        if client.has_plan(response):
            runs = []
            for at in decode_read_plan(records):
                run = await cluster.store.get(at.key, start=at.position, length=at.size_bytes)
                runs.append(run if at.missing_epoch < 0 else assigned(run, at.first_offset, at.missing_epoch))
            records = b"".join(runs)
        for header in headers(records):
            assert header.base_offset == offset and header.leader_epoch >= 0
            offset = header.last_offset + 1
        values += kit.values_of(records)


async def send(client: Any, kit: Any, records: bytes) -> tuple[ErrorCode, int]:
    answer = only(await client.ask(kit.produce_request({0: records})))
    return answer.error_code, answer.base_offset


async def test_references_and_batches_get_offsets_in_the_order_in_which_they_come(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment())
    gateway = Gateway(cluster, kit)
    references = await gateway.upload(kit.batch(b"a", b"b"), kit.batch(b"c"), kit.batch(b"e", b"f"))
    batches = [references[0], kit.batch(b"x"), references[1], references[2], kit.batch(b"y"), kit.batch(b"z")]
    sent = [client.send(kit.produce_request({0: records})) for records in batches]
    assert [only(await answer).base_offset for answer in sent] == [0, 2, 3, 4, 6, 7]
    assert await read(cluster, client, kit) == [b"a", b"b", b"x", b"c", b"e", b"f", b"y", b"z"]
    cluster.validate()


async def test_a_successor_has_them_from_slots_and_from_a_checkpoint(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment())
    gateway = Gateway(cluster, kit)
    for number in range(4):
        (reference,) = await gateway.upload(kit.batch(b"%d" % number, producer_id=9, epoch=0, sequence=number))
        assert await send(client, kit, reference) == (ErrorCode.none, number)
    for leader_limits in ({}, {"checkpoint_slots": 1}, {}):
        await cluster.crash()
        await cluster.start(leader_limits=leader_limits)
        client = await cluster.client()
        assert await read(cluster, client, kit) == [b"0", b"1", b"2", b"3"]
        if leader_limits:
            await send(client, kit, kit.batch(b"!", producer_id=9, epoch=0, sequence=3))
            while not await cluster.has_checkpoint():  # noqa: ASYNC110  (nobody tells)
                await asyncio.sleep(0)
        assert await send(client, kit, reference) == (ErrorCode.none, 3), "a duplicate, whoever took it"


async def test_duplicates_and_gaps_are_found_whichever_way_they_come(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment())
    gateway = Gateway(cluster, kit)

    def batch(sequence: int) -> bytes:
        records: bytes = kit.batch(b"%d" % sequence, producer_id=5, epoch=0, sequence=sequence)
        return records

    first, second, late = await gateway.upload(batch(0), batch(1), batch(7))
    assert await send(client, kit, first) == (ErrorCode.none, 0)
    assert await send(client, kit, first) == (ErrorCode.none, 0)
    assert await send(client, kit, batch(0)) == (ErrorCode.none, 0)
    assert await send(client, kit, batch(1)) == (ErrorCode.none, 1)
    assert await send(client, kit, second) == (ErrorCode.none, 1)
    assert (await send(client, kit, late))[0] is ErrorCode.out_of_order_sequence_number
    assert await read(cluster, client, kit) == [b"0", b"1"]


async def test_a_duplicate_between_two_batches_of_an_upload_is_passed_over(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment())
    gateway = Gateway(cluster, kit)
    again = kit.batch(b"0", producer_id=5, epoch=0, sequence=0)
    assert await send(client, kit, again) == (ErrorCode.none, 0)
    references = await gateway.upload(kit.batch(b"1"), again, kit.batch(b"2"))
    sent = [client.send(kit.produce_request({0: records})) for records in references]
    assert [only(await answer).base_offset for answer in sent] == [1, 0, 2]
    assert await read(cluster, client, kit) == [b"0", b"1", b"2"]


async def test_nothing_is_answered_before_the_slot_is_durable(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment())
    (reference,) = await Gateway(cluster, kit).upload(kit.batch(b"a"))
    waiting = client.send(kit.fetch_request({0: 0}, max_wait_ms=20_000, min_bytes=1))
    cluster.store.shut()
    answer = client.send(kit.produce_request({0: reference}))
    while not cluster.store.held:  # noqa: ASYNC110  (nobody tells)
        await asyncio.sleep(0)
    assert not answer.done() and not waiting.done()
    cluster.store.release()
    assert only(await answer).base_offset == 0
    assert client.has_plan(await waiting), "a consumer that waited is woken, and reads the bucket"


@pytest.mark.parametrize(
    ("configs", "age_ms"),
    [({}, HOUR_MS // 4 + 5_000), ({"cleanup.policy": "compact"}, 0), ({"message.timestamp.type": "LogAppendTime"}, 0)],
    ids=["old upload", "compacted topic", "LogAppendTime"],
)
async def test_what_may_be_gone_or_has_to_be_seen_is_refused(
    cluster: Any, kit: Any, configs: dict[str, str], age_ms: int
) -> None:
    client = await cluster.lead(kit.assignment(**configs))
    (reference,) = await Gateway(cluster, kit).upload(kit.batch(b"a"), age_ms=age_ms)
    assert (await send(client, kit, reference))[0] is ErrorCode.not_leader_or_follower
    assert await read(cluster, client, kit) == []


async def test_a_leader_with_a_file_wal_takes_none(make_cluster: Callable[[str], Any], kit: Any, tmp_path: Any) -> None:
    (tmp_path / "wal").mkdir()
    cluster = make_cluster(f"file://{tmp_path}/wal?segment=1MiB&capacity=256MiB")
    client = await cluster.lead(kit.assignment())
    (reference,) = await Gateway(cluster, kit).upload(kit.batch(b"a"))
    assert (await send(client, kit, reference))[0] is ErrorCode.not_leader_or_follower
    await cluster.stop()


async def test_a_garbled_reference_is_refused(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment())
    (reference,) = await Gateway(cluster, kit).upload(kit.batch(b"a"))
    assert (await send(client, kit, reference[:-1]))[0] is ErrorCode.corrupt_message


async def test_a_leader_whose_slot_is_late_gives_its_log_up(cluster: Any, kit: Any) -> None:
    """What the slot names might be gone by the time it is there: it must not come to be any more."""
    log = replace(cluster.limits.log, trim_grace_s=4.0)
    cluster.limits = replace(cluster.limits, garbage=GarbageLimits(grace_s=4.0), log=log)
    client = await cluster.lead(kit.assignment())
    gateway = Gateway(cluster, kit)
    (first,) = await gateway.upload(kit.batch(b"a"))
    assert await send(client, kit, first) == (ErrorCode.none, 0)
    (second,) = await gateway.upload(kit.batch(b"b"))
    cluster.store.shut()
    answer = client.send(kit.produce_request({0: second}))
    leader = cluster.leaders.pop()
    with pytest.raises(FencedError, match="not there in time"):
        await leader.closed
    await leader.close()
    assert answer.cancelled(), "the connection is gone, and nothing was said"
    cluster.store.release()
    await cluster.start()
    assert await read(cluster, await cluster.client(), kit) == [b"a"]


async def test_the_bucket_is_whole_and_every_batch_is_verified(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment())
    gateway = Gateway(cluster, kit)
    used, unused = await gateway.upload(kit.batch(b"a"), kit.batch(b"b")), await gateway.upload(kit.batch(b"orphan"))
    for reference in used:
        assert (await send(client, kit, reference))[0] is ErrorCode.none
    report = await check_bucket(
        cluster.store, verify=True, clock=SystemClock(), rng=Random(1), step=lambda *_: None, limits=cluster.limits
    )
    assert report.problems == []
    states = {found.key: found.state for found in report.objects if found.kind == "upload"}
    assert [states[key] for key in sorted(states)] == [State.DATA, State.LOOSE], (used, unused)


async def test_garbage_collection_takes_the_uploads_that_nobody_refers_to(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment())
    gateway = Gateway(cluster, kit)
    (reference,) = await gateway.upload(kit.batch(b"a"))
    assert (await send(client, kit, reference))[0] is ErrorCode.none
    (orphan,) = await gateway.upload(kit.batch(b"orphan"))
    impatient = replace(
        cluster.limits, garbage=GarbageLimits(grace_s=0.001), log=replace(cluster.limits.log, trim_grace_s=0.001)
    )
    later = SystemClock()
    later.wall_ms = lambda: SystemClock.wall_ms(later) + 1000  # type: ignore[method-assign]
    collected = await collect_garbage(
        cluster.store, led=(), clock=later, rng=Random(1), limits=impatient, logger=role_logger("garbage")
    )
    assert collected.reasons == {Reason.UNREFERENCED_UPLOAD: 1}
    with pytest.raises(NotFoundError):
        await cluster.store.head(upload_key(decode_reference(orphan).upload))
    assert await read(cluster, client, kit) == [b"a"]
