"""A move through the controller: wanted, released, adopted; each step durable, and told to whom it concerns."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from controller.nodes import Node
from raylog.model.admin import Adopted, HandoverOffer, LeaderAssignments, Move, NewTopic, Released
from raylog.model.errors import FencedError
from raylog.model.ids import LeaderId, LogEpoch, TopicPartition
from raylog.model.limits import ControllerLimits, Limits

ONE, TWO, EPOCH = LeaderId(1), LeaderId(2), LogEpoch(1)
HANDOVER = 4711


async def adopt(controller: Any, leader_id: LeaderId, assignments: LeaderAssignments, base: int) -> None:
    adopted = [Adopted(partition=a.partition, epoch_base=base) for a in assignments.partitions if not a.adopted]
    await controller.report_adopted(leader_id, EPOCH, adopted)


async def led(controller: Any, leader_endpoint: Any, *leaders: int) -> TopicPartition:
    """A partition of leader 1, adopted, of a topic that leader 2 has the other partition of."""
    await controller.create_topics([NewTopic(name="t", partitions=2)], timeout_ms=0)
    for leader_id in leaders:
        assignments = await controller.register_leader(leader_endpoint(leader_id))
        await adopt(controller, LeaderId(leader_id), assignments, -1)
    table = await controller.watch_routes(0)
    topic = table.topics["t"]
    number = next(n for n, route in enumerate(topic.partitions) if route.leader_id == ONE)
    return TopicPartition(topic.topic_id, number)


async def order(controller: Any, partition: TopicPartition, to: LeaderId) -> None:
    [result] = await controller.move_partitions([Move(topic="t", partition=partition.partition, to_leader=to)])
    assert result.error_code == 0, result


def release(partition: TopicPartition, base: int = -1) -> list[Released]:
    return [Released(partition=partition, epoch_base=base, handover=HANDOVER)]


async def test_a_partition_goes_from_its_leader_to_the_next(cluster: Any, leader_endpoint: Any) -> None:
    controller = await cluster.start(())
    partition = await led(controller, leader_endpoint, 1, 2)
    await order(controller, partition, TWO)
    one = await controller.watch_assignments(ONE, EPOCH, 0)
    assert one.handing_over == (partition,)
    assert partition not in [a.partition for a in one.partitions]
    route = (await controller.watch_routes(0)).topics["t"].partitions[partition.partition]
    assert (route.leader_id, route.adopted, route.moving_to) == (ONE, True, TWO)

    for _ in range(2):  # reports are repeated
        await controller.report_released(ONE, EPOCH, release(partition))
    two = await controller.watch_assignments(TWO, EPOCH, 0)
    [taken] = [a for a in two.partitions if a.partition == partition]
    source = taken.taken_from
    assert source is not None
    assert (source.leader_id, source.handover, source.leader_epoch, source.epoch_base) == (ONE, HANDOVER, 0, -1)
    assert (await controller.watch_assignments(ONE, EPOCH, one.version)).handing_over == ()
    assert partition in controller.led_partitions(), "garbage collection must know of it while no log leads it"
    table = await controller.watch_routes(0)
    route = table.topics["t"].partitions[partition.partition]
    assert (route.leader_id, route.adopted, route.moving_from, table.leader_epoch(route)) == (TWO, False, ONE, -1)

    await adopt(controller, TWO, two, 0)
    table = await controller.watch_routes(table.version)
    route = table.topics["t"].partitions[partition.partition]
    assert (route.leader_id, route.adopted, route.moving_from, table.leader_epoch(route)) == (TWO, True, None, 1)
    await controller.report_released(ONE, EPOCH, release(partition))
    await controller.report_adopted(ONE, EPOCH, [Adopted(partition=partition, epoch_base=7)])
    assert (await controller.watch_routes(0)).topics["t"].partitions[partition.partition] == route


async def test_a_leader_keeps_its_partition_until_the_next_one_is_there(cluster: Any, leader_endpoint: Any) -> None:
    controller = await cluster.start(())
    partition = await led(controller, leader_endpoint, 1)
    await order(controller, partition, TWO)
    one = await controller.watch_assignments(ONE, EPOCH, 0)
    assert one.handing_over == ()
    assert partition in [a.partition for a in one.partitions]
    await controller.register_leader(leader_endpoint(2))
    assert (await controller.watch_assignments(ONE, EPOCH, one.version)).handing_over == (partition,)


@pytest.mark.parametrize("comes_back", [False, True])
async def test_a_leader_keeps_what_was_to_go_to_one_whose_node_is_gone(
    cluster: Any, leader_endpoint: Any, comes_back: bool
) -> None:
    here, there = (Node(name=name, mounts={"file": "", "object": ""}) for name in ("node-a", "node-b"))
    places = {1: replace(leader_endpoint(1), node_id="node-a"), 2: replace(leader_endpoint(2), node_id="node-b")}
    controller = await cluster.start((), nodes=[here, there])
    partition = await led(controller, places.get, 1, 2)
    await controller.see_nodes([here, replace(there, start_id="again")] if comes_back else [here])
    await order(controller, partition, TWO)
    one = await controller.watch_assignments(ONE, EPOCH, 0)
    assert one.handing_over == ()
    # It has been started again elsewhere.
    await controller.register_leader(replace(leader_endpoint(2, 2), node_id="node-a"))
    assert (await controller.watch_assignments(ONE, EPOCH, one.version)).handing_over == (partition,)


async def test_every_step_survives_the_controller(cluster: Any, leader_endpoint: Any) -> None:
    controller = await cluster.start(())
    partition = await led(controller, leader_endpoint, 1, 2)
    await order(controller, partition, TWO)
    controller = await cluster.restart()
    one = await controller.register_leader(leader_endpoint(1))
    assert one.handing_over == (), "this controller has not heard of leader 2 yet"
    await controller.register_leader(leader_endpoint(2))
    one = await controller.watch_assignments(ONE, EPOCH, one.version)
    assert one.handing_over == (partition,)
    await controller.report_released(ONE, EPOCH, release(partition))
    controller = await cluster.restart()
    two = await controller.register_leader(leader_endpoint(2))
    assert [a.taken_from is not None for a in two.partitions if a.partition == partition] == [True]


async def test_a_fenced_leader_releases_nothing(cluster: Any, leader_endpoint: Any) -> None:
    controller = await cluster.start(())
    partition = await led(controller, leader_endpoint, 1, 2)
    await order(controller, partition, TWO)
    await controller.register_leader(leader_endpoint(1, 2))
    with pytest.raises(FencedError):
        await controller.report_released(ONE, EPOCH, release(partition))


async def test_a_handover_is_offered_to_those_who_are_to_lead_next_until_they_have_read_it(
    cluster: Any, leader_endpoint: Any
) -> None:
    controller = await cluster.start(())
    partition = await led(controller, leader_endpoint, 1, 2)
    await order(controller, partition, TWO)
    watching = asyncio.ensure_future(controller.watch_offers(TWO, EPOCH, ()))
    offering = asyncio.ensure_future(controller.offer_handover(ONE, EPOCH, HANDOVER, [partition]))
    offers = await watching
    assert offers == (HandoverOffer(leader_id=ONE, handover=HANDOVER, partitions=(partition,)),)
    assert await controller.watch_offers(TWO, EPOCH, ()) == offers, "the answer may get lost"
    assert not offering.done()
    watching = asyncio.ensure_future(controller.watch_offers(TWO, EPOCH, offers))
    await offering
    assert not watching.done(), "there is nothing more"
    watching.cancel()


async def test_nobody_waits_long_for_a_leader_that_does_not_read_and_not_at_all_for_one_that_is_away(
    cluster: Any, leader_endpoint: Any
) -> None:
    cluster.limits = Limits(controller=ControllerLimits(offer_s_max=0.01, poll_s_max=0.01))
    controller = await cluster.start(())
    partition = await led(controller, leader_endpoint, 1)
    await order(controller, partition, TWO)
    await controller.offer_handover(ONE, EPOCH, HANDOVER, [partition])
    await controller.register_leader(leader_endpoint(2))
    await controller.offer_handover(ONE, EPOCH, HANDOVER, [partition])
    assert await controller.watch_offers(TWO, EPOCH, ()) == (), "an offer that was not read is withdrawn"


async def test_what_changed_after_the_handover_goes_with_the_partition(cluster: Any, leader_endpoint: Any) -> None:
    controller = await cluster.start(())
    partition = await led(controller, leader_endpoint, 1, 2)
    await order(controller, partition, TWO)
    changes = {"end_offset": 5, "rows": [[1, 2, 3]]}
    await controller.report_released(ONE, EPOCH, [release(partition)[0]._replace(changes=changes)])
    assert source_of(await controller.register_leader(leader_endpoint(2)), partition).changes == changes
    controller = await cluster.restart()
    assert source_of(await controller.register_leader(leader_endpoint(2)), partition).changes == changes


def source_of(assignments: LeaderAssignments, partition: TopicPartition) -> Any:
    [source] = [a.taken_from for a in assignments.partitions if a.partition == partition]
    return source
