"""The cluster, its topics page by page, coordinators and producer ids."""

import asyncio
from dataclasses import replace

import pytest
from kio.schema.errors import ErrorCode

from gateway.messages import request_types
from gateway.registry import CloseConnection
from raylog.model.ids import LeaderId
from raylog.model.routing import GroupsTopic
from raylog.protocol.wire import ms

CLUSTER, PARTITIONS, COORDINATOR, PRODUCER_ID = 60, 75, 10, 22


@pytest.mark.parametrize("version", range(3))
async def test_the_cluster(desk, version: int) -> None:
    answer = await desk.ask(
        CLUSTER, version, include_cluster_authorized_operations=True, endpoint_type=1, include_fenced_brokers=True
    )
    assert (answer.error_code, answer.cluster_id, answer.controller_id) == (ErrorCode.none, "cluster", 2)
    assert [(b.broker_id, b.host, b.port, b.rack) for b in answer.brokers] == [
        (1, "one.example", 9092, "r1"),
        (2, "two.example", 9093, None),
    ]
    assert answer.cluster_authorized_operations == 8096


@pytest.mark.parametrize(
    ("endpoint_type", "code"), [(2, ErrorCode.mismatched_endpoint_type), (3, ErrorCode.unsupported_endpoint_type)]
)
async def test_there_are_no_controller_endpoints(desk, endpoint_type: int, code: ErrorCode) -> None:
    answer = await desk.ask(
        CLUSTER,
        2,
        include_cluster_authorized_operations=False,
        endpoint_type=endpoint_type,
        include_fenced_brokers=False,
    )
    assert (answer.error_code, answer.brokers) == (code, ())


async def page(desk, *names: str, limit: int = 2000, cursor: tuple[str, int] | None = None):
    types = request_types(PARTITIONS, 0)
    return await desk.ask(
        PARTITIONS,
        0,
        topics=tuple(types.TopicRequest(name=name) for name in names),
        response_partition_limit=limit,
        cursor=None if cursor is None else types.Cursor(topic_name=cursor[0], partition_index=cursor[1]),
    )


def told(answer):
    return [
        (topic.name, topic.error_code.name, [p.partition_index for p in topic.partitions]) for topic in answer.topics
    ]


async def test_topics_in_the_order_of_their_names(desk) -> None:
    answer = await page(desk, "beta", "nobody", "alpha", "a b")
    assert told(answer) == [
        ("a b", "invalid_topic_exception", []),
        ("alpha", "none", [0, 1, 2]),
        ("beta", "none", [0]),
        ("nobody", "unknown_topic_or_partition", []),
    ]
    assert answer.next_cursor is None
    first = answer.topics[1].partitions[0]
    assert (first.leader_id, first.leader_epoch, first.isr_nodes) == (1, 0, (1,))
    assert (first.eligible_leader_replicas, first.last_known_elr) == ((), ())
    assert told(await page(desk)) == [("alpha", "none", [0, 1, 2]), ("beta", "none", [0])]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 0, -5])
async def test_pages_together_are_the_whole(desk, limit: int) -> None:
    seen: list[tuple[str, int]] = []
    cursor = None
    for _ in range(6):
        answer = await page(desk, limit=limit, cursor=cursor)
        found = [(topic.name, p.partition_index) for topic in answer.topics for p in topic.partitions]
        assert len(found) <= max(1, limit)
        seen += found
        if answer.next_cursor is None:
            break
        cursor = (answer.next_cursor.topic_name, answer.next_cursor.partition_index)
    assert seen == [("alpha", 0), ("alpha", 1), ("alpha", 2), ("beta", 0)]


async def test_a_cursor_at_a_topic_that_has_gone_meanwhile(desk) -> None:
    assert told(await page(desk, cursor=("alpha2", 5))) == [("beta", "none", [0])]


async def test_a_cursor_beyond_the_partitions(desk) -> None:
    assert told(await page(desk, cursor=("alpha", 9))) == [("alpha", "none", []), ("beta", "none", [0])]


async def test_a_negative_cursor_closes_the_connection(desk) -> None:
    with pytest.raises(CloseConnection):
        await page(desk, cursor=("alpha", -1))


@pytest.fixture
def grouped(desk):
    topics = desk.routes.table.topics
    desk.controller.change(topics={**topics, GroupsTopic: replace(topics["beta"], name=GroupsTopic, internal=True)})
    return desk


async def coordinators(desk, version: int, *keys: str, key_type: int = 0):
    if version >= 4:
        answer = await desk.ask(COORDINATOR, version, key_type=key_type, coordinator_keys=keys)
        return answer.coordinators
    return [await desk.ask(COORDINATOR, version, key=keys[0], key_type=key_type)]


@pytest.mark.parametrize("version", range(7))
async def test_a_groups_coordinator_is_the_broker_that_is_asked(grouped, version: int) -> None:
    keys = ("g1", "g2") if version >= 4 else ("g1",)
    found = await coordinators(grouped, version, *keys)
    assert [(c.error_code, c.node_id, c.host, c.port) for c in found] == [
        (ErrorCode.none, 1, "one.example", 9092)
    ] * len(keys)
    if version >= 4:
        assert [c.key for c in found] == ["g1", "g2"]


@pytest.mark.parametrize("version", [0, 2, 6])
async def test_while_its_leader_is_away_a_group_has_no_coordinator(grouped, version: int) -> None:
    grouped.controller.change(leaders={LeaderId(2): grouped.routes.table.leaders[LeaderId(2)]})
    (found,) = await coordinators(grouped, version, "g1")
    assert (found.error_code, found.node_id, found.port) == (ErrorCode.coordinator_not_available, -1, -1)


@pytest.mark.parametrize("version", [1, 6])
async def test_other_coordinators_are_refused_at_once(grouped, version: int) -> None:
    (transactions,) = await coordinators(grouped, version, "tx", key_type=1)
    assert (transactions.error_code, transactions.node_id) == (ErrorCode.unsupported_version, -1)
    assert "transactions" in transactions.error_message
    (share,) = await coordinators(grouped, version, "x", key_type=2)
    assert share.error_code is ErrorCode.invalid_request


async def producer(desk, version: int = 5, transactional_id: str | None = None):
    return await desk.ask(
        PRODUCER_ID,
        version,
        transactional_id=transactional_id,
        transaction_timeout=ms(60_000),
        producer_id=-1,
        producer_epoch=-1,
    )


@pytest.mark.parametrize("version", range(6))
async def test_a_producer_id_at_epoch_0(desk, version: int) -> None:
    answer = await producer(desk, version)
    assert (answer.error_code, answer.producer_id, answer.producer_epoch) == (ErrorCode.none, 0, 0)


async def test_producers_that_come_at_once_get_ids_of_their_own_from_few_blocks(desk) -> None:
    answers = await asyncio.gather(*[producer(desk) for _ in range(10)])
    assert sorted(answer.producer_id for answer in answers) == list(range(10))
    assert len(desk.controller.calls) == 4


async def test_while_the_controller_is_away_a_block_lasts(desk) -> None:
    await producer(desk)
    desk.controller.is_away = True
    assert [(await producer(desk)).producer_id for _ in range(2)] == [1, 2]
    answer = await producer(desk)
    assert (answer.error_code, answer.producer_id) == (ErrorCode.coordinator_load_in_progress, -1)
    desk.controller.is_away = False
    assert (await producer(desk)).producer_id == 3


@pytest.mark.parametrize(
    ("transactional_id", "code"), [("tx", ErrorCode.unsupported_version), ("", ErrorCode.invalid_request)]
)
async def test_transactional_producers_are_refused(desk, transactional_id: str, code: ErrorCode) -> None:
    answer = await producer(desk, transactional_id=transactional_id)
    assert (answer.error_code, answer.producer_id, answer.producer_epoch) == (code, -1, -1)
