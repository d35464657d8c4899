"""Produce through the listener: offsets, errors, durability before every answer, time-outs, back-pressure."""

import asyncio
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from raylog.model.clock import SystemClock


def only(response: Any) -> Any:
    """The answer for the only partition asked for."""
    ((partition,),) = (topic.partition_responses for topic in response.responses)
    return partition


@pytest.mark.parametrize("version", [3, 5, 7, 8, 9, 12, 13])
async def test_every_version_gets_the_offset_of_its_first_record(cluster: Any, kit: Any, version: int) -> None:
    client = await cluster.lead(kit.assignment())
    first = await client.ask(kit.produce_request({0: kit.batch(b"a", b"b")}, version=version))
    second = await client.ask(kit.produce_request({0: kit.batch(b"c")}, version=version))
    assert (only(first).error_code, only(first).base_offset) == (ErrorCode.none, 0)
    assert (only(second).error_code, only(second).base_offset) == (ErrorCode.none, 2)


async def test_partitions_of_a_request_are_answered_each_for_itself(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment(0), kit.assignment(1))
    response = await client.ask(kit.produce_request({0: kit.batch(b"a"), 7: kit.batch(b"x"), 1: b"not a batch"}))
    codes = {p.index: p.error_code for p in response.responses[0].partition_responses}
    assert codes == {0: ErrorCode.none, 7: ErrorCode.not_leader_or_follower, 1: ErrorCode.corrupt_message}


async def test_pipelined_requests_get_offsets_in_the_order_sent(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment())
    answers = [client.send(kit.produce_request({0: kit.batch(b"%d" % n)})) for n in range(50)]
    offsets = [only(await answer).base_offset for answer in answers]
    assert offsets == list(range(50))
    fetched = await client.ask(kit.fetch_request({0: 0}))
    assert kit.values_of(fetched.responses[0].partitions[0].records) == [b"%d" % n for n in range(50)]


async def test_acks_0_is_taken_and_not_answered(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment())
    unanswered = client.send(kit.produce_request({0: kit.batch(b"quiet")}, acks=0))
    assert only(await client.ask(kit.produce_request({0: kit.batch(b"loud")}))).base_offset == 1
    assert not unanswered.done()


async def test_duplicate_is_answered_with_its_first_offset_and_a_gap_is_refused(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment())

    async def send(sequence: int, epoch: int = 0) -> tuple[ErrorCode, int]:
        batch = kit.batch(b"v", producer_id=5, epoch=epoch, sequence=sequence)
        answer = only(await client.ask(kit.produce_request({0: batch})))
        return answer.error_code, answer.base_offset

    assert await send(0) == (ErrorCode.none, 0)
    assert await send(1) == (ErrorCode.none, 1)
    assert await send(0) == (ErrorCode.none, 0)
    assert await send(3) == (ErrorCode.out_of_order_sequence_number, -1)
    assert await send(0, epoch=1) == (ErrorCode.none, 2)
    assert await send(2, epoch=0) == (ErrorCode.invalid_producer_epoch, -1)


async def test_a_gap_is_a_reason_to_try_again_while_what_is_missing_may_have_gone_to_the_leader_before(
    cluster: Any, kit: Any
) -> None:
    client = await cluster.lead(kit.assignment())

    async def send(sequence: int) -> ErrorCode:
        batch = kit.batch(b"v", producer_id=5, epoch=0, sequence=sequence)
        error: ErrorCode = only(await client.ask(kit.produce_request({0: batch}))).error_code
        return error

    assert await send(0) is ErrorCode.none
    await cluster.leaders[-1].close()
    await cluster.start(leader_limits={"sequence_grace_s": 3600.0})
    client = await cluster.client()
    assert await send(2) is ErrorCode.not_leader_or_follower
    assert [await send(1), await send(2)] == [ErrorCode.none, ErrorCode.none]


async def test_log_append_time_is_told_and_kept(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment(**{"message.timestamp.type": "LogAppendTime"}))
    before_ms = SystemClock().wall_ms()
    answer = only(await client.ask(kit.produce_request({0: kit.batch(b"a", timestamp_ms=1)})))
    assert answer.log_append_time is not None
    stamp_ms = round(answer.log_append_time.timestamp() * 1000)
    assert before_ms <= stamp_ms <= SystemClock().wall_ms()
    found = await client.ask(kit.list_offsets_request(0, stamp_ms))
    assert found.topics[0].partitions[0].offset == 0


async def test_compacted_topic_refuses_a_record_without_key_and_says_which(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment(**{"cleanup.policy": "compact"}))
    answer = only(await client.ask(kit.produce_request({0: kit.batch(b"no key")})))
    assert answer.error_code is ErrorCode.invalid_record
    assert [error.batch_index for error in answer.record_errors] == [0]


class TestBeforeDurability:
    """The bucket takes nothing: with the object WAL, nothing is durable."""

    @pytest.fixture
    def wal_url(self) -> str:
        return "object:?interval_ms=5"

    async def test_no_answer_reveals_what_is_not_durable(self, cluster: Any, kit: Any) -> None:
        client = await cluster.lead(kit.assignment())
        cluster.store.shut()

        def batch(sequence: int) -> bytes:
            return kit.batch(b"v", producer_id=5, epoch=0, sequence=sequence)

        appended = client.send(kit.produce_request({0: batch(0)}))
        duplicate = client.send(kit.produce_request({0: batch(0)}))
        gap = client.send(kit.produce_request({0: batch(9)}))
        fetched = await client.ask(kit.fetch_request({0: 0}))
        assert fetched.responses[0].partitions[0].high_watermark == 0
        assert fetched.responses[0].partitions[0].records == b""
        beyond = await client.ask(kit.fetch_request({0: 1}))
        assert beyond.responses[0].partitions[0].error_code is ErrorCode.offset_out_of_range
        latest = await client.ask(kit.list_offsets_request(0, -1))
        assert latest.topics[0].partitions[0].offset == 0
        assert not appended.done() and not duplicate.done() and not gap.done()

        cluster.store.release()
        answers = [only(await answer) for answer in (appended, duplicate, gap)]
        assert [(a.error_code, a.base_offset) for a in answers] == [
            (ErrorCode.none, 0),
            (ErrorCode.none, 0),
            (ErrorCode.out_of_order_sequence_number, -1),
        ]

    async def test_request_times_out_and_its_records_still_arrive(self, cluster: Any, kit: Any) -> None:
        client = await cluster.lead(kit.assignment())
        cluster.store.shut()
        answer = only(await client.ask(kit.produce_request({0: kit.batch(b"late")}, timeout_ms=1)))
        assert answer.error_code is ErrorCode.request_timed_out
        waiting = client.send(kit.fetch_request({0: 0}, max_wait_ms=5000))
        cluster.store.release()
        assert kit.values_of((await waiting).responses[0].partitions[0].records) == [b"late"]

    async def test_requests_beyond_the_limit_wait_in_their_connection_and_none_is_lost(
        self, cluster: Any, kit: Any
    ) -> None:
        await cluster.controller.assign(kit.assignment())
        leader = await cluster.start(leader_limits={"unflushed_bytes_max": 4096})
        cluster.store.shut()
        clients = [await cluster.client() for _ in range(3)]
        requests = [
            (client, kit.produce_request({0: kit.batch(b"%d-%d" % (number, n) + bytes(1000))}))
            for n in range(20)
            for number, client in enumerate(clients)
        ]
        answers = [client.send(request) for client, request in requests]
        other = await cluster.client()
        await other.ask(kit.fetch_request({0: 0}))
        context = leader._parts.context
        async with asyncio.timeout(5):
            while context.admission.held < len(clients):
                await other.ask(kit.fetch_request({0: 0}))
        assert context.appender.unflushed_bytes <= 4096
        assert context.admission.held == len(clients)  # one for each: the rest is in the sockets
        cluster.store.release()
        offsets = [only(await answer).base_offset for answer in answers]
        assert sorted(offsets) == list(range(60))
        for number in range(3):
            own = offsets[number::3]
            assert own == sorted(own)
        assert context.admission.held == 0


async def test_request_larger_than_the_limit_is_taken_when_nothing_else_waits(cluster: Any, kit: Any) -> None:
    await cluster.controller.assign(kit.assignment(**{"max.message.bytes": "10000000"}))
    await cluster.start(leader_limits={"unflushed_bytes_max": 1000})
    client = await cluster.client()
    big = kit.batch(bytes(200_000))
    assert only(await client.ask(kit.produce_request({0: big}))).base_offset == 0
