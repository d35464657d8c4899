"""The bucket or the WAL's disk is away, or slow: producers go on as long as the WAL has room, then they wait; memory is bounded,
nothing is lost or half done, and all goes on by itself afterwards."""

import asyncio
import errno
from pathlib import Path
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from raylog.protocol.batch import Record, encode_batch
from raylog.storage import wal_class
from raylog.storage.wal_disk import PosixDisk, PosixSegment
from raylog.storage.wal_format import ENTRY_HEADER_BYTES

UNFLUSHED_BYTES = 64 * 1024
SMALL = {
    "unflushed_bytes_max": UNFLUSHED_BYTES,
    "tail_cache_bytes": UNFLUSHED_BYTES,
    "read_back_bytes_max": UNFLUSHED_BYTES,
    "plan_run_bytes_max": UNFLUSHED_BYTES,
}
CAPACITY_BYTES = 4 << 20
ENTRY_BYTES = 20 * 1024
"""51 of them fill a segment to its end, so that it does not matter for a WAL's room how many come at once."""
_SIZED_BATCH = encode_batch([Record(value=bytes(ENTRY_BYTES // 2), timestamp_ms=0)])
VALUE_BYTES = ENTRY_BYTES - ENTRY_HEADER_BYTES - (len(_SIZED_BATCH) - ENTRY_BYTES // 2) - len(b"0000")
_LATEST = -1


def only(response: Any) -> Any:
    ((partition,),) = (topic.partition_responses for topic in response.responses)
    return partition


async def until(is_so: Any, client: Any, kit: Any) -> None:
    """Wait for something inside the leader, a turn of whose loop each request to it is."""
    async with asyncio.timeout(kit.NO_WAIT_S):
        while not is_so():
            await client.ask(kit.list_offsets_request(0, _LATEST))


async def values_from_start(cluster: Any, kit: Any, client: Any, number: int = 0) -> list[bytes]:
    found: list[bytes] = []
    while True:
        records = await cluster.records_of(client, await client.ask(kit.fetch_request({number: len(found)})))
        values = kit.values_of(records)
        if not values:
            return found
        found += values


@pytest.fixture
async def limited(cluster: Any, kit: Any) -> tuple[Any, Any, Any]:
    """A leader that holds little: its context, a producer's connection, and one for looking."""
    await cluster.controller.assign(kit.assignment())
    leader = await cluster.start(leader_limits={"unflushed_bytes_max": UNFLUSHED_BYTES})
    return leader._parts.context, await cluster.client(), await cluster.client()


class TestFileWal:
    @pytest.fixture
    def wal_url(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        (tmp_path / "wal").mkdir()
        monkeypatch.setattr(wal_class, "_CAPACITY_BYTES_MIN", CAPACITY_BYTES)
        return f"file://{tmp_path}/wal?flush_interval_ms=1&segment=1MiB&capacity={CAPACITY_BYTES >> 20}MiB"

    @pytest.fixture
    async def spilling(self, cluster: Any, kit: Any) -> tuple[Any, Any, Any]:
        """A leader that holds far less than its WAL: its parts, a producer's connection, and one for looking."""
        await cluster.controller.assign(kit.assignment(0), kit.assignment(1))
        leader = await cluster.start(leader_limits=SMALL)
        return leader._parts, await cluster.client(), await cluster.client()

    async def test_bucket_away_acknowledges_until_the_wal_is_full_then_waits_and_goes_on_by_itself(
        self, cluster: Any, kit: Any, spilling: tuple[Any, Any, Any]
    ) -> None:
        parts, producer, looker = spilling
        context = parts.context
        cluster.store.shut()
        values = [b"%04d" % n + bytes(VALUE_BYTES) for n in range(CAPACITY_BYTES * 3 // 2 // VALUE_BYTES)]
        answers = [producer.send(kit.produce_request({0: kit.batch(value)}, timeout_ms=60_000)) for value in values]
        await until(lambda: context.admission.held == 1 and not context.acks.waiting, looker, kit)
        taken = context.appender.last_lsn
        # All that the WAL has room for is acknowledged, and can be read; memory has little of it.
        assert CAPACITY_BYTES - (1 << 20) < context.appender.unflushed_bytes <= CAPACITY_BYTES
        assert parts.buffer.held_bytes <= UNFLUSHED_BYTES
        assert {only(await answer).error_code for answer in answers[:taken]} == {ErrorCode.none}
        assert not any(answer.done() for answer in answers[taken:])
        assert await values_from_start(cluster, kit, looker) == values[:taken]
        assert context.unflushed.kept_bytes <= UNFLUSHED_BYTES
        cluster.store.release()
        assert [only(await answer).base_offset for answer in answers] == list(range(len(values)))
        assert await values_from_start(cluster, kit, looker) == values
        await parts.flusher.flush()
        assert context.appender.unflushed_bytes == parts.buffer.held_bytes == context.unflushed.kept_bytes == 0
        assert parts.buffer._row_count == 0 and context.admission.held == 0
        assert len(cluster.wals[-1]._segments._live) == 1
        cluster.validate()

    async def test_what_only_the_wal_has_comes_back_with_the_next_writer_in_bounded_memory(
        self, cluster: Any, kit: Any, spilling: tuple[Any, Any, Any]
    ) -> None:
        _, producer, _ = spilling
        cluster.store.shut()
        values = [b"%04d" % n + bytes(VALUE_BYTES) for n in range(CAPACITY_BYTES // 2 // VALUE_BYTES)]
        answers = [producer.send(kit.produce_request({n % 2: kit.batch(value)})) for n, value in enumerate(values)]
        assert {only(await answer).error_code for answer in answers} == {ErrorCode.none}
        cluster.store.discard_held()
        cluster.store.release()
        await cluster.crash()
        leader = await cluster.start(leader_limits=SMALL)
        assert leader._parts.buffer.held_bytes <= UNFLUSHED_BYTES // 2
        looker = await cluster.client()
        for number in range(2):
            assert await values_from_start(cluster, kit, looker, number) == values[number::2]
        after = only(await looker.ask(kit.produce_request({0: kit.batch(b"after")})))
        assert after.base_offset == len(values[::2])
        cluster.validate()

    async def test_offsets_by_time_are_found_in_the_wal(
        self, cluster: Any, kit: Any, spilling: tuple[Any, Any, Any]
    ) -> None:
        _, producer, looker = spilling
        cluster.store.shut()
        for n in range(60):
            batch = kit.batch(b"%02d" % n + bytes(VALUE_BYTES), timestamp_ms=1_000 + n)
            await producer.ask(kit.produce_request({0: batch}))
        for n in (0, 7, 31, 59):
            answer = await looker.ask(kit.list_offsets_request(0, 1_000 + n))
            assert answer.topics[0].partitions[0].offset == n

    async def test_a_wal_that_cannot_be_read_back_is_a_storage_error_and_never_wrong_records(
        self, cluster: Any, kit: Any, spilling: tuple[Any, Any, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, producer, looker = spilling
        cluster.store.shut()
        values = [b"%04d" % n + bytes(VALUE_BYTES) for n in range(60)]
        for value in values:
            await producer.ask(kit.produce_request({0: kit.batch(value)}))

        def broken(self: PosixSegment, position: int, length: int) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

        with monkeypatch.context() as disk:
            disk.setattr(PosixSegment, "read", broken)
            answer = await looker.ask(kit.fetch_request({0: 30}))
            assert answer.responses[0].partitions[0].error_code is ErrorCode.kafka_storage_error
        assert await values_from_start(cluster, kit, looker) == values

    async def test_full_disk_makes_producers_wait_without_an_error_until_there_is_room(
        self, cluster: Any, kit: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = await cluster.lead(kit.assignment())
        looker = await cluster.client()
        context = cluster.leaders[-1]._parts.context
        cluster.store.shut()

        def full(self: PosixDisk, name: str, size_bytes: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        wal = cluster.wals[-1]
        values = [b"%02d" % n + bytes(100_000) for n in range(35)]  # the WAL has room for 40
        answers = [client.send(kit.produce_request({0: kit.batch(values[0])}, timeout_ms=60_000))]
        await answers[0]  # the WAL has made its first segment
        with monkeypatch.context() as disk:
            disk.setattr(PosixDisk, "create", full)

            def send_next() -> None:
                request = kit.produce_request({0: kit.batch(values[len(answers)])}, timeout_ms=60_000)
                answers.append(client.send(request))

            def is_settled() -> bool:
                # An entry also queues while it is on its way into a segment that has room; then its writer has work.
                writer_waits = wal._queue and wal._pool._disk_full and not wal._work.is_set()
                waits_for_room = context.admission.held or writer_waits
                return answers[-1].done() or bool(waits_for_room)

            send_next()
            await until(is_settled, looker, kit)
            while answers[-1].done():
                send_next()
                await until(is_settled, looker, kit)
            taken = len(answers) - 1
            assert taken > 0
            while len(answers) < len(values):
                send_next()
            await until(lambda: context.admission.held == 1, looker, kit)
            assert {only(await answer).error_code for answer in answers[:taken]} == {ErrorCode.none}
            assert not any(answer.done() for answer in answers[taken:])
        # Room again, while the bucket is still away.
        async with asyncio.timeout(kit.NO_WAIT_S):
            assert [only(await answer).base_offset for answer in answers] == list(range(len(values)))
        assert not cluster.leaders[-1].closed.done()


class TestObjectWal:
    @pytest.fixture
    def wal_url(self) -> str:
        return "object:?interval_ms=5"

    async def test_bucket_away_times_requests_out_and_none_is_half_done(
        self, cluster: Any, kit: Any, limited: tuple[Any, Any, Any]
    ) -> None:
        context, producer, looker = limited
        cluster.store.shut()
        values = [b"%02d" % n for n in range(20)]
        answers = [producer.send(kit.produce_request({0: kit.batch(value)}, timeout_ms=1)) for value in values]
        codes = {only(await answer).error_code for answer in answers}
        assert codes == {ErrorCode.request_timed_out}
        # Nothing of them is shown, and nothing waits for them: clients that come again would add to it each time.
        assert await values_from_start(cluster, kit, looker) == []
        assert context.acks.waiting == 0
        cluster.store.release()
        assert only(await producer.ask(kit.produce_request({0: kit.batch(b"after")}))).base_offset == len(values)
        assert await values_from_start(cluster, kit, looker) == [*values, b"after"]

    async def test_duplicates_and_errors_that_time_out_leave_nothing_behind(
        self, cluster: Any, kit: Any, limited: tuple[Any, Any, Any]
    ) -> None:
        context, producer, _ = limited
        cluster.store.shut()
        batch = kit.batch(b"v", producer_id=5, epoch=0, sequence=0)
        for _ in range(5):
            answer = only(await producer.ask(kit.produce_request({0: batch}, timeout_ms=1)))
            assert answer.error_code is ErrorCode.request_timed_out
        assert context.acks.waiting == 0
        cluster.store.release()
        assert only(await producer.ask(kit.produce_request({0: batch}))).base_offset == 0

    async def test_slots_that_land_late_and_out_of_order_are_acknowledged_in_order_within_the_limit(
        self, cluster: Any, kit: Any, limited: tuple[Any, Any, Any]
    ) -> None:
        """A slow bucket: many slots under way, each of whose PUTs takes as long as it likes."""
        context, producer, looker = limited
        cluster.store.shut()
        done: list[int] = []
        answers = []
        for n in range(40):
            answer = producer.send(kit.produce_request({0: kit.batch(b"%d" % n + bytes(1000))}, timeout_ms=60_000))
            answer.add_done_callback(lambda _, n=n: done.append(n))
            answers.append(answer)
            if n % 10 == 9:
                slots = n // 10 + 1
                await until(lambda slots=slots: cluster.store.held >= slots, looker, kit)
        assert context.appender.unflushed_bytes <= UNFLUSHED_BYTES and not done
        cluster.store.release()
        assert [only(await answer).base_offset for answer in answers] == list(range(40))
        assert done == sorted(done)
