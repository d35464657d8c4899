"""Channels to leaders: what happens to requests under way when leaders answer late, drop, move or are not there."""

import asyncio
from dataclasses import replace

import pytest
from kio.schema.errors import ErrorCode
from kio.schema.find_coordinator.v6.request import FindCoordinatorRequest
from kio.schema.offset_for_leader_epoch.v4.request import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)
from kio.schema.offset_for_leader_epoch.v4.response import (
    EpochEndOffset,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderTopicResult,
)

from raylog.model.errors import RetryError, StaleRouteError, UnansweredError
from raylog.model.ids import LeaderId, LogEpoch
from raylog.protocol.wire import decode_response, ms

_OFFSETS = (23, 4)
"""OffsetForLeaderEpoch's key and version."""


def epoch_request(epoch: int) -> OffsetForLeaderEpochRequest:
    partition = OffsetForLeaderPartition(partition=0, leader_epoch=epoch)
    return OffsetForLeaderEpochRequest(topics=(OffsetForLeaderTopic(topic="t", partitions=(partition,)),))


def epoch_answer(request) -> OffsetForLeaderEpochResponse:
    epoch = request.topics[0].partitions[0].leader_epoch
    end = EpochEndOffset(error_code=ErrorCode.none, partition=0, leader_epoch=epoch, end_offset=1000 + epoch)
    return OffsetForLeaderEpochResponse(
        throttle_time=ms(0), topics=(OffsetForLeaderTopicResult(topic="t", partitions=(end,)),)
    )


def end_of(answer) -> int:
    return answer.topics[0].partitions[0].end_offset


@pytest.fixture
def router(world):
    return world.gateway._server.services.router


async def lose(world, router, leader) -> None:
    """Kill the leader; returns when the gateway knows."""
    await leader.kill()
    await world.until(lambda: router._channels._lost_at_s)


async def test_answers_are_matched_by_correlation_id(world, router):
    gates = [asyncio.Event() for _ in range(5)]

    async def script(head, request):
        await gates[request.topics[0].partitions[0].leader_epoch].wait()
        return epoch_answer(request)

    leader = await world.leader(1, script)
    await world.settled()
    asked = [asyncio.create_task(router.send(LeaderId(1), epoch_request(epoch))) for epoch in range(5)]
    await leader.received(5)
    for gate in reversed(gates):
        gate.set()
    assert [end_of(await answer) for answer in asked] == [1000, 1001, 1002, 1003, 1004]


async def test_requests_made_before_the_connection_is_there_arrive_in_order(world, router):
    leader = await world.leader(1, lambda head, request: epoch_answer(request))
    await world.settled()
    answers = [router.send_entity(LeaderId(1), epoch_request(epoch)) for epoch in range(20)]
    await asyncio.gather(*answers)
    assert [request.topics[0].partitions[0].leader_epoch for request in leader.requests] == list(range(20))


async def test_what_is_under_way_fails_when_the_leader_drops_and_the_next_request_connects_anew(world, router):
    leader = await world.leader(1, lambda head, request: None)
    await world.settled()
    answer = router.send_entity(LeaderId(1), epoch_request(1))
    await leader.received(1)
    await leader.kill()
    with pytest.raises(UnansweredError):
        await answer
    assert router.budget(LeaderId(1)).taken_bytes == 0
    leader.script = lambda head, request: epoch_answer(request)
    await leader.start()
    assert end_of(await router.send(LeaderId(1), epoch_request(2))) == 1002


async def test_a_later_open_than_the_routes_tell_of_is_found_at_its_socket(world, router):
    """The controller is away, and the leader was started again."""
    leader = await world.leader(1, lambda head, request: epoch_answer(request))
    await world.settled()
    await leader.kill()
    leader.endpoint = replace(leader.endpoint, unix_path=leader.endpoint.later_sockets()[1])
    await leader.start()
    assert end_of(await router.send(LeaderId(1), epoch_request(2))) == 1002


async def test_what_a_later_open_was_asked_stays_under_way_when_the_routes_tell_of_it(world, router):
    gate = asyncio.Event()

    async def script(head, request):
        await gate.wait()
        return epoch_answer(request)

    leader = await world.leader(1, script)
    await world.settled()
    await leader.kill()
    later = replace(leader.endpoint, log_epoch=LogEpoch(2), unix_path=leader.endpoint.later_sockets()[0])
    leader.endpoint = later
    await leader.start()
    answer = router.send_entity(LeaderId(1), epoch_request(2))
    await leader.received(1)
    world.controller.publish(leaders={LeaderId(1): later})
    await world.settled()
    another = router.send_entity(LeaderId(1), epoch_request(3))
    gate.set()
    assert [end_of(decode_response(*_OFFSETS, await one)[1]) for one in (answer, another)] == [1002, 1003]
    assert len(leader.connections) == 1


async def test_a_leader_that_takes_no_connections_fails_requests_at_once_for_a_while(world, router):
    leader = await world.leader(1, lambda head, request: epoch_answer(request))
    await world.settled()
    await leader.kill()
    with pytest.raises(StaleRouteError) as failed:
        await router.send(LeaderId(1), epoch_request(1))
    assert not isinstance(failed.value, UnansweredError)
    with pytest.raises(StaleRouteError, match="takes no connections"):
        router.send_entity(LeaderId(1), epoch_request(2))


@pytest.mark.parametrize("is_told", [False, True])
async def test_a_leader_that_was_lost_is_waited_for_wherever_it_comes_back(world, router, is_told):
    leader = await world.leader(1, lambda head, request: epoch_answer(request))
    await world.settled()
    await router.send(LeaderId(1), epoch_request(0))
    await lose(world, router, leader)
    asked = [router.send_entity(LeaderId(1), epoch_request(epoch)) for epoch in range(1, 4)]
    await asyncio.sleep(0)
    if is_told:  # it has another node's paths there
        leader.endpoint = replace(
            leader.endpoint, log_epoch=LogEpoch(9), unix_path=str(world.folder / "elsewhere.sock")
        )
        world.controller.publish(leaders={LeaderId(1): leader.endpoint})
        await world.settled()
    else:
        leader.endpoint = replace(leader.endpoint, unix_path=leader.endpoint.later_sockets()[0])
    asked.append(router.send_entity(LeaderId(1), epoch_request(4)))
    await leader.start()
    answers = [end_of(decode_response(*_OFFSETS, await one)[1]) for one in asked]
    assert answers == [1001, 1002, 1003, 1004]
    assert [request.topics[0].partitions[0].leader_epoch for request in leader.requests] == list(range(5))
    assert len(leader.connections) == 1


@pytest.mark.parametrize("is_told_first", [False, True])
async def test_a_leader_that_was_lost_is_waited_for_when_the_routes_tell_of_its_end(world, router, is_told_first):
    leader = await world.leader(1, lambda head, request: None)
    await world.settled()
    asked = [router.send_entity(LeaderId(1), epoch_request(0), may_repeat=True)]
    await leader.received(1)
    leader.requests.clear()
    leader.script = lambda head, request: epoch_answer(request)
    later = replace(leader.endpoint, log_epoch=LogEpoch(2), unix_path=leader.endpoint.later_sockets()[0])
    await lose(world, router, leader)
    if is_told_first:
        world.controller.publish(leaders={})
        await world.settled()
        asked.append(router.send_entity(LeaderId(1), epoch_request(1)))
    leader.endpoint = later
    await leader.start()
    await leader.received(1)
    if not is_told_first:
        world.controller.publish(leaders={})
        await world.settled()
        asked.append(router.send_entity(LeaderId(1), epoch_request(1)))
    world.controller.publish(leaders={LeaderId(1): later})
    await world.settled()
    asked.append(router.send_entity(LeaderId(1), epoch_request(2)))
    assert [end_of(decode_response(*_OFFSETS, await one)[1]) for one in asked] == [1000, 1001, 1002]
    assert [request.topics[0].partitions[0].leader_epoch for request in leader.requests] == [0, 1, 2]
    assert len(leader.connections) == 1


async def test_a_leader_that_is_found_again_stays_so_when_the_routes_have_news_of_others_meanwhile(world, router):
    leader = await world.leader(1, lambda head, request: epoch_answer(request))
    await world.settled()
    await router.send(LeaderId(1), epoch_request(0))
    await lose(world, router, leader)
    connect = router._channels._connect

    async def connect_while_there_is_news(endpoint, protocol):
        made = await connect(endpoint, protocol)
        world.controller.publish(leaders={LeaderId(1): replace(endpoint)})
        await world.settled()
        asked.append(router.send_entity(LeaderId(1), epoch_request(2)))
        return made

    router._channels._connect = connect_while_there_is_news
    asked = [router.send_entity(LeaderId(1), epoch_request(1))]
    leader.endpoint = replace(leader.endpoint, unix_path=leader.endpoint.later_sockets()[0])
    await leader.start()
    await world.until(lambda: len(asked) == 2)
    assert [end_of(decode_response(*_OFFSETS, await one)[1]) for one in asked] == [1001, 1002]
    assert len(leader.connections) == 1


@pytest.mark.parametrize("is_dropped", [True, False])
async def test_what_may_be_done_twice_is_sent_again_before_all_that_comes_later(world, router, is_dropped):
    leader = await world.leader(1, lambda head, request: None)
    await world.settled()
    asked = [router.send_entity(LeaderId(1), epoch_request(epoch), may_repeat=True) for epoch in range(3)]
    once = router.send_entity(LeaderId(1), epoch_request(9))
    await leader.received(4)
    leader.requests.clear()
    leader.script = lambda head, request: epoch_answer(request)
    if is_dropped:
        await lose(world, router, leader)
        await leader.start()
    else:  # its old open hangs
        silent = leader
        leader = await world.leader(2, leader.script)
        await world.settled()
        moved = replace(leader.endpoint, leader_id=LeaderId(1), log_epoch=LogEpoch(2))
        world.controller.publish(leaders={LeaderId(1): moved})
        await world.settled()
        assert not silent.requests
    asked.append(router.send_entity(LeaderId(1), epoch_request(3)))
    answers = [end_of(decode_response(*_OFFSETS, await one)[1]) for one in asked]
    assert answers == [1000, 1001, 1002, 1003]
    assert [request.topics[0].partitions[0].leader_epoch for request in leader.requests] == list(range(4))
    with pytest.raises(UnansweredError):
        await once
    assert router.budget(LeaderId(1)).taken_bytes == 0


async def test_a_leader_that_ends_with_a_request_is_not_sent_it_for_ever(world, router):
    async def script(head, request):
        for connection in tuple(leader.connections):
            connection.abort()

    leader = await world.leader(1, script)
    await world.settled()
    with pytest.raises(UnansweredError):
        await router.send_entity(LeaderId(1), epoch_request(1), may_repeat=True)
    assert 2 <= len(leader.requests) <= 8
    assert router.budget(LeaderId(1)).taken_bytes == 0


async def test_what_is_sent_again_is_not_known_to_be_undone_when_its_leader_does_not_come_back(world, router):
    leader = await world.leader(1, lambda head, request: None)
    await world.settled()
    asked = router.send_entity(LeaderId(1), epoch_request(1), may_repeat=True)
    given_up = router.send_entity(LeaderId(1), epoch_request(2), may_repeat=True)
    await leader.received(2)
    given_up.cancel()
    await lose(world, router, leader)
    assert not asked.done()
    world.clock.added_s += 1
    with pytest.raises(UnansweredError):
        await asked
    assert router.budget(LeaderId(1)).taken_bytes == 0


async def test_a_leader_that_was_lost_is_waited_for_no_longer_than_a_moment(world, router):
    leader = await world.leader(1, lambda head, request: epoch_answer(request))
    await world.settled()
    await router.send(LeaderId(1), epoch_request(0))
    await lose(world, router, leader)
    asked = router.send_entity(LeaderId(1), epoch_request(1))
    await asyncio.sleep(0)
    assert not asked.done()
    world.clock.added_s += 1
    with pytest.raises(StaleRouteError, match="takes no connections"):
        await asked
    await world.until(lambda: world.controller.woken)
    with pytest.raises(StaleRouteError):
        router.send_entity(LeaderId(1), epoch_request(2))


async def test_the_controller_is_told_of_a_leader_that_takes_no_connections(world, router):
    """It may rest, and is started then."""
    leader = await world.leader(1, lambda head, request: epoch_answer(request))
    await world.settled()
    assert end_of(await router.send(LeaderId(1), epoch_request(1))) == 1001
    assert world.controller.woken == []
    await leader.kill()
    while not world.controller.woken:
        with pytest.raises(StaleRouteError):
            await router.send(LeaderId(1), epoch_request(2))
        await asyncio.sleep(0)
    assert world.controller.woken == [1]
    later = replace(leader.endpoint, log_epoch=LogEpoch(2))
    await leader.start()
    world.controller.publish(leaders={LeaderId(1): later})
    await world.settled()
    assert end_of(await router.send(LeaderId(1), epoch_request(3))) == 1003


async def test_a_leader_without_an_endpoint_is_a_stale_route(router):
    with pytest.raises(StaleRouteError):
        await router.send(LeaderId(77), epoch_request(1))


async def test_what_waits_for_a_fenced_leader_fails_when_its_successor_is_known(world, router):
    silent = await world.leader(1, lambda head, request: None)
    await world.settled()
    answer = router.send_entity(LeaderId(1), epoch_request(1))
    await silent.received(1)
    successor = await world.leader(2, lambda head, request: epoch_answer(request))
    moved = replace(successor.endpoint, leader_id=LeaderId(1), log_epoch=LogEpoch(2))
    world.controller.publish(leaders={LeaderId(1): moved})
    await world.settled()
    assert end_of(await router.send(LeaderId(1), epoch_request(4))) == 1004
    with pytest.raises(StaleRouteError):
        await answer


async def test_a_request_past_its_time_is_given_up_and_its_late_answer_dropped(world, router):
    gate = asyncio.Event()

    async def script(head, request):
        if request.topics[0].partitions[0].leader_epoch == 1:
            await gate.wait()
        return epoch_answer(request)

    await world.leader(1, script)
    await world.settled()
    with pytest.raises(RetryError):
        await router.send(LeaderId(1), epoch_request(1), timeout_s=0.01)
    # The leader may not even have read it: it counts until it is answered.
    assert router.budget(LeaderId(1)).taken_bytes > 0
    gate.set()
    assert end_of(await router.send(LeaderId(1), epoch_request(2))) == 1002
    assert router.budget(LeaderId(1)).taken_bytes == 0


async def test_a_leader_that_takes_nothing_is_not_sent_more_than_its_limit_however_often_clients_give_up(world, router):
    """Each client that gives up and comes again would add its bytes to those that wait in the leader's socket."""
    leader = await world.leader(1, lambda head, request: None)
    await world.settled()
    budget = router.budget(LeaderId(1))
    taken = []
    for attempt in range(3):
        with pytest.raises(RetryError):
            await router.send(LeaderId(1), epoch_request(attempt), timeout_s=0.01)
        taken.append(budget.taken_bytes)
    assert taken == sorted(set(taken))
    # When it is gone, so is all that waited for it.
    await leader.kill()
    with pytest.raises(StaleRouteError):
        await router.send(LeaderId(1), epoch_request(9))
    assert budget.taken_bytes == 0


async def test_all_leaders_are_asked_and_the_absent_one_is_named(world, router):
    await world.leader(1, lambda head, request: epoch_answer(request))
    gone = await world.leader(2, lambda head, request: epoch_answer(request))
    await world.settled()
    await gone.kill()
    (first, answer), (second, error) = await router.send_all(epoch_request(5))
    assert (first, end_of(answer)) == (1, 1005)
    assert second == 2
    assert isinstance(error, StaleRouteError)


async def test_a_coordinator_is_found_only_where_its_leader_takes_connections(world):
    leader = await world.leader(1, lambda head, request: None)
    await world.topic("__consumer_offsets", [1])
    client = await world.client()
    request = FindCoordinatorRequest(coordinator_keys=("g",), key_type=0)
    await leader.kill()
    (away,) = (await client.ask(request)).coordinators
    assert (away.error_code, away.node_id) == (ErrorCode.coordinator_not_available, -1)
    await leader.start()
    found = away
    while found.error_code is ErrorCode.coordinator_not_available:
        (found,) = (await client.ask(request)).coordinators
    assert (found.error_code, found.node_id, found.port) == (ErrorCode.none, 1, world.gateway.port)
