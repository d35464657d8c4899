"""What is particular to a leader with a file WAL: a volume that is missing or fails, acknowledgement without the bucket."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from raylog.storage.wal_disk import PosixSegment


@pytest.fixture
def wal_url(tmp_path: Path) -> str:
    (tmp_path / "wal").mkdir()
    return f"file://{tmp_path}/wal?flush_interval_ms=30000&segment=1MiB&capacity=256MiB"


async def produce(client: Any, kit: Any, value: bytes) -> Any:
    response = await client.ask(kit.produce_request({0: kit.batch(value)}))
    ((partition,),) = (topic.partition_responses for topic in response.responses)
    return partition


async def test_acknowledges_and_serves_while_the_bucket_takes_nothing(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment())
    cluster.store.shut()
    assert (await produce(client, kit, b"a")).base_offset == 0
    await cluster.crash()
    cluster.store.discard_held()
    cluster.store.release()
    await cluster.start()
    fetched = await (await cluster.client()).ask(kit.fetch_request({0: 0}))
    assert kit.values_of(fetched.responses[0].partitions[0].records) == [b"a"]


async def test_waits_for_a_volume_that_is_not_mounted_rather_than_come_up_without_its_tail(
    cluster: Any, kit: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = await cluster.lead(kit.assignment())
    await produce(client, kit, b"only in the WAL")
    await cluster.crash()
    (tmp_path / "wal").rename(tmp_path / "elsewhere")
    (tmp_path / "wal").mkdir()
    starting = asyncio.create_task(cluster.start())
    async with asyncio.timeout(5):
        while "the WAL is not reachable" not in caplog.text:  # noqa: ASYNC110 (the log line is all there is to see)
            await asyncio.sleep(0)
    assert not starting.done()
    (tmp_path / "wal").rmdir()
    (tmp_path / "elsewhere").rename(tmp_path / "wal")
    await starting
    fetched = await (await cluster.client()).ask(kit.fetch_request({0: 0}))
    assert kit.values_of(fetched.responses[0].partitions[0].records) == [b"only in the WAL"]


async def test_failing_disk_ends_the_leader_without_an_answer(
    cluster: Any, kit: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = await cluster.lead(kit.assignment())
    assert (await produce(client, kit, b"good")).error_code is ErrorCode.none
    leader = cluster.leaders[-1]

    def fail(self: PosixSegment) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(PosixSegment, "sync", fail)
        lost = client.send(kit.produce_request({0: kit.batch(b"lost")}))
        async with asyncio.timeout(5):
            with pytest.raises(OSError, match="Input/output"):
                await asyncio.shield(leader.closed)
        await client.gone()
    assert lost.cancelled()
    assert "cannot go on" in caplog.text
    await cluster.leaders.pop().close()
    await cluster.start()
    client = await cluster.client()
    fetched = await client.ask(kit.fetch_request({0: 0}))
    values = kit.values_of(fetched.responses[0].partitions[0].records)
    assert values[0] == b"good"
    assert (await produce(client, kit, b"next")).base_offset == len(values)


async def test_full_wal_holds_requests_back_until_a_flush_makes_room(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment())
    leader = cluster.leaders[-1]
    wal = cluster.wals[-1]
    real, room = wal.has_room, [False]
    wal.has_room = lambda size_bytes, **_: room[0] and real(size_bytes)
    waiting = [client.send(kit.produce_request({0: kit.batch(b"%d" % n)})) for n in range(5)]
    other = await cluster.client()
    async with asyncio.timeout(5):
        while not leader._parts.context.admission.held:
            await other.ask(kit.fetch_request({0: 0}))
    assert not any(answer.done() for answer in waiting)
    room[0] = True
    async with asyncio.timeout(5):  # asked again each second, as room may come from elsewhere
        answers = [await answer for answer in waiting]
    assert [topic.partition_responses[0].base_offset for a in answers for topic in a.responses] == list(range(5))
