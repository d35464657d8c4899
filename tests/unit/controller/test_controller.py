"""The controller as gateways, leaders and admin clients meet it, across restarts and take-overs."""

import asyncio

import pytest
from kio.schema.errors import ErrorCode

from controller.nodes import Node
from raylog.model.admin import (
    Adopted,
    ConfigAlteration,
    ConfigChange,
    NewTopic,
    TopicSelector,
)
from raylog.model.errors import FencedError, InvalidError, RetryError
from raylog.model.limits import ControllerLimits, Limits

GROUPS = "__consumer_offsets"


async def created(controller, name="orders", partitions=4, **settings):
    [result] = await controller.create_topics([NewTopic(name=name, partitions=partitions, **settings)])
    assert result.error_code == 0, result
    return result


async def routes_when(controller, condition):
    """The first routing table that fulfils a condition."""
    table = await controller.watch_routes(0)
    while not condition(table):
        table = (await controller.watch_routes(table.version)).over(table)
    return table


def change(key, value, op=0):
    return ConfigChange(key=key, op=op, value=value)


def topic_alteration(name, *changes):
    return ConfigAlteration(resource_type=2, name=name, changes=changes)


async def test_a_new_cluster_has_an_id_its_groups_topic_and_leaders_of_the_default_class(cluster):
    controller = await cluster.start()
    table = await routes_when(controller, lambda t: all(p.adopted for p in t.topics[GROUPS].partitions))
    assert len(table.cluster_id) == 22
    groups = table.topics[GROUPS]
    assert groups.internal and len(groups.partitions) == 4
    assert groups.configs["cleanup.policy"] == "compact"
    assert cluster.launcher.started == [(1, "file"), (2, "file")]
    assert [table.leader_epoch(p) for p in groups.partitions] == [0, 0, 0, 0]


async def test_a_topic_is_created_once_its_partitions_are_adopted(cluster):
    controller = await cluster.start()
    result = await created(controller, configs={"retention.ms": "1000"})
    table = await controller.watch_routes(0)
    topic = table.topics["orders"]
    assert (topic.topic_id, topic.configs) == (result.topic_id, {"retention.ms": "1000"})
    assert all(partition.adopted for partition in topic.partitions)
    assert sorted(p.leader_id for p in topic.partitions) == [1, 1, 2, 2]
    assert (result.partitions, result.configs) == (4, {"retention.ms": "1000"})


async def test_creation_times_out_while_no_leader_adopts_and_the_topic_is_there_all_the_same(cluster):
    controller = await cluster.start(leaders=())
    [result] = await controller.create_topics([NewTopic(name="orders", partitions=1)], timeout_ms=1)
    assert result.error_code == ErrorCode.request_timed_out
    table = await controller.watch_routes(0)
    assert not table.topics["orders"].partitions[0].adopted
    [again] = await controller.create_topics([NewTopic(name="orders", partitions=1)])
    assert again.error_code == ErrorCode.topic_already_exists


async def test_everything_but_no_more_survives_a_restart(cluster, leader_endpoint):
    first = await cluster.start()
    broker = await first.register_broker("node-a", "localhost", 9092, None)
    await created(first)
    await created(first, "gone")
    await first.delete_topics([TopicSelector(name="gone")])
    await first.alter_configs(
        [
            topic_alteration("orders", change("retention.ms", "5")),
            ConfigAlteration(resource_type=4, name="", changes=(change("num.partitions", "3"),)),
        ]
    )
    ids = await first.allocate_producer_ids(1000)
    before = await first.watch_routes(0)
    second = await cluster.restart()
    after = await second.watch_routes(before.version)
    assert after.version > before.version
    assert after.topics == before.topics
    assert after.leaders == before.leaders
    assert (after.cluster_id, after.brokers, after.broker_configs) == (
        before.cluster_id,
        before.brokers,
        before.broker_configs,
    )
    assert before.brokers == (broker,)
    assert before.broker_configs["num.partitions"] == "3"
    assert set(after.topics) == {GROUPS, "orders"}
    assert await second.allocate_producer_ids(10) >= ids + 1000
    # A leader that went on meanwhile need not register again.
    await second.watch_assignments(1, 1, 0)


async def test_leaders_that_lead_something_are_ensured_again_after_a_restart(cluster):
    first = await cluster.start()
    await created(first)
    cluster.launcher.started.clear()
    await cluster.restart(leaders_per_class=5)
    assert await cluster.launcher.wait_for(2) == [(1, "file"), (2, "file")]


async def test_a_leader_that_cannot_be_started_is_tried_until_it_can(cluster):
    cluster.launcher.refusals = 5
    await cluster.start()
    assert sorted(await cluster.launcher.wait_for(2)) == [(1, "file"), (2, "file")]


async def test_a_class_gets_its_leaders_when_its_first_topic_comes(cluster):
    controller = await cluster.start()
    [result] = await controller.create_topics(
        [NewTopic(name="logs", partitions=2, configs={"raylog.wal": "object"})], timeout_ms=1
    )
    assert result.error_code == ErrorCode.request_timed_out
    assert (await cluster.launcher.wait_for(4))[2:] == [(3, "object"), (4, "object")]


async def test_two_creators_of_one_topic_get_one_topic(cluster):
    controller = await cluster.start()
    results = await asyncio.gather(
        *(controller.create_topics([NewTopic(name="orders", partitions=2)]) for _ in range(5))
    )
    codes = sorted(result.error_code for [result] in results)
    assert codes == [0] + [ErrorCode.topic_already_exists] * 4


async def test_changes_that_come_together_share_a_slot(cluster):
    controller = await cluster.start()
    await created(controller)
    version = (await controller.watch_routes(0)).version
    await asyncio.gather(*(controller.allocate_producer_ids(10) for _ in range(100)))
    await controller.register_broker("node-a", "localhost", 9092, None)
    assert (await controller.watch_routes(version)).version <= version + 3


async def test_producer_ids_are_given_out_once(cluster):
    controller = await cluster.start()
    firsts = await asyncio.gather(*(controller.allocate_producer_ids(10) for _ in range(20)))
    assert sorted(firsts) == list(range(firsts[0], firsts[0] + 200, 10))
    with pytest.raises(InvalidError):
        await controller.allocate_producer_ids(0)


async def test_producer_ids_do_not_make_a_new_routing_table(cluster):
    controller = await cluster.start()
    await created(controller)
    version = (await controller.watch_routes(0)).version
    await controller.allocate_producer_ids(10)
    assert await controller.watch_routes(0) is await controller.watch_routes(0)
    assert (await controller.watch_routes(0)).version == version


async def test_who_has_a_table_is_only_told_of_the_topics_that_have_changed(cluster):
    controller = await cluster.start()
    await created(controller)
    await created(controller, "doomed")
    before = await controller.watch_routes(0)
    assert not before.unchanged
    await created(controller, "more", 2)
    await controller.delete_topics([TopicSelector(name="doomed")])
    after = await controller.watch_routes(before.version)
    assert (set(after.topics), set(after.unchanged)) == ({"more"}, {GROUPS, "orders"})
    assert after.over(before) == await controller.watch_routes(0)
    # A controller that has just begun does not know who has what.
    second = await cluster.restart()
    assert (await second.watch_routes(after.version)).unchanged == ()


async def test_a_leader_without_news_is_told_that_there_is_none(cluster, leader_endpoint):
    cluster.limits = Limits(controller=ControllerLimits(leader_poll_s_max=0.01))
    controller = await cluster.start(leaders=(2,))
    assignments = await controller.register_leader(leader_endpoint(1))
    assert await controller.watch_assignments(1, 1, assignments.version) is None


async def test_a_new_deployment_sends_nobody_to_where_an_earlier_one_listened(cluster):
    """The bucket may be a copy, beside whose original it is opened: what is sent there would be acknowledged there."""
    controller = await cluster.start()
    await created(controller)
    broker = await controller.register_broker("node-a", "10.0.0.1", 9092, None)
    before = await controller.watch_routes(0)
    assert before.brokers == (broker,)
    assert before.leaders
    same = await (await cluster.restart()).watch_routes(0)
    assert (same.brokers, same.leaders) == (before.brokers, before.leaders)
    other = await cluster.restart(deployment_id="two")
    after = await other.watch_routes(0)
    assert (after.brokers, after.leaders) == ((), {})
    assert await other.register_broker("node-a", "10.0.0.1", 9092, None) == broker


async def test_a_node_keeps_its_broker_id_and_a_dead_one_is_retired(cluster):
    controller = await cluster.start()
    a = await controller.register_broker("node-a", "10.0.0.1", 9092, "rack-1")
    b = await controller.register_broker("node-b", "10.0.0.2", 9092, None)
    assert a.broker_id != b.broker_id
    assert await controller.register_broker("node-a", "10.0.0.1", 9092, "rack-1") == a
    moved = await controller.register_broker("node-a", "10.0.0.9", 9093, "rack-1")
    assert moved.broker_id == a.broker_id
    await controller.see_nodes([Node(name="node-b")])
    assert (await controller.watch_routes(0)).brokers == (b,)
    assert (await controller.register_broker("node-a", "10.0.0.9", 9093, "rack-1")).broker_id == a.broker_id
    assert (await controller.watch_routes(0)).brokers == (moved, b)


async def test_an_address_is_one_brokers(cluster):
    """A cluster started again on its bucket from a machine of another name does not send clients to both."""
    controller = await cluster.start()
    await controller.register_broker("10.0.0.1", "127.0.0.1", 9092, None)
    broker = await controller.register_broker("10.0.0.2", "127.0.0.1", 9092, None)
    assert (await controller.watch_routes(0)).brokers == (broker,)


async def test_a_leaders_new_open_is_routed_to_and_its_old_one_is_turned_away(cluster, leader_endpoint):
    controller = await cluster.start()
    await created(controller)
    before = await controller.watch_routes(0)
    await controller.register_leader(leader_endpoint(1, log_epoch=7, port=8000))
    table = (await controller.watch_routes(before.version)).over(before)
    assert table.leaders[1].log_epoch == 7
    route = next(p for p in table.topics["orders"].partitions if p.leader_id == 1)
    assert (route.adopted, table.leader_epoch(route)) == (True, 6)
    with pytest.raises(FencedError):
        await controller.register_leader(leader_endpoint(1, log_epoch=6))
    with pytest.raises(FencedError):
        await controller.watch_assignments(1, 1, 0)
    with pytest.raises(FencedError):
        await controller.report_adopted(1, 1, [])
    with pytest.raises(FencedError):
        await asyncio.gather(*cluster.leaders)
    cluster.leaders.clear()


async def test_strange_leaders_are_refused(cluster, leader_endpoint):
    controller = await cluster.start(leaders=())
    with pytest.raises(InvalidError, match="no leader 99"):
        await controller.register_leader(leader_endpoint(99))
    with pytest.raises(RetryError, match="has not registered"):
        await controller.watch_assignments(1, 1, 0)


async def test_a_leader_learns_of_creation_settings_and_deletion_by_its_assignments(cluster, leader_endpoint):
    controller = await cluster.start(leaders=(2,), leaders_per_class=2)
    assignments = await controller.register_leader(leader_endpoint(1))
    assert {a.topic_name for a in assignments.partitions} == {GROUPS}
    creation = asyncio.ensure_future(created(controller))
    assignments = await controller.watch_assignments(1, 1, assignments.version)
    orders = [a for a in assignments.partitions if a.topic_name == "orders"]
    assert len(orders) == 2
    await controller.report_adopted(1, 1, [Adopted(partition=a.partition, epoch_base=-1) for a in orders])
    await creation
    # From now on a log that does not know them has lost them.
    again = await controller.register_leader(leader_endpoint(1))
    assert {a.topic_name: a.adopted for a in again.partitions} == {GROUPS: False, "orders": True}
    await controller.alter_configs([topic_alteration("orders", change("retention.ms", "77"))])
    assignments = await controller.watch_assignments(1, 1, assignments.version)
    assert [a.configs for a in assignments.partitions if a.topic_name == "orders"] == [{"retention.ms": "77"}] * 2
    led = [a.partition for a in assignments.partitions]
    assert await controller.deleted_of(led) == []
    await controller.delete_topics([TopicSelector(topic_id=orders[0].partition.topic_id)])
    assert set(await controller.deleted_of(led)) == {a.partition for a in orders}
    assignments = await controller.watch_assignments(1, 1, assignments.version)
    assert {a.topic_name for a in assignments.partitions} == {GROUPS}
    # A report that comes late is no error, and brings nothing back.
    await controller.report_adopted(1, 1, [Adopted(partition=orders[0].partition, epoch_base=-1)])
    assert "orders" not in (await controller.watch_routes(0)).topics


async def test_a_topic_created_again_has_a_new_id(cluster):
    controller = await cluster.start()
    first = await created(controller)
    await controller.delete_topics([TopicSelector(name="orders")])
    assert (await created(controller)).topic_id != first.topic_id


async def test_partitions_are_added_and_adopted(cluster):
    controller = await cluster.start()
    await created(controller, partitions=3)
    [result] = await controller.create_partitions({"orders": 8})
    assert (result.error_code, result.partitions) == (0, 8)
    partitions = (await controller.watch_routes(0)).topics["orders"].partitions
    assert len(partitions) == 8 and all(p.adopted for p in partitions)
    assert sorted(p.leader_id for p in partitions) == [1] * 4 + [2] * 4


async def test_validate_only_changes_nothing(cluster):
    controller = await cluster.start()
    await created(controller)
    version = (await controller.watch_routes(0)).version
    results = [
        *await controller.create_topics([NewTopic(name="more", partitions=2)], validate_only=True),
        *await controller.create_partitions({"orders": 9}, validate_only=True),
        *await controller.alter_configs([topic_alteration("orders", change("retention.ms", "1"))], validate_only=True),
    ]
    assert [r.error_code for r in results] == [0, 0, 0]
    assert (await controller.watch_routes(0)).version == version


async def test_a_request_that_repeats_itself_is_refused_where_it_does(cluster):
    controller = await cluster.start()
    results = await controller.create_topics([NewTopic(name=n, partitions=1) for n in ("a", "b", "a")])
    assert [r.error_code for r in results] == [ErrorCode.invalid_request, 0, ErrorCode.invalid_request]
    deleted = await controller.delete_topics([TopicSelector(name="b"), TopicSelector(name="b")])
    assert {r.error_code for r in deleted} == {ErrorCode.invalid_request}
    altered = await controller.alter_configs([topic_alteration("b", change("retention.ms", "1"))] * 2)
    assert {r.error_code for r in altered} == {ErrorCode.invalid_request}


async def test_a_long_poll_returns_the_same_after_a_while(cluster):
    cluster.limits = Limits(controller=ControllerLimits(poll_s_max=0.01))
    controller = await cluster.start()
    table = await controller.watch_routes(0)
    assert (await controller.watch_routes(10**9)).version >= table.version


async def test_of_two_controllers_the_later_one_serves_and_the_earlier_one_ends(cluster):
    first = await cluster.start()
    await created(first)
    watching = asyncio.ensure_future(first.watch_routes((await first.watch_routes(0)).version))
    second = await cluster.start(leaders=())
    with pytest.raises(RetryError):
        await first.create_topics([NewTopic(name="lost", partitions=1)])
    with pytest.raises(FencedError):
        await first.closed
    for call in (watching, first.watch_routes(0), first.status(), first.allocate_producer_ids(1)):
        with pytest.raises(RetryError):
            await call
    assert "lost" not in (await second.watch_routes(0)).topics
    assert "orders" in (await second.watch_routes(0)).topics


async def test_before_its_start_and_after_its_close_it_says_so(cluster):
    controller = cluster.make()
    with pytest.raises(RetryError):
        await controller.watch_routes(0)
    await controller.start()
    await controller.close()
    await controller.close()
    assert controller.closed.result() is None
    with pytest.raises(RetryError):
        await controller.watch_routes(0)


async def test_the_metadata_is_checkpointed_and_read_back_from_there(cluster):
    cluster.limits = Limits(controller=ControllerLimits(checkpoint_slots=5, poll_s_max=5.0))
    controller = await cluster.start()
    await controller.register_broker("node-a", "localhost", 9092, None)
    for i in range(12):
        await created(controller, f"topic-{i}", partitions=2)
    before = await controller.watch_routes(0)
    checkpoints = [found.key async for found in cluster.store.list("metadata/checkpoint/")]
    assert checkpoints
    controller = await cluster.restart()
    after = await controller.watch_routes(before.version)
    assert (after.topics, after.leaders, after.brokers) == (before.topics, before.leaders, before.brokers)


async def test_bad_settings_are_refused_at_once(cluster):
    with pytest.raises(InvalidError, match="default WAL class 'tape'"):
        cluster.make(default_wal="tape")
    with pytest.raises(InvalidError, match="no broker setting"):
        cluster.make(broker_configs={"num.fridges": "3"})


async def test_status_tells_of_leaders_brokers_and_counts(cluster):
    controller = await cluster.start()
    await controller.register_broker("node-a", "localhost", 9092, "r1")
    await created(controller)
    status = await controller.status()
    assert status["topics"] == 1 and status["internal_topics"] == 1 and status["partitions"] == 8
    assert status["brokers"] == [{"node": "node-a", "broker_id": 1, "address": "localhost:9092", "rack": "r1"}]
    assert [(leader["leader_id"], leader["up"], leader["partitions"]) for leader in status["leaders"]] == [
        (1, True, 4),
        (2, True, 4),
    ]
