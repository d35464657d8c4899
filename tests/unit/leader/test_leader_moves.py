"""A leader hands partitions over, and takes over what was: here the same leader does both, as when a move is called off."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from raylog.model.admin import HandoverOffer, TakenFrom
from raylog.model.errors import CorruptError
from raylog.model.ids import LeaderId


async def produce(client: Any, kit: Any, number: int = 0, **batch: Any) -> Any:
    response = await client.ask(kit.produce_request({number: kit.batch(b"v", **batch)}))
    ((partition,),) = (topic.partition_responses for topic in response.responses)
    return partition


async def released(cluster: Any, *partitions: Any, kept: tuple[Any, ...] = ()) -> list[Any]:
    """What the leader reports once it has handed these over."""
    controller = cluster.controller
    await controller.assign(*kept, handing_over=partitions)
    await controller.until(lambda: set(partitions) <= controller.released.keys())
    return [controller.released[partition] for partition in partitions]


def back(kit: Any, report: Any, leader_epoch: int, **changes: Any) -> Any:
    """The assignment of a partition that goes on from where it was released."""
    source = TakenFrom(
        leader_id=LeaderId(1), handover=report.handover, leader_epoch=leader_epoch, epoch_base=report.epoch_base
    )
    return replace(kit.assignment(report.partition.partition), taken_from=source, **changes)


async def test_what_is_handed_over_goes_on_where_it_was_with_its_producers_and_a_higher_epoch(
    cluster: Any, kit: Any
) -> None:
    client = await cluster.lead(kit.assignment(0), kit.assignment(1))
    for number in (0, 1):
        for sequence in range(3):
            answer = await produce(client, kit, number, producer_id=7, epoch=0, sequence=sequence)
            assert answer.base_offset == sequence
    reports = await released(cluster, *(kit.assignment(n).partition for n in (0, 1)))
    assert len({report.handover for report in reports}) == 1, "many partitions leave with one object"
    assert (await produce(client, kit)).error_code is ErrorCode.not_leader_or_follower
    cluster.controller.adopted.clear()
    assignments = [back(kit, report, leader_epoch=41) for report in reports]
    await cluster.controller.assign(*assignments)
    await cluster.controller.until(lambda: len(cluster.controller.adopted) == 2)
    assert set(cluster.controller.adopted.values()) == {41}, "the first epoch above 41, less the log's epoch 1"
    repeated = await produce(client, kit, producer_id=7, epoch=0, sequence=2)
    assert (repeated.error_code, repeated.base_offset) == (ErrorCode.none, 2)
    assert (await produce(client, kit, producer_id=7, epoch=0, sequence=3)).base_offset == 3
    cluster.validate()
    await cluster.crash()
    await cluster.controller.assign(*(replace(a, adopted=True, taken_from=None) for a in assignments))
    await cluster.start()
    client = await cluster.client()
    assert (await produce(client, kit, producer_id=7, epoch=0, sequence=3)).base_offset == 3
    assert (await produce(client, kit, producer_id=7, epoch=0, sequence=4)).base_offset == 4
    response = await client.ask(kit.fetch_request({0: 0}))
    assert set(kit.values_of(await cluster.records_of(client, response))) == {b"v"}


async def test_fetches_that_wait_are_told_when_their_partition_leaves(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment(0))
    waiting = client.send(kit.fetch_request({0: 0}, max_wait_ms=60_000))
    await released(cluster, kit.assignment(0).partition)
    async with asyncio.timeout(kit.NO_WAIT_S):
        response = await waiting
    assert response.responses[0].partitions[0].error_code is ErrorCode.not_leader_or_follower


async def test_others_go_on_while_a_partition_leaves(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment(0), kit.assignment(1))
    kept = replace(kit.assignment(1), adopted=True)
    await released(cluster, kit.assignment(0).partition, kept=(kept,))
    assert (await produce(client, kit, 1)).base_offset == 0


@pytest.mark.parametrize("checkpoint_slots", [1, 200])
async def test_a_release_that_the_controller_has_not_heard_of_is_told_by_the_next_leader(
    cluster: Any, kit: Any, checkpoint_slots: int
) -> None:
    await cluster.controller.assign(kit.assignment(0))
    await cluster.start(leader_limits={"checkpoint_slots": checkpoint_slots, "register_backoff_s_max": 0.001})
    client = await cluster.client()
    assert (await produce(client, kit)).base_offset == 0
    cluster.controller.is_deaf = True
    registrations = len(cluster.controller.registered)
    partition = kit.assignment(0).partition
    await cluster.controller.assign(handing_over=(partition,))
    await cluster.controller.until(lambda: len(cluster.controller.registered) > registrations)
    await cluster.crash()
    cluster.controller.is_deaf = False
    leader = await cluster.start()
    assert cluster.controller.released.keys() == {partition}
    assert not leader._parts.context.partitions
    # Called off before the release was heard of: the leader says so rather than to call its log broken.
    cluster.controller.released.clear()
    await cluster.crash()
    await cluster.controller.assign(replace(kit.assignment(0), adopted=True))
    await cluster.start()
    report = cluster.controller.released[partition]
    await cluster.controller.assign(back(kit, report, leader_epoch=9))
    await cluster.controller.until(lambda: cluster.controller.adopted[partition] != -1)
    assert (await produce(await cluster.client(), kit)).base_offset == 1


async def test_a_release_that_the_controller_knows_is_forgotten(cluster: Any, kit: Any) -> None:
    await cluster.lead(kit.assignment(0), kit.assignment(1))
    await released(cluster, kit.assignment(0).partition, kept=(replace(kit.assignment(1), adopted=True),))
    await cluster.controller.assign(replace(kit.assignment(1), adopted=True), kit.assignment(2))
    await cluster.controller.until(lambda: kit.assignment(2).partition in cluster.controller.adopted)
    parts = cluster.leaders[-1]._parts
    assert parts.handovers.untold([kit.assignment(0).partition]) == []


async def test_a_partition_to_hand_over_that_the_log_does_not_know_ends_its_leader(cluster: Any, kit: Any) -> None:
    await cluster.controller.assign(handing_over=(kit.assignment(0).partition,))
    with pytest.raises(CorruptError, match="does not know partition 0"):
        await cluster.start()


async def test_a_handover_that_is_gone_ends_the_leader_instead_of_beginning_the_partition_anew(
    cluster: Any, kit: Any
) -> None:
    await cluster.lead(kit.assignment(0))
    [report] = await released(cluster, kit.assignment(0).partition)
    gone = report._replace(handover=report.handover ^ 1)
    await cluster.controller.assign(back(kit, gone, leader_epoch=9))
    async with asyncio.timeout(kit.NO_WAIT_S):
        with pytest.raises(CorruptError, match="handed over is not there"):
            await asyncio.shield(cluster.leaders[-1].closed)


async def taken_over(client: Any, kit: Any, **batch: Any) -> Any:
    """The answer to the first produce that is not told that the partition is not led."""
    async with asyncio.timeout(kit.NO_WAIT_S):
        while (answer := await produce(client, kit, **batch)).error_code is ErrorCode.not_leader_or_follower:
            pass
    return answer


async def test_a_batch_that_comes_between_the_handover_and_the_stop_moves_along(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment(0))
    partition = kit.assignment(0).partition
    await produce(client, kit, producer_id=7, epoch=0, sequence=0)

    async def meanwhile(*_: Any) -> None:
        await produce(client, kit, producer_id=7, epoch=0, sequence=1)

    cluster.controller.offer_handover = meanwhile
    [report] = await released(cluster, partition)
    assert (report.changes["end_offset"], len(report.changes["rows"]), len(report.changes["producers"])) == (2, 1, 1)
    await cluster.controller.assign(back(kit, report, leader_epoch=9))
    repeated = await taken_over(client, kit, producer_id=7, epoch=0, sequence=1)
    assert (repeated.error_code, repeated.base_offset) == (ErrorCode.none, 1)
    assert (await produce(client, kit, producer_id=7, epoch=0, sequence=2)).base_offset == 2
    cluster.validate()


async def test_a_request_that_comes_before_its_partition_waits_for_it(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment(0))
    partition = kit.assignment(0).partition
    await produce(client, kit)
    [report] = await released(cluster, partition)
    offer = HandoverOffer(leader_id=LeaderId(1), handover=report.handover, partitions=(partition,))
    await cluster.controller.offer(offer)
    early = client.send(kit.produce_request({0: kit.batch(b"early")}))
    await client.ask(kit.fetch_request({1: 0}))  # the leader has got what was sent before it
    assert not early.done()
    await cluster.controller.assign(back(kit, report, leader_epoch=9))
    async with asyncio.timeout(kit.NO_WAIT_S):
        response = await early
    [answer] = response.responses[0].partition_responses
    assert (answer.error_code, answer.base_offset) == (ErrorCode.none, 1)


class TestWithAFileWal:
    @pytest.fixture
    def wal_url(self, tmp_path: Path) -> str:
        (tmp_path / "wal").mkdir()
        return f"file://{tmp_path}/wal?flush_interval_ms=30000&segment=1MiB&capacity=256MiB"

    async def test_what_is_taken_over_serves_before_the_bucket_knows_and_after_a_crash_it_goes_on(
        self, cluster: Any, kit: Any
    ) -> None:
        client = await cluster.lead(kit.assignment(0))
        partition = kit.assignment(0).partition
        await produce(client, kit, producer_id=7, epoch=0, sequence=0)
        [report] = await released(cluster, partition)
        cluster.controller.adopted.clear()
        cluster.store.shut()
        await cluster.controller.assign(back(kit, report, leader_epoch=9))
        assert (await taken_over(client, kit, producer_id=7, epoch=0, sequence=1)).base_offset == 1
        assert cluster.controller.adopted == {}, "it is in no slot yet"
        await cluster.crash()
        cluster.store.discard_held()
        cluster.store.release()
        leader = await cluster.start()
        client = await cluster.client()
        again = await produce(client, kit, producer_id=7, epoch=0, sequence=1)
        assert (again.error_code, again.base_offset) == (ErrorCode.none, 1)
        assert (await produce(client, kit, producer_id=7, epoch=0, sequence=2)).base_offset == 2
        await leader._parts.flusher.flush()
        await cluster.controller.assign(back(kit, report, leader_epoch=9))
        await cluster.controller.until(lambda: partition in cluster.controller.adopted)
        cluster.validate()

    @pytest.mark.parametrize("checkpoint_slots", [1, 200])
    async def test_a_take_over_that_the_wal_still_has_of_what_has_left_since_is_over(
        self, cluster: Any, kit: Any, checkpoint_slots: int
    ) -> None:
        await cluster.controller.assign(kit.assignment(0))
        await cluster.start(leader_limits={"checkpoint_slots": checkpoint_slots})
        client = await cluster.client()
        partition = kit.assignment(0).partition
        await produce(client, kit)
        [report] = await released(cluster, partition)
        await cluster.controller.assign(back(kit, report, leader_epoch=9))
        assert (await taken_over(client, kit)).base_offset == 1
        await cluster.controller.until(lambda: cluster.controller.adopted[partition] == 9)
        cluster.controller.released.clear()
        await released(cluster, partition)
        await cluster.controller.assign()
        await cluster.crash()
        leader = await cluster.start()
        assert list(leader._parts.context.partitions) == []
