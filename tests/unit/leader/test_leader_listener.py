"""The listener: bad frames close one connection only; TCP and unix socket alike; a stopped leader drops all."""

import asyncio
import struct
from pathlib import Path
from typing import Any

import pytest

from raylog.leader.listener import Listener
from raylog.leader.registry import served_apis
from raylog.model.ids import LeaderId, LogEpoch
from raylog.model.routing import leader_socket


async def test_tcp_and_unix_socket_serve_the_same(cluster: Any, kit: Any) -> None:
    await cluster.lead(kit.assignment())
    tcp, unix = await cluster.client(tcp=True), await cluster.client()
    await tcp.ask(kit.produce_request({0: kit.batch(b"by tcp")}))
    response = await unix.ask(kit.fetch_request({0: 0}))
    assert kit.values_of(response.responses[0].partitions[0].records) == [b"by tcp"]


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">i", -1),
        struct.pack(">i", 2**31 - 1),
        struct.pack(">ihhi", 8, 0, 9, 1),
        struct.pack(">ihhih", 10, 0, 99, 1, -1),
        struct.pack(">ihhih", 10, 999, 0, 1, -1),
        struct.pack(">ihhih", 10, 3, 1, 1, -1) + bytes(4),
        struct.pack(">i", 50) + b"\xff" * 50,
    ],
)
async def test_broken_frame_closes_its_connection_and_no_other(cluster: Any, kit: Any, data: bytes) -> None:
    good = await cluster.lead(kit.assignment())
    bad = await cluster.client()
    bad.send_raw(data)
    await bad.gone()
    await good.ask(kit.produce_request({0: kit.batch(b"still here")}))
    assert not good.is_gone


async def test_handler_that_fails_closes_its_connection_and_is_logged(
    cluster: Any, kit: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    good = await cluster.lead(kit.assignment())
    bad = await cluster.client()

    def fail(*_: object) -> None:
        raise ValueError("out of luck")

    monkeypatch.setattr(cluster.leaders[-1]._parts.context.fetcher, "serve", fail)
    lost = bad.send(kit.fetch_request({0: 0}))
    await bad.gone()
    assert lost.cancelled()
    assert "could not be served" in caplog.text
    await good.ask(kit.produce_request({0: kit.batch(b"still here")}))


async def test_broken_invariant_ends_the_leader(cluster: Any, kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await cluster.lead(kit.assignment())
    leader = cluster.leaders[-1]

    def fail(*_: object) -> None:
        raise AssertionError("offsets do not add up")

    monkeypatch.setattr(leader._parts.context.fetcher, "serve", fail)
    client.send(kit.fetch_request({0: 0}))
    async with asyncio.timeout(5):
        with pytest.raises(AssertionError, match="add up"):
            await leader.closed


async def test_close_answers_what_was_appended_and_ends_idle_connections(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment())
    answers = [client.send(kit.produce_request({0: kit.batch(b"v")})) for _ in range(5)]
    await answers[0]
    leader = cluster.leaders.pop()
    await leader.close()
    assert leader.closed.result() is None
    await client.gone()
    taken = sum(1 for answer in answers if answer.done() and not answer.cancelled())
    leader = await cluster.start()
    latest = await (await cluster.client()).ask(kit.list_offsets_request(0, -1))
    assert latest.topics[0].partitions[0].offset >= taken
    await leader.close()
    await leader.close()


async def test_a_fenced_open_that_listens_last_takes_nothing_from_its_successor(
    cluster: Any, kit: Any, tmp_path: Path
) -> None:
    """Two incarnations on one node: the fenced one was slower, and ends."""
    await cluster.lead(kit.assignment())
    leader = cluster.leaders[-1]._parts.context
    newer, fenced = Listener(leader, served_apis()), Listener(leader, served_apis())
    paths = [leader_socket(tmp_path, LeaderId(1), LogEpoch(epoch)) for epoch in (3, 4)]
    await newer.start(paths[1], "127.0.0.1")
    await fenced.start(paths[0], "127.0.0.1")
    await fenced.close()
    _, writer = await asyncio.open_unix_connection(paths[1])
    writer.close()
    await newer.close()


async def test_the_socket_files_of_earlier_opens_are_removed(cluster: Any, kit: Any, tmp_path: Path) -> None:
    await cluster.lead(kit.assignment())
    left = [leader_socket(tmp_path, LeaderId(1), LogEpoch(epoch)) for epoch in (2, 9, 10)]
    other = leader_socket(tmp_path, LeaderId(11), LogEpoch(2))
    for path in (*left, other):
        path.touch()
    listener = Listener(cluster.leaders[-1]._parts.context, served_apis())
    await listener.start(leader_socket(tmp_path, LeaderId(1), LogEpoch(10)), "127.0.0.1")
    assert [path.exists() for path in (*left, other)] == [False, False, True, True]
    await listener.close()


async def test_close_does_not_wait_for_a_peer_that_takes_no_answers(cluster: Any, kit: Any) -> None:
    await cluster.controller.assign(kit.assignment(**{"max.message.bytes": "20000000"}))
    leader = await cluster.start()
    good = await cluster.client()
    await good.ask(kit.produce_request({0: kit.batch(bytes(4_000_000))}))
    _, lazy_writer = await asyncio.open_unix_connection(cluster.controller.registered[-1].unix_path, limit=1)
    lazy_writer.write(b"".join(kit.encode_request(kit.fetch_request({0: 0}), correlation_id=1, client_id=None)))
    async with asyncio.timeout(5):
        while all(c._transport.get_write_buffer_size() == 0 for c in leader._parts.listener.connections):
            await good.ask(kit.fetch_request({0: 1}))
        await leader.close()
    assert leader.closed.result() is None
    lazy_writer.close()


async def test_peer_that_takes_no_answers_is_not_read_and_hinders_nobody(cluster: Any, kit: Any) -> None:
    await cluster.controller.assign(kit.assignment(**{"max.message.bytes": "2000000"}))
    leader = await cluster.start(leader_limits={"answer_bytes_max": 100_000})
    good = await cluster.client()
    await good.ask(kit.produce_request({0: kit.batch(bytes(1_000_000))}))
    lazy_reader, lazy_writer = await asyncio.open_unix_connection(cluster.controller.registered[-1].unix_path, limit=1)
    request = b"".join(kit.encode_request(kit.fetch_request({0: 0}), correlation_id=1, client_id=None))
    for _ in range(200):
        lazy_writer.write(request)
    lazy = None
    async with asyncio.timeout(5):
        while lazy is None or lazy.is_reading:
            await good.ask(kit.fetch_request({0: 1}))
            lazy = next((c for c in leader._parts.listener.connections if not c.is_writable), lazy)
    assert lazy._transport.get_write_buffer_size() < 10_000_000
    lazy_writer.close()
    del lazy_reader


async def test_counts_reach_the_registry(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment())
    await client.ask(kit.produce_request({0: kit.batch(b"v")}))
    await client.ask(kit.fetch_request({0: 0}))
    await client.ask(kit.fetch_request({9: 0}))
    leader = cluster.leaders[-1]
    leader._parts.housekeeping.publish()
    registry = leader._parts.context.metrics._registry

    def sample(name: str, **labels: str) -> float | None:
        value: float | None = registry.get_sample_value(name, {"leader": "1", **labels})
        return value

    assert sample("raylog_leader_requests_total", api="Produce") == 1
    assert sample("raylog_leader_requests_total", api="Fetch") == 3
    assert sample("raylog_leader_errors_total", api="Fetch", error="not_leader_or_follower") == 1
    assert sample("raylog_leader_tail_cache_hits_total") == 1
    assert sample("raylog_leader_partitions") == 1
    assert sample("raylog_leader_produce_seconds_count", stage="wal") == 1
