"""When a leader writes checkpoints, and what the trimming after them leaves: every slot that a row points into."""

from dataclasses import replace
from typing import Any

from raylog.model.ids import LeaderId
from raylog.model.limits import LogLimits
from raylog.storage.keys import leader_prefix

LOG = f"{leader_prefix(LeaderId(1))}log/"
FILLER = 2
"""A partition whose records go at once: its slots are what the log goes on by."""


async def produce(cluster: Any, client: Any, kit: Any, number: int) -> None:
    """One record, in a slot of its own."""
    response = await client.ask(kit.produce_request({number: kit.batch(b"x")}))
    assert response.responses[0].partition_responses[0].base_offset >= 0
    await cluster.leaders[-1]._parts.flusher.flush()


async def checkpoint_twice(cluster: Any, client: Any, kit: Any) -> None:
    """The first is older than the grace when the second, of a later slot, is written: so it covers what is trimmed."""
    checkpoints = cluster.leaders[-1]._parts.checkpoints
    await checkpoints.write()
    await cluster.leaders[-1]._clock.sleep(0.002)
    await produce(cluster, client, kit, FILLER)
    await client.ask(kit.delete_records_request(FILLER, -1))
    await checkpoints.write()


def needed(cluster: Any) -> set[int]:
    partitions = cluster.leaders[-1]._parts.context.partitions
    return {row.number for hosted in partitions for row in hosted.core.index}


async def slots(cluster: Any) -> set[int]:
    return {int(found.key.removeprefix(LOG)) async for found in cluster.store.list(LOG)}


async def test_trimming_stops_at_the_first_slot_that_a_row_points_into(cluster: Any, kit: Any) -> None:
    cluster.limits = replace(cluster.limits, log=LogLimits(trim_grace_s=0.001))
    client = await cluster.lead(kit.assignment(0), kit.assignment(1), kit.assignment(FILLER))
    await produce(cluster, client, kit, 0)
    for _ in range(4):
        await produce(cluster, client, kit, 1)
    before = needed(cluster)
    await checkpoint_twice(cluster, client, kit)
    assert min(await slots(cluster)) == min(before)
    await client.ask(kit.delete_records_request(0, 1))
    assert min(needed(cluster)) > min(before)
    await checkpoint_twice(cluster, client, kit)
    assert min(await slots(cluster)) == min(needed(cluster))
    await client.ask(kit.delete_records_request(1, 4))
    await checkpoint_twice(cluster, client, kit)
    assert needed(cluster) == set()
    assert len(await slots(cluster)) <= 3, "the slots from the covering checkpoint's on"
    await cluster.crash()
    await cluster.start()
    assert [hosted.core.log_start_offset for hosted in cluster.leaders[-1]._parts.context.partitions] == [1, 4, 3]


async def test_what_a_successor_replays_is_bounded_by_rows(cluster: Any, kit: Any) -> None:
    await cluster.controller.assign(kit.assignment(0), kit.assignment(1))
    await cluster.start(leader_limits={"checkpoint_rows": 6, "checkpoint_slots": 1_000_000})
    client = await cluster.client()
    most = 0
    for number in range(40):
        await produce(cluster, client, kit, number % 2)
        checkpoints = cluster.leaders[-1]._parts.checkpoints
        while checkpoints._due.is_set() or checkpoints.lock.locked():
            await client.ask(kit.fetch_request({}))
        most = max(most, checkpoints.replay_rows)
    # Not quite: a slot may settle while a checkpoint is written.
    assert 4 <= most <= 6 + 1
    left = checkpoints.replay_rows
    await cluster.crash()
    await cluster.start(leader_limits={"checkpoint_rows": 6, "checkpoint_slots": 1_000_000})
    assert cluster.leaders[-1]._parts.checkpoints.replay_rows == left


async def test_a_large_state_is_written_after_more_rows(cluster: Any, kit: Any) -> None:
    """As many as take as long to replay as the checkpoint takes to be read."""
    await cluster.controller.assign(kit.assignment(0))
    await cluster.start(leader_limits={"checkpoint_rows": 2, "checkpoint_slots": 1_000_000})
    client = await cluster.client()
    for _ in range(60):
        await produce(cluster, client, kit, 0)
    checkpoints = cluster.leaders[-1]._parts.checkpoints
    await checkpoints.write()
    assert len(needed(cluster)) == 60 and checkpoints._rows_due == 60 // 15


async def test_an_idle_leader_writes_a_checkpoint_by_time_once(cluster: Any, kit: Any) -> None:
    await cluster.controller.assign(kit.assignment())
    leader = await cluster.start(leader_limits={"checkpoint_s_max": 1e-9})
    client = await cluster.client()
    await produce(cluster, client, kit, 0)
    checkpoints = leader._parts.checkpoints
    checkpoints.look()
    assert checkpoints._due.is_set()
    while not await cluster.has_checkpoint():
        await client.ask(kit.fetch_request({}))
    checkpoints.look()
    assert not checkpoints._due.is_set(), "there is nothing new"
