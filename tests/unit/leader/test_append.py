"""The append step: whole, or the end of the leader."""

from collections import deque
from typing import Any

import pytest

from raylog.storage.wal import WalEntry


async def test_what_fails_after_offsets_were_given_ends_the_leader(
    cluster: Any, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await cluster.lead(kit.assignment(0))
    await client.ask(kit.produce_request({0: kit.batch(b"a")}))

    def full(entry: WalEntry) -> None:
        raise MemoryError

    monkeypatch.setattr(cluster.wals[-1], "append", full)
    client.send(kit.produce_request({0: kit.batch(b"b")}))
    with pytest.raises(MemoryError):
        await cluster.leaders[-1].closed
    await client.gone()


async def test_what_fails_before_that_ends_only_the_connection(
    cluster: Any, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await cluster.lead(kit.assignment(0))
    other = await cluster.client()
    (hosted,) = cluster.leaders[-1]._parts.context.partitions
    with monkeypatch.context() as patch:
        patch.setattr(type(hosted.core), "append", lambda *_, **__: 1 / 0)
        client.send(kit.produce_request({0: kit.batch(b"a")}))
        await client.gone()
    response = await other.ask(kit.produce_request({0: kit.batch(b"a")}))
    assert response.responses[0].partition_responses[0].base_offset == 0


async def test_coordinators_have_room_where_requests_must_wait(cluster: Any, kit: Any) -> None:
    await cluster.controller.assign(kit.assignment(0))
    leader = await cluster.start(leader_limits={"unflushed_bytes_max": 1000, "coordinator_bytes_max": 500})
    appender, log = leader._parts.context.appender, leader._parts.context.internal_log
    buffer, wal = leader._parts.buffer, cluster.wals[-1]
    if wal.can_read_back:
        # Requests wait for the WAL alone.
        buffer.held_bytes = 1 << 30
        assert appender.has_room(1)
        buffer.held_bytes = 0
        wal._queue, wal._queued_bytes = [None], wal._segments.free_bytes
        assert not appender.has_room(1) and log.has_room
        wal._queued_bytes += 501
        assert not log.has_room
        wal._queue, wal._queued_bytes = deque(), 0
    else:
        buffer.held_bytes = 1000
        assert not appender.has_room(1) and log.has_room
        buffer.held_bytes = 1501
        assert not log.has_room
        buffer.held_bytes = 0
