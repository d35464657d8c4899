"""Which broker clients are sent to: near the leader, but in their own zone."""

from dataclasses import replace
from uuid import UUID

import pytest

from gateway.cluster_view import broker_for, client_zone, partition_view
from raylog.model.ids import BrokerId, LeaderId, LogEpoch, TopicId
from raylog.model.routing import EMPTY_ROUTING_TABLE, BrokerEndpoint, LeaderEndpoint, PartitionRoute, TopicRoute


def broker(number, rack):
    return BrokerEndpoint(broker_id=BrokerId(number), host="h", port=number, rack=rack, node_id=f"n{number}")


def leader(number, node_id):
    return LeaderEndpoint(
        leader_id=LeaderId(number), log_epoch=LogEpoch(1), node_id=node_id, unix_path="", host="h", port=1
    )


BROKERS = (broker(1, "east"), broker(2, "east"), broker(3, "west"), broker(4, None))
TABLE = replace(
    EMPTY_ROUTING_TABLE, brokers=BROKERS, leaders={number: leader(number, f"n{number}") for number in range(1, 6)}
)


def sent_to(leader_id, zone, place=0):
    return broker_for(TABLE, leader_id, zone, place).broker_id


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_without_a_zone_clients_are_sent_to_the_leaders_own_node(number):
    assert sent_to(number, None) == number


def test_in_the_leaders_zone_clients_are_sent_to_its_own_node():
    assert sent_to(2, "east") == 2
    assert sent_to(3, "west") == 3


def test_clients_of_another_zone_are_spread_over_the_brokers_there():
    assert {sent_to(3, "east", place) for place in range(10)} == {1, 2}
    assert sent_to(1, "west", 7) == 3
    assert sent_to(4, "west") == 3


def test_a_leader_on_a_node_without_a_broker_is_reached_through_any_in_the_zone():
    assert {sent_to(5, None, place) for place in range(10)} == {1, 2, 3, 4}
    assert {sent_to(5, "east", place) for place in range(10)} == {1, 2}
    assert broker_for(EMPTY_ROUTING_TABLE, LeaderId(1), "east", 0) is None


@pytest.mark.parametrize(
    ("client_id", "zone"),
    [
        ("rdkafka", "east"),
        ("", "east"),
        ("zone=west", "west"),
        ("billing,zone=west", "west"),
        ("zone=west;billing", "west"),
        ("billing-zone=west", "west"),
        ("timezone=west", "east"),
        ("zone=nowhere", None),
    ],
)
def test_a_clients_zone_is_what_it_says_else_that_of_the_broker_reached(client_id, zone):
    assert client_zone(TABLE, client_id, BROKERS[0]) == zone


def test_a_zone_that_makes_no_difference_is_none():
    assert client_zone(TABLE, "", BROKERS[3]) is None


def test_a_partitions_only_replica_is_the_broker_that_its_clients_are_sent_to():
    route = PartitionRoute(leader_id=LeaderId(3), epoch_base=0, adopted=True)
    topic = TopicRoute(topic_id=TopicId(UUID(int=1)), name="t", partitions=(route, route))
    assert partition_view(TABLE, topic, 0).replicas == (3,)
    for index in range(2):
        view = partition_view(TABLE, topic, index, "east")
        assert view.leader in (1, 2)
        assert view.replicas == view.in_sync == (view.leader,)
    assert {partition_view(TABLE, topic, index, "east").leader for index in range(2)} == {1, 2}
