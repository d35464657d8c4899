"""What a leader does with what the controller says, and without it."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from kio.schema.errors import ErrorCode

from raylog.model.errors import CorruptError


async def produce(client: Any, kit: Any, number: int = 0, topic: str = "events", value: bytes = b"v") -> Any:
    response = await client.ask(kit.produce_request({number: kit.batch(value)}, topic=topic))
    ((partition,),) = (topic.partition_responses for topic in response.responses)
    return partition


async def test_partitions_assigned_later_are_adopted_durably_then_reported(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment(0))
    cluster.store.shut()
    await cluster.controller.assign(kit.assignment(0), kit.assignment(1))
    for _ in range(20):
        assert (await produce_unled(client, kit, 1)) is ErrorCode.not_leader_or_follower
    assert kit.assignment(1).partition not in cluster.controller.adopted
    cluster.store.release()
    await cluster.controller.until(lambda: kit.assignment(1).partition in cluster.controller.adopted)
    assert (await produce(client, kit, 1)).error_code is ErrorCode.none


async def produce_unled(client: Any, kit: Any, number: int) -> ErrorCode:
    response = await client.ask(kit.fetch_request({number: 0}))
    code: ErrorCode = response.responses[0].partitions[0].error_code
    return code


async def test_adoption_is_reported_again_by_the_next_leader_with_the_same_base(cluster: Any, kit: Any) -> None:
    await cluster.lead(kit.assignment(0))
    assert cluster.controller.adopted == {kit.assignment(0).partition: -1}
    await cluster.crash()
    cluster.controller.adopted.clear()
    await cluster.start()
    assert cluster.controller.adopted == {kit.assignment(0).partition: -1}
    assert [endpoint.log_epoch for endpoint in cluster.controller.registered] == [1, 2]


async def test_released_partition_is_gone_for_good_and_its_successor_by_name_starts_empty(
    cluster: Any, kit: Any
) -> None:
    client = await cluster.lead(kit.assignment(0))
    assert (await produce(client, kit)).base_offset == 0
    reborn = kit.assignment(0, topic_id=UUID(int=0xDEF))
    await cluster.controller.assign(reborn)
    await cluster.controller.until(lambda: reborn.partition in cluster.controller.adopted)
    assert (await produce(client, kit)).base_offset == 0
    assert (await produce(client, kit)).base_offset == 1
    await cluster.crash()
    leader = await cluster.start()
    assert [hosted.partition for hosted in leader._parts.context.partitions] == [reborn.partition]
    assert (await produce(await cluster.client(), kit)).base_offset == 2


async def test_what_is_not_assigned_is_let_go_of_only_when_its_topic_is_deleted(cluster: Any, kit: Any) -> None:
    """A controller that forgets a partition by mistake must not cost what is in it."""
    client = await cluster.lead(kit.assignment(0), kit.assignment(1))
    await produce(client, kit)
    cluster.controller.undeleted.add(kit.assignment(0).partition)
    new = kit.assignment(2)
    await cluster.controller.assign(new)
    await cluster.controller.until(lambda: new.partition in cluster.controller.adopted)
    led = {hosted.partition.partition for hosted in cluster.leaders[-1]._parts.context.partitions}
    assert led == {0, 2}
    assert (await produce(client, kit)).base_offset == 1


async def test_log_that_lost_an_adopted_partition_ends_its_leader_instead_of_beginning_it_anew(
    cluster: Any, kit: Any
) -> None:
    await cluster.controller.assign(replace(kit.assignment(0), adopted=True))
    with pytest.raises(CorruptError, match="does not know partition 0 of topic 'events'"):
        await cluster.start()
    assert not cluster.leaders[-1]._parts.context.partitions


async def test_settings_take_effect_when_they_change(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment(0))
    assert (await produce(client, kit, value=bytes(2000))).error_code is ErrorCode.none
    await cluster.controller.assign(kit.assignment(0, **{"max.message.bytes": "1000"}), kit.assignment(1))
    await cluster.controller.until(lambda: kit.assignment(1).partition in cluster.controller.adopted)
    assert (await produce(client, kit, value=bytes(2000))).error_code is ErrorCode.message_too_large
    assert (await produce(client, kit, 1, value=bytes(2000))).error_code is ErrorCode.none
    await cluster.controller.assign(kit.assignment(1), kit.assignment(2), broker_configs={"message.max.bytes": "1000"})
    await cluster.controller.until(lambda: kit.assignment(2).partition in cluster.controller.adopted)
    assert (await produce(client, kit, 1, value=bytes(2000))).error_code is ErrorCode.message_too_large


async def test_leader_serves_what_it_leads_while_the_controller_is_away(cluster: Any, kit: Any) -> None:
    client = await cluster.lead(kit.assignment(0))
    assert (await produce(client, kit)).base_offset == 0
    endpoint = cluster.controller.registered[-1]
    endpoint = kit.replace(endpoint, unix_path=endpoint.later_sockets()[0])  # as gateways look for it
    await cluster.crash()
    cluster.controller.is_away = True
    starting = asyncio.create_task(cluster.start())
    async with asyncio.timeout(5):
        while True:
            try:
                client = await kit.Client.connect(endpoint)
                break
            except OSError:
                await asyncio.sleep(0)
    cluster.clients.append(client)
    assert (await produce(client, kit)).base_offset == 1
    assert not starting.done()
    cluster.controller.is_away = False
    await starting


async def test_leader_that_registers_too_late_is_fenced(cluster: Any, kit: Any) -> None:
    await cluster.lead(kit.assignment(0))
    newest = cluster.controller.registered[-1]
    await cluster.crash()
    cluster.controller.registered.append(kit.replace(newest, log_epoch=99))
    try:
        await cluster.start()
    except kit.FencedError:
        pass
    else:
        raise AssertionError("a leader registered below the registered epoch")


async def test_checkpoint_at_the_slot_of_an_adoption_or_release_has_it(cluster: Any, kit: Any) -> None:
    await cluster.controller.assign(kit.assignment(0))
    await cluster.start(leader_limits={"checkpoint_slots": 1})
    for number in range(1, 6):
        new = kit.assignment(number)
        await cluster.controller.assign(*(kit.assignment(n) for n in (number - 1, number)))
        await cluster.controller.until(lambda new=new: new.partition in cluster.controller.adopted)
        await cluster.crash()
        leader = await cluster.start(leader_limits={"checkpoint_slots": 1})
        led = {hosted.partition.partition for hosted in leader._parts.context.partitions}
        assert led == {number - 1, number}
    assert await cluster.has_checkpoint()


async def test_controller_that_was_replaced_and_does_not_know_it_takes_no_partition_away(
    cluster: Any, kit: Any
) -> None:
    controller = cluster.controller
    stale = controller.assignments
    await controller.assign(kit.assignment(0))
    await cluster.start(leader_limits={"register_backoff_s_max": 0.001})
    client = await cluster.client()
    assert (await produce(client, kit)).base_offset == 0
    controller.stale_answers = [stale, stale]
    await controller.lose_watchers()
    await controller.until(lambda: len(controller.registered) == 4)
    assert not controller.stale_answers
    assert (await produce(client, kit)).base_offset == 1
